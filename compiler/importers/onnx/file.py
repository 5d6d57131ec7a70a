"""ONNX files, read and checked: what an importer may rely on, or an error in one line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
from onnx import numpy_helper

from pulsarray.compiler.importers.inputs import GivenInput, batch_of
from pulsarray.compiler.importers.onnx.fixed import SetInputs, set_inputs
from pulsarray.compiler.importers.onnx.names import (
    DOMAINS,
    kind_of,
    name_of,
    printable,
    where,
)
from pulsarray.compiler.importers.onnx.support import refuse_unsupported
from pulsarray.errors import InputError

__all__ = [
    "EXPANDED",
    "FLOATS",
    "NUMBERS",
    "OPSET",
    "Call",
    "Constant",
    "OnnxFile",
    "calls_of",
    "constants_in",
    "load_model",
    "read_onnx",
]

Constant = npt.NDArray[Any]


FLOATS = frozenset(
    {
        *(onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE),
        *(onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16),
    }
)
"""Element types of what depends on the input."""
NUMBERS = FLOATS | {
    *(onnx.TensorProto.INT8, onnx.TensorProto.INT16, onnx.TensorProto.INT32),
    *(onnx.TensorProto.INT64, onnx.TensorProto.UINT8, onnx.TensorProto.UINT16),
    *(onnx.TensorProto.UINT32, onnx.TensorProto.UINT64),
}
"""Element types of inputs."""
_WIDER = {
    "int4": "int8",
    "uint4": "uint8",
    "int2": "int8",
    "uint2": "uint8",
    **dict.fromkeys(("bfloat16", "float8_e4m3fn", "float8_e5m2"), "float32"),
}
"""Types that NumPy has not, and the next wider ones, which have all of their numbers."""
_LARGEST = 1 << 28
"""Elements of a sparse constant."""
OPSET = 7
"""Oldest version of ONNX's operators that importers know."""
EXPANDED = frozenset(
    {
        *("GroupNormalization", "LogSoftmax", "MeanVarianceNormalization"),
        *("RotaryEmbedding", "SwiGLU"),
    }
)
"""Operators in whose place come those that the standard defines them by."""


@dataclass(frozen=True, eq=False)
class Call:
    """One operator of a file.

    Parameters
    ----------
    kind
        Its name, behind its domain unless that is ONNX's own.
    where
        Its place, for messages.
    name
        Its name, or its first result's.
    inputs, outputs
        Names of what it reads and writes; missing optional ones are empty.
    attributes
        Attributes by name.
    """

    kind: str
    where: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]

    @property
    def reads(self) -> Iterator[str]:
        """Names of what it reads, in its bodies, too."""
        yield from self.inputs
        for value in self.attributes.values():
            if isinstance(value, onnx.GraphProto):
                yield from (name for call in calls_of(value) for name in call.reads)
                yield from (output.name for output in value.output)

    def given(self, place: int) -> str:
        """Name of an input; empty if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def number(self, name: str, default: float) -> float:
        """A number among the attributes."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise InputError(f"{self.where}: {self.kind} needs a number as {name}")
        return float(value)

    def integer(self, name: str, default: int) -> int:
        """An integer among the attributes."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise InputError(f"{self.where}: {self.kind} needs an integer as {name}")
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Integers among the attributes; None if there is no such attribute."""
        if name not in self.attributes:
            return None
        value = self.attributes[name]
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise InputError(f"{self.where}: {self.kind} needs integers as {name}")
        return tuple(value)

    def text(self, name: str, default: str) -> str:
        """A text among the attributes."""
        value = self.attributes.get(name, default)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if not isinstance(value, str):
            raise InputError(f"{self.where}: {self.kind} needs a text as {name}")
        return value


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A network as its file has it.

    Parameters
    ----------
    name
        Its name; the file's if it has none.
    opset
        Version of ONNX's operators.
    inputs
        The inputs that are read.
    outputs
        Names of the results.
    calls
        The operators, each after those whose results it reads.
    constants
        Initializers by name.
    states
        Results that are kept for the next run, and the inputs in whose place this reads them.
    uses
        How often each value is read, results once more.
    """

    name: str
    opset: int
    inputs: Sequence[GivenInput]
    outputs: Sequence[str]
    calls: Sequence[Call]
    constants: Mapping[str, Constant]
    states: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        uses = Counter(name for call in self.calls for name in call.reads)
        uses.update(self.outputs)
        object.__setattr__(self, "uses", uses)

    @property
    def batch(self) -> int | None:
        """Samples that the inputs hold; None where the file leaves that open."""
        return batch_of(self.inputs)


def load_model(path: Path) -> onnx.ModelProto:
    """A file without tensors that lie in others; calls of the file's own functions are expanded."""
    model = onnx.load(path, load_external_data=False)
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def read_onnx(
    path: Path,
    taken: Collection[str],
    folded: Collection[str],
    fixed: SetInputs | None = None,
) -> OnnxFile:
    """Read a file and check all that does not depend on what its operators mean.

    Parameters
    ----------
    path
        The file.
    taken, folded
        Operators that are supported on values that depend on the input, and on constants.
    fixed
        Inputs that are constants.

    Raises
    ------
    InputError
        If something is wrong; every operator that is not supported is named in one message.
    """
    try:
        model = load_model(path)
        _check_domains(model)
        _fill_in(model.graph)
        set_inputs(model.graph, fixed or {})
        refuse_unsupported(model.graph, taken, folded)
        _refuse_missing(model.graph)
        _load_external(model, path)
        onnx.checker.check_model(model)
        return _file(_expanded(model), path.stem)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}") from None
    except Exception as error:  # of protobuf, the checker, or whatever a broken file provokes
        raise InputError(f"not a valid ONNX file: {_one_line(error)}") from None


