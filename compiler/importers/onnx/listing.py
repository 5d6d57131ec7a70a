"""Operators of an ONNX file, as it has them, whether they can be compiled or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path

import onnx

from pulsarray.compiler.importers.inputs import GivenShapes
from pulsarray.compiler.importers.inspection import ARRAY, HOST, MEMORY, VECTOR, Row, Shape
from pulsarray.compiler.importers.onnx.constants import FOLDED
from pulsarray.compiler.importers.onnx.dynamic import DYNAMIC
from pulsarray.compiler.importers.onnx.file import load_model
from pulsarray.compiler.importers.onnx.fixed import SetInputs, set_inputs
from pulsarray.compiler.importers.onnx.linear import AFFINE
from pulsarray.compiler.importers.onnx.names import kind_of, name_of
from pulsarray.compiler.importers.onnx.operators import TAKEN
from pulsarray.compiler.importers.onnx.quantized import QUANTIZED
from pulsarray.compiler.importers.onnx.support import constants_of, lack
from pulsarray.errors import InputError

__all__ = ["list_onnx"]

_TAKEN = {*TAKEN, *QUANTIZED, *DYNAMIC}
_ONNX_WEIGHTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "Gemm": (1, 2),
    "MatMul": (1, 0),
    "MatMulInteger": (1,),
    "QLinearMatMul": (3,),
    "BatchNormalization": (1, 2),
}
"""Inputs that an operator learned, the weight of a product first."""
_ONNX_PLACES = {
    **dict.fromkeys((*_ONNX_WEIGHTS, *AFFINE, "AveragePool", "GlobalAveragePool", "LRN"), ARRAY),
    **dict.fromkeys(("Concat", "QLinearConcat", "Flatten", "Reshape", "Identity"), MEMORY),
    **dict.fromkeys(("ArgMax", "ArgMin", "Softmax"), HOST),
}


def list_onnx(path: Path, shape: GivenShapes = None, fixed: SetInputs | None = None) -> list[Row]:
    """Operators of an ONNX file, and which of them the compiler knows.

    Parameters
    ----------
    path
        The file.
    shape
        Shape of a sample of its input, or of each by name, where the file leaves it open.
    fixed
        Inputs that are constants.

    Raises
    ------
    InputError
        If it cannot be read as one.
    """
    try:
        model = load_model(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except Exception as error:  # of protobuf, whatever a broken file provokes
        text = " ".join(str(error).split())
        raise InputError(f"{path}: not a valid ONNX file: {text}") from None
    set_inputs(model.graph, fixed or {})
    if shape is not None:
        _set_shape(model.graph, shape)
    with suppress(Exception):  # shapes are a courtesy: a file may be beyond their inference
        model = onnx.shape_inference.infer_shapes(model)
    return list(_onnx_rows(model.graph))


def _onnx_rows(graph: onnx.GraphProto) -> Iterator[Row]:
    """Operators of a graph."""
    shapes, constants = _onnx_shapes(graph), constants_of(graph, {*_TAKEN, *FOLDED})
    last = {output.name for output in graph.output}
    for number, node in enumerate(graph.node):
        if set(node.output) <= constants:
            continue
        row = replace(_onnx_row(node, shapes, constants), name=name_of(node, number))
        if node.op_type == "Softmax" and not last.intersection(node.output):
            row = replace(row, place=row.place.replace(HOST, VECTOR))
        yield row


def _set_shape(graph: onnx.GraphProto, shapes: Sequence[int] | Mapping[str, Sequence[int]]) -> None:
    constants = {tensor.name for tensor in graph.initializer}
    sizes = (
        {k: v[0] for k, v in shapes.items() if len(v) == 1} if isinstance(shapes, Mapping) else {}
    )
    for value in graph.input:
        shape = shapes.get(value.name, ()) if isinstance(shapes, Mapping) else shapes
        dims = value.type.tensor_type.shape.dim
        for dim in dims:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
        if value.name not in constants and len(dims) == len(shape) + 1:
            for dim, size in zip(dims[1:], shape, strict=True):
                dim.dim_value = size


def _onnx_shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Shapes that are known, with the batch; a size that is not known is 0."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def _onnx_row(node: onnx.NodeProto, shapes: Mapping[str, Shape], constants: Collection[str]) -> Row:
    kind = node.op_type
    output = shapes.get(node.output[0], ()) if node.output else ()
    operands = [shapes.get(name, ()) for name in node.input if name and name not in constants]
    places = _ONNX_WEIGHTS.get(kind, ())
    names = [node.input[place] for place in places if place < len(node.input)]
    learned = [shapes.get(name, ()) if name in constants else () for name in names]
    first = operands[0] if operands else ()
    reason = lack(node, constants, _TAKEN, FOLDED)
    place = reason.removeprefix(kind_of(node)).strip(" ,")
    place = (f"not {place}" if place.startswith("of ") else place) if reason else _place_of(kind)
    return Row(
        name="",
        operator=kind_of(node),
        inputs=tuple(shape[1:] for shape in operands),
        output=output[1:],
        macs=_onnx_macs(kind, learned[0] if learned else (), first, output),
        parameters=sum(prod(shape) for shape in learned if shape),
        place=place,
        supported=not reason,
    )


def _place_of(kind: str) -> str:
    """Where an operator that is supported runs."""
    return _ONNX_PLACES.get(kind, VECTOR)


def _onnx_macs(kind: str, weight: Shape, operands: Shape, output: Shape) -> int | None:
    """Multiply-accumulates of one sample; None if sizes are not known."""
    if kind not in _ONNX_WEIGHTS or kind == "BatchNormalization":
        return 0
    sizes = (*weight, *output[1:-1])
    if kind == "ConvTranspose":
        sizes = (*weight, *operands[2:])
    elif "Conv" in kind:
        sizes = (*weight, *output[2:])
    known = weight and len(output) > 1 and min(sizes) > 0
    return prod(sizes) if known else None
