"""TensorFlow Lite files to networks: full-integer ones in int8, bit for bit, others in reals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pulsarray.compiler.arguments import file_path
from pulsarray.compiler.importers.inputs import GivenInput, GivenShapes, sample_shapes
from pulsarray.compiler.importers.refusals import named_once
from pulsarray.compiler.importers.tflite.file import Operator, Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.folding import folded
from pulsarray.compiler.importers.tflite.network import OTHER_CODES, Network
from pulsarray.compiler.importers.tflite.operators import OPERATORS, keeps_codes
from pulsarray.compiler.importers.tflite.reader import read_tflite
from pulsarray.compiler.importers.tflite.real_importer import import_real, is_real
from pulsarray.compiler.importers.tflite.real_operators import TAKEN
from pulsarray.compiler.importers.tflite.variables import with_states
from pulsarray.compiler.ir.formats import REAL
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Role
from pulsarray.compiler.ops.identity import Identity
from pulsarray.compiler.ops.index import ArgMax, ArgMin
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.passes.quantize.host import with_host_ends
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["import_tflite", "resolved", "taken"]


def import_tflite(path: Path | str, part: str = "", shape: GivenShapes = None) -> Graph:
    """Read a network: in int8 if the file is full-integer, of real numbers if it is in float32.

    Codes of the former equal those of TensorFlow Lite's reference kernels. Conversions from and to
    real numbers, or to uint8, at its ends are left to the host, as is a softmax at its end.
    Constants of the latter may be float16, or codes of 4, 8 or 16 bits with scales.

    Parameters
    ----------
    path
        The file.
    part
        Name of a signature or subgraph; its first subgraph without.
    shape
        Shape of a sample of its input, or of each by name, where the file leaves sizes open.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a network of supported operators. Every unsupported
        operator is named, with its node, in one message.
    """
    path = file_path(path)
    file = read_tflite(path, part)
    try:
        file = resolved(file, shape)
        _refuse_open(file)
        _refuse_unsupported(file)
        if is_real(file):
            _refuse_missing(file)
            return import_real(file, path.stem)
        _refuse_ends(file)
        _refuse_missing(file)
        return _import(file, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


_COMPUTED = "the size of its result depends on the input"
UNTAKEN = {
    **dict.fromkeys(("IF", "WHILE"), "which operators run depends on the input"),
    **dict.fromkeys(("WHERE", "UNIQUE"), _COMPUTED),
    **dict.fromkeys(("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"), _COMPUTED),
    **dict.fromkeys(("CONV_3D", "CONV_3D_TRANSPOSE"), "maps have two axes of pixels"),
    **dict.fromkeys(("TOPK_V2", "BUCKETIZE"), "the machine does not sort"),
    **dict.fromkeys(("SHAPE", "RANK"), "sizes of its operand are not known"),
    **dict.fromkeys(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"),
                    "the machine draws no random numbers"),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
                    "it mixes samples with pixels; a convolution with a dilation does not"),
}  # fmt: skip
"""Why an operator is not taken."""


def resolved(file: TfliteFile, shape: GivenShapes = None) -> TfliteFile:
    """A file with state in place of variables, and what is known of constants and sizes.

    Raises
    ------
    InputError
        If a shape is not one of its inputs', or operands of an operator do not fit it.
    """
    return folded(with_states(_sized(file, shape)))


def _sized(file: TfliteFile, shape: GivenShapes) -> TfliteFile:
    """A file with given sizes where its inputs leave them open."""
    if shape is None:
        return file
    inputs = [file.tensors[index] for index in file.inputs]
    known = [GivenInput(t.name, tuple(n if n > 0 else None for n in t.shape), 0) for t in inputs]
    samples, tensors = sample_shapes(known, shape), [*file.tensors]
    for tensor in inputs:
        sizes = (*tensor.shape[:1], *samples[tensor.name])
        tensors[tensor.index] = replace(tensor, shape=sizes)
    return replace(file, tensors=tuple(tensors))


def taken(file: TfliteFile) -> Collection[str]:
    """Operators that a file may have."""
    return TAKEN if is_real(file) else OPERATORS


def _refuse_unsupported(file: TfliteFile) -> None:
    known = taken(file)
    unknown = [(o.kind, file.place(o)) for o in file.operators if o.kind not in known]
    if unknown:
        kinds = dict.fromkeys(kind for kind, _ in unknown if kind in UNTAKEN)
        reasons = "".join(f"; {kind}: {UNTAKEN[kind]}" for kind in kinds)
        raise InputError(f"unsupported operators: {named_once(unknown)}{reasons}")


def _refuse_open(file: TfliteFile) -> None:
    """Refuse sizes of inputs that nobody has given."""
    for tensor in (file.tensors[index] for index in file.inputs):
        if -1 in tensor.shape[1:]:
            sizes = ", ".join("?" if size < 0 else str(size) for size in tensor.shape)
            raise InputError(
                f"input {tensor.short!r} must have a shape with fixed sizes of at least 1, not "
                f"({sizes}): --shape gives those that the file leaves open"
            )


def _refuse_ends(file: TfliteFile) -> None:
    for what, places in (("input", file.inputs), ("output", file.outputs)):
        if not places:
            raise InputError(f"needs an {what}; it has none")
        if twice := [index for index in places if places.count(index) > 1]:
            raise InputError(f"two {what}s are the tensor {file.tensors[twice[0]].short!r}")


def _refuse_missing(file: TfliteFile) -> None:
    """Refuse operators that read what nothing before them writes, or write it a second time."""
    if not file.operators:
        raise InputError("no operator to compile")
    written = {*file.inputs, *(t.index for t in file.tensors if t.data is not None)}
    for operator in file.operators:
        targets = operator.outputs
        if len(targets) != 1 and not (operator.kind in ("SPLIT", "SPLIT_V", "UNPACK") and targets):
            raise InputError(f"{file.where(operator)}: needs one result, not {operator.outputs}")
        for index in (*operator.inputs, *targets):
            tensor = file.tensors[index if index is not None else targets[0]]
            if tensor.state:
                raise InputError(f"{file.where(operator)}: {tensor.short!r} is {tensor.state}")
            if index is not None and index not in (*targets, *written):
                raise InputError(
                    f"{file.where(operator)}: reads {tensor.short!r}, which is missing: no input, "
                    "constant or operator before it has that index"
                )
        for target in targets:
            if target in written or target in operator.inputs:
                name = file.tensors[target].short
                raise InputError(f"{file.where(operator)}: writes {name!r}, which it may not")
            written.add(target)


def _import(file: TfliteFile, name: str) -> Graph:
    """The network in a full-integer file that has passed the checks."""
    ends = [_input(file, file.tensors[index]) for index in file.inputs]
    batches = {1 if t.shape[:1] == (-1,) else next(iter(t.shape), 1) for t, _ in ends}
    if len(batches) > 1:
        raise InputError(f"inputs must have one batch, not {sorted(batches)}")
    network = Network(file, [source for source, _ in ends], batches.pop())
    first = [operator for _, operator in ends]
    for operator in file.operators:
        if operator not in first:
            try:
                OPERATORS[operator.kind](network, operator)
            except InputError as error:
                raise InputError(f"{file.where(operator)}: {error}") from None
    return _finished(network, name)


def _finished(network: Network, name: str) -> Graph:
    """The network once all operators are there, its ends by the names of the file."""
    file, parts = network.file, network.parts
    results: dict[str, str] = {}
    views: dict[str, HostView] = {}
    for index, end in file.results():
        made, view = _result(network, file.tensors[index], results)
        results[made] = end
        if view is not None:
            views[made] = view
    if not parts.nodes:
        raise InputError("no operator to compile")
    graph = parts.graph(name, tuple(results), views=views)
    inputs = zip(network.inputs.values(), file.inputs, strict=True)
    names = {value.name: file.end_name(index) for value, index in inputs}
    return with_host_ends(graph.renamed(names | results))


def _result(
    network: Network, tensor: Tensor, known: Collection[str]
) -> tuple[str, HostView | None]:
    """The value that an output is, beside those that others are, and its shape for the host."""
    if tensor.index not in network.values:
        raise InputError(f"output {tensor.short!r} must be an operator's that depends on the input")
    value = network.values[tensor.index]
    if not value.host:
        value = network.with_border(tensor, value)
    made, op = value.source, _HOSTED.get(value.host, Identity())
    if made.role is Role.INPUT:
        raise InputError(f"output {tensor.short!r} is the input; there is nothing to compute")
    shape = op.shape(made.shape)
    usual = shape[2:] if shape[:2] == (1, 1) else shape
    view = None if tensor.shape[1:] == usual else HostView.plain(tensor.shape[1:])
    if value.host in _HOSTED or made.name in known:
        form = REAL if value.answer is None else value.answer
        result = network.parts.map(network.parts.free(f"{made.name}.{op.title}"), shape, form)
        network.parts.add(op.title, op, (made.name,), result.name)
        made = result
    return made.name, view


_HOSTED = {"softmax": Softmax(), "argmax": ArgMax(), "argmin": ArgMin()}


def _input(file: TfliteFile, entry: Tensor) -> tuple[Tensor, Operator | None]:
    """The tensor with an input's codes, and the QUANTIZE before that if there is one.

    Raises
    ------
    InputError
        If a QUANTIZE does not come first where one is needed.
    """
    if entry.data is not None:
        raise InputError(f"input {entry.short!r} is a constant")
    if entry.kind == "int8":
        return entry, None
    readers = [operator for operator in file.operators if entry.index in operator.inputs]
    if len(readers) != 1 or readers[0].kind != "QUANTIZE":
        raise InputError(
            f"input {entry.short!r} is {entry.kind}, and no QUANTIZE alone makes it int8: "
            f"full-integer files are supported{OTHER_CODES.get(entry.kind, '')}"
        )
    source = file.tensors[readers[0].outputs[0]]
    if entry.kind != "float32" and not keeps_codes(entry, source):
        raise InputError(
            f"{file.where(readers[0])}: must not change codes from {entry.kind} to {source.kind}"
        )
    return replace(source, shape=entry.shape), readers[0]