def _expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The file without operators of :data:`EXPANDED`."""
    kinds = {kind_of(node) for node in model.graph.node} & EXPANDED
    if not kinds:
        return model
    typed = onnx.shape_inference.infer_shapes(model)
    for tensor in model.graph.initializer:
        kind = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        typed.graph.value_info.append(kind)
    chosen = [("", kind) for kind in sorted(kinds)]
    try:
        made = onnx.inliner.inline_selected_functions(typed, chosen, inline_schema_functions=True)
    except Exception as error:  # of the inliner, where a type or shape does not follow
        kinds_text = ", ".join(sorted(kinds))
        raise InputError(f"operators {kinds_text} cannot be expanded: {_one_line(error)}") from None
    _name_parts(model.graph.node, made.graph.node)
    left = {kind_of(node) for node in made.graph.node} & EXPANDED
    return made if left & kinds else _expanded(made)


def _name_parts(before: Sequence[onnx.NodeProto], after: Sequence[onnx.NodeProto]) -> None:
    """Name the parts of each operator after it; onnx numbers the operators in the parts' values."""
    expanded = [node for node in before if kind_of(node) in EXPANDED]
    origins = {name: node for node in expanded for name in node.output}
    kept = {name for node in before if kind_of(node) not in EXPANDED for name in node.output}
    for node in after:
        output = node.output[0] if node.output else ""
        number = output.rpartition("__")[2]
        origin = origins.get(output)
        if origin is None and number.isdecimal() and 1 <= int(number) <= len(expanded):
            origin = expanded[int(number) - 1]
        if origin is not None and output not in kept:
            node.name = f"{origin.name or origin.output[0]}.{output}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).partition("==> Context")[0].split())
    return "".join(c if c.isprintable() else "?" for c in text) or type(error).__name__


