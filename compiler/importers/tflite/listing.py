"""Operators of a TensorFlow Lite file, as it has them, whether they can be compiled or not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path

from pulsarray.compiler.importers.inputs import GivenShapes
from pulsarray.compiler.importers.inspection import ARRAY, HOST, MEMORY, VECTOR, Row, Shape
from pulsarray.compiler.importers.tflite.file import Operator, TfliteFile
from pulsarray.compiler.importers.tflite.importer import resolved, taken
from pulsarray.compiler.importers.tflite.reader import read_tflite
from pulsarray.errors import InputError

__all__ = ["list_tflite"]

_TFLITE_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_TFLITE_PLACES = {
    **dict.fromkeys((*_TFLITE_WEIGHTS, "AVERAGE_POOL_2D", "BATCH_MATMUL", "MEAN", "SUM"), ARRAY),
    **dict.fromkeys(("CONCATENATION", "RESHAPE", "PAD"), MEMORY),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"), HOST),
}


def list_tflite(path: Path, part: str = "", shape: GivenShapes = None) -> list[Row]:
    """Operators of a TensorFlow Lite file or a part of it, and which of them the compiler knows.

    Raises
    ------
    InputError
        If it cannot be read as one.
    """
    file = read_tflite(path, part)
    with suppress(InputError):  # What is wrong in it, its import has said.
        file = resolved(file, shape)
    rows = []
    for operator in file.operators:
        row = _tflite_row(file, operator)
        if operator.kind == "SOFTMAX" and not set(operator.outputs) <= _ends(file):
            row = replace(row, place=VECTOR)
        rows.append(row)
    return rows


def _ends(file: TfliteFile) -> set[int]:
    """Tensors that are the results, or become them by what a host does."""
    ends = set(file.outputs)
    for operator in reversed(file.operators):
        if operator.kind in ("DEQUANTIZE", "RESHAPE") and ends.intersection(operator.outputs):
            ends.update(index for index in operator.inputs if index is not None)
    return ends


def _tflite_row(file: TfliteFile, operator: Operator) -> Row:
    inputs = [file.tensors[index] for index in operator.inputs if index is not None]
    outputs = [file.tensors[index] for index in operator.outputs]
    shapes = [tensor.shape for tensor in inputs if tensor.data is None]
    output = outputs[0].shape if outputs else ()
    product = operator.kind in _TFLITE_WEIGHTS
    learned = [t.shape for t in inputs if t.data is not None][-2:] if product else []
    weight = next((shape for shape in learned if len(shape) > 1), ())
    known = operator.kind in taken(file)
    return Row(
        name=outputs[0].short if outputs else f"#{operator.index}",
        operator=operator.kind,
        inputs=tuple(shape[1:] for shape in shapes),
        output=output[1:],
        macs=_tflite_macs(operator.kind, weight, shapes[0] if shapes else (), output),
        parameters=sum(prod(shape) for shape in learned),
        place=_TFLITE_PLACES.get(operator.kind, VECTOR) if known else "",
        supported=known,
    )


def _tflite_macs(kind: str, weight: Shape, shapes: Shape, output: Shape) -> int | None:
    """Multiply-accumulates of one sample; None if sizes are not known."""
    if kind not in _TFLITE_WEIGHTS:
        return 0
    pixels = shapes if kind == "TRANSPOSE_CONV" else output
    sizes = weight if kind == "FULLY_CONNECTED" else (*weight, *pixels[1:3])
    known = weight and (kind == "FULLY_CONNECTED" or len(pixels) > 2) and min(sizes) > 0
    return prod(sizes) if known else None
