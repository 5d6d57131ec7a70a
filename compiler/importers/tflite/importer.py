"""TensorFlow Lite files to networks: full-integer ones in int8, bit for bit, others in reals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pulsarray.compiler.arguments import file_path
from pulsarray.compiler.importers.refusals import named_once
from pulsarray.compiler.importers.tflite.file import Operator, Tensor, TfliteFile, read_tflite
from pulsarray.compiler.importers.tflite.network import Network
from pulsarray.compiler.importers.tflite.operators import OPERATORS, keeps_codes
from pulsarray.compiler.importers.tflite.real_importer import import_real, is_real
from pulsarray.compiler.importers.tflite.real_operators import TAKEN
from pulsarray.compiler.ir.formats import REAL
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.errors import InputError

__all__ = ["import_tflite", "taken"]


def import_tflite(path: Path | str) -> Graph:
    """Read a network: in int8 if the file is full-integer, of real numbers if it is in float32.

    Codes of the former equal those of TensorFlow Lite's reference kernels. Conversions from and to
    real numbers, or to uint8, at its ends are left to the host, as is a softmax at its end.
    Constants of the latter may be float16, or codes of 4, 8 or 16 bits with scales.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a network of supported operators. Every unsupported
        operator is named, with its node, in one message.
    """
    path = file_path(path)
    file = read_tflite(path)
    try:
        _refuse_unsupported(file)
        if is_real(file):
            _refuse_missing(file)
            return import_real(file, path.stem)
        _refuse_inputs(file)
        _refuse_missing(file)
        return _import(file, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def taken(file: TfliteFile) -> Collection[str]:
    """Operators that a file may have."""
    return TAKEN if is_real(file) else OPERATORS


def _refuse_unsupported(file: TfliteFile) -> None:
    known = taken(file)
    unknown = [(o.kind, file.place(o)) for o in file.operators if o.kind not in known]
    if unknown:
        raise InputError(f"unsupported operators: {named_once(unknown)}")


def _refuse_inputs(file: TfliteFile) -> None:
    if len(file.inputs) != 1:
        names = ", ".join(file.tensors[index].short for index in file.inputs[:10]) or "none"
        raise InputError(f"needs one input, not {names}")


def _refuse_missing(file: TfliteFile) -> None:
    """Refuse operators that read what nothing before them writes, or write it a second time."""
    if not file.operators:
        raise InputError("no operator to compile")
    written = {*file.inputs, *(t.index for t in file.tensors if t.data is not None)}
    for operator in file.operators:
        if len(operator.outputs) != 1:
            raise InputError(f"{file.where(operator)}: needs one result, not {operator.outputs}")
        target = operator.outputs[0]
        for index in (*operator.inputs, target):
            tensor = file.tensors[index if index is not None else target]
            if tensor.state:
                raise InputError(f"{file.where(operator)}: {tensor.short!r} is {tensor.state}")
            if index not in (None, target) and index not in written:
                raise InputError(
                    f"{file.where(operator)}: reads {tensor.short!r}, which is missing: no input, "
                    "constant or operator before it has that index"
                )
        if target in written or target in operator.inputs:
            name = file.tensors[target].short
            raise InputError(f"{file.where(operator)}: writes {name!r}, which it may not")
        written.add(target)


def _import(file: TfliteFile, name: str) -> Graph:
    """The network in a full-integer file that has passed the checks."""
    given, source, first = _input(file)
    batch = 1 if given.shape[:1] == (-1,) else next(iter(given.shape), 1)
    network = Network(file, source, batch)
    for operator in file.operators:
        if operator is not first:
            try:
                OPERATORS[operator.kind](network, operator)
            except InputError as error:
                raise InputError(f"{file.where(operator)}: {error}") from None
    if len(file.outputs) != 1 or file.outputs[0] not in network.values:
        names = ", ".join(file.tensors[index].short for index in file.outputs[:10]) or "none"
        raise InputError(f"needs one output, an operator's; it has {names}")
    last = file.tensors[file.outputs[0]]
    value = network.values[last.index]
    if not value.host:
        value = network.with_border(last, value)
    if not network.parts.nodes:
        raise InputError("no operator to compile")
    output = value.source
    if value.host == "softmax":
        shape, form = output.shape, REAL if value.answer is None else value.answer
        output = network.parts.map(network.parts.free(f"{output.name}.softmax"), shape, form)
        network.parts.add("softmax", Softmax(), (value.source.name,), output.name)
    return network.parts.graph(name, (output.name,))


def _input(file: TfliteFile) -> tuple[Tensor, Tensor, Operator | None]:
    """The file's input, the tensor with its codes, and the QUANTIZE between them if there is one.

    Raises
    ------
    InputError
        If a QUANTIZE does not come first where one is needed.
    """
    given = file.tensors[file.inputs[0]]
    if given.data is not None:
        raise InputError(f"input {given.short!r} is a constant")
    if given.kind == "int8":
        return given, given, None
    readers = [operator for operator in file.operators if given.index in operator.inputs]
    if len(readers) != 1 or readers[0].kind != "QUANTIZE":
        raise InputError(
            f"input {given.short!r} is {given.kind}, and no QUANTIZE alone makes it int8: "
            "full-integer files are supported"
        )
    source = file.tensors[readers[0].outputs[0]]
    if given.kind != "float32" and not keeps_codes(given, source):
        raise InputError(
            f"{file.where(readers[0])}: must not change codes from {given.kind} to {source.kind}"
        )
    return given, replace(source, shape=given.shape), readers[0]