def _check_domains(model: onnx.ModelProto) -> None:
    versions = [v.version for v in model.opset_import if v.domain in DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if model.graph.node and not versions:
        raise InputError("not a valid ONNX file: it does not say which operator set it uses")
    for version in versions:
        if version < OPSET:
            raise InputError(f"operator set {version} is too old, at least {OPSET} is needed")
        if version > newest:
            raise InputError(
                f"operator set {version} is newer than the onnx package knows, {newest}"
            )


def _refuse_missing(graph: onnx.GraphProto) -> None:
    """Refuse operators that read what nothing before them provides."""
    known = {"", *(tensor.name for tensor in graph.initializer), *(v.name for v in graph.input)}
    writers = {
        name: where(node, number)
        for number, node in enumerate(graph.node)
        for name in node.output
        if name
    }
    for number, node in enumerate(graph.node):
        for name in node.input:
            if name in known:
                continue
            start = f"{where(node, number)}: {printable(node.op_type)} reads {name!r}, which "
            if name in writers:
                raise InputError(
                    f"{start}{writers[name]} writes only later: a cycle, or operators out of order"
                )
            raise InputError(
                f"{start}is missing: no input, initializer or operator before it has that name"
            )
        known.update(node.output)


def _fill_in(graph: onnx.GraphProto) -> None:
    """Sparse initializers become those that they stand for."""
    for sparse in graph.sparse_initializer:
        name, shape = printable(sparse.values.name), tuple(sparse.dims)
        if prod(shape) > _LARGEST or min(shape, default=1) < 1:
            raise InputError(f"sparse initializer {name}: a constant of shape {shape} is too large")
        values, places = (numpy_helper.to_array(t) for t in (sparse.values, sparse.indices))
        array = np.zeros(shape, values.dtype)
        flat = np.ravel_multi_index(tuple(places.T), shape) if places.ndim == 2 else places
        array.reshape(-1)[flat] = values
        graph.initializer.append(numpy_helper.from_array(array, sparse.values.name))
    del graph.sparse_initializer[:]


def _array(tensor: onnx.TensorProto) -> Constant:
    """A constant in a type that NumPy has: those that are narrower in the next wider one."""
    array = numpy_helper.to_array(tensor)
    wider = _WIDER.get(str(array.dtype))
    return np.asarray(array if wider is None else array.astype(wider))


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Load tensors that lie in other files: within the network's folder, or linked from there."""
    constants = [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in (*model.graph.initializer, *constants):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.raw_data = _external_bytes(tensor, path)
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]


def _external_bytes(tensor: onnx.TensorProto, path: Path) -> bytes:
    """What a tensor's file holds for it; onnx's own reader takes no links."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    where = fields.get("location", "")
    start = f"tensor {tensor.name}: its data should be in {where or 'another file'!r}"
    if PurePosixPath(where).is_absolute() or ".." in PurePosixPath(where).parts:
        raise InputError(f"{start}, which is outside of the network's folder")
    if not where or not (path.parent / where).is_file():
        raise InputError(f"{start} beside the network, which is missing")
    with (path.parent / where).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        first = int(fields.get("offset", 0))
        length = int(fields.get("length", size - first))
        if first < 0 or length < 0 or first + length > size:
            raise InputError(
                f"{start} from byte {first:,}, {length:,} of them, and that file has {size:,}"
            )
        file.seek(first)
        return bytes(file.read(length))


def _file(model: onnx.ModelProto, stem: str) -> OnnxFile:
    graph = model.graph
    constants, calls = _with_tensors(constants_in(graph), calls_of(graph))
    outputs = [output.name for output in graph.output]
    if not outputs:
        raise InputError("needs an output, an operator's; it has none")
    read = {*(name for call in calls for name in call.reads), *outputs}
    inputs = [v for v in graph.input if v.name not in constants and v.name in read]
    if not inputs:
        raise InputError("needs an input that is read; it has none")
    versions = [v.version for v in model.opset_import if v.domain in DOMAINS]
    return OnnxFile(
        name=printable(graph.name) or stem,
        opset=max(versions, default=OPSET),
        inputs=[_given_input(value) for value in inputs],
        outputs=outputs,
        calls=calls,
        constants=constants,
    )


def _with_tensors(
    constants: dict[str, Constant], calls: list[Call]
) -> tuple[dict[str, Constant], list[Call]]:
    """Constants with the tensors that Constant operators hold, and the other operators."""
    rest = []
    for call in calls:
        tensor = call.attributes.get("value") if call.kind == "Constant" else None
        if isinstance(tensor, onnx.TensorProto):
            constants[call.outputs[0]] = _array(tensor)
        else:
            rest.append(call)
    return constants, rest


def _given_input(value: onnx.ValueInfoProto) -> GivenInput:
    """An input as its file declares it."""
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    known = tuple(None if size is None or size < 1 else size for size in dims)
    names = tuple(printable(d.dim_param) for d in tensor.shape.dim)
    return GivenInput(value.name, known, tensor.elem_type, names)


def calls_of(graph: onnx.GraphProto, inside: str = "") -> list[Call]:
    """The operators of a graph; ``inside`` says where that is."""
    return [_call(node, number, inside) for number, node in enumerate(graph.node)]


def constants_in(graph: onnx.GraphProto) -> dict[str, Constant]:
    """Initializers by name."""
    return {tensor.name: _array(tensor) for tensor in graph.initializer}


def _call(node: onnx.NodeProto, number: int, inside: str = "") -> Call:
    return Call(
        kind=kind_of(node),
        where=inside + where(node, number),
        name=name_of(node, number),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
    )


def element_name(element: int) -> str:
    """Name of an element type of ONNX."""
    try:
        return str(onnx.TensorProto.DataType.Name(element))
    except ValueError:
        return f"type {element}"


def real(value: Constant, where: str, what: str) -> npt.NDArray[np.float64]:
    """A constant as float64.

    Raises
    ------
    InputError
        If it does not hold real numbers.
    """
    if value.dtype.kind not in "fiub":
        raise InputError(
            f"{where}: {what} must be float16, float32, float64 or integers of 8 to 64 bits, "
            f"not {'texts' if value.dtype.kind == 'O' else value.dtype}"
        )
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        if value.size and not any(value.strides):
            return np.broadcast_to(np.float64(value.reshape(-1)[0]), value.shape)
        return np.asarray(value, np.float64)
