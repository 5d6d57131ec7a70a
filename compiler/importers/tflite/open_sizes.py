"""Sizes of what TensorFlow Lite's windows and products make, where a file leaves them open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.ir.value import Shape
from pulsarray.errors import InputError

__all__ = ["SIZES"]

Given = Sequence[tuple[Shape, npt.NDArray[Any] | None] | None]
"""Shape of each operand, and its elements where they are known; None for one left out."""


def _shape(shapes: Given, place: int) -> Shape:
    operand = shapes[place] if place < len(shapes) else None
    if operand is None:
        raise InputError(f"input {place} is left out")
    return operand[0]


def _known(shapes: Given, place: int) -> list[int]:
    operand = shapes[place] if place < len(shapes) else None
    if operand is None or operand[1] is None:
        raise InputError(f"input {place} must be a constant where sizes are open")
    return [int(number) for number in operand[1].reshape(-1)]


def _window(operator: Operator, image: Shape, kernel: Sequence[int], channels: int) -> Shape:
    """Shape behind a window with the padding that SAME (0) or VALID (1) means."""
    if len(image) != 4:
        raise InputError(f"needs a map, not shape {image}")
    sizes = []
    for size, extent, axis in zip(image[1:3], kernel, "HW", strict=True):
        dilation = operator.option(f"Dilation{axis}Factor") or 1
        reach = 0 if operator.option("Padding") == 0 else (extent - 1) * dilation
        sizes.append(-(-(size - reach) // max(operator.option(f"Stride{axis}"), 1)))
    return (image[0], sizes[0], sizes[1], channels)


def _convolution(operator: Operator, shapes: Given) -> Shape:
    weight = _shape(shapes, 1)
    return _window(operator, _shape(shapes, 0), weight[1:3], weight[0])


def _depthwise(operator: Operator, shapes: Given) -> Shape:
    weight = _shape(shapes, 1)
    return _window(operator, _shape(shapes, 0), weight[1:3], weight[3])


def _pool(operator: Operator, shapes: Given) -> Shape:
    image = _shape(shapes, 0)
    kernel = (operator.option("FilterHeight"), operator.option("FilterWidth"))
    return _window(operator, image, kernel, image[-1])


def _dense(operator: Operator, shapes: Given) -> Shape:
    x, weight = _shape(shapes, 0), _shape(shapes, 1)
    if operator.option("KeepNumDims"):
        return (*x[:-1], weight[0])
    return (prod(x) // weight[1], weight[0])


def _matmul(operator: Operator, shapes: Given) -> Shape:
    a, b = _shape(shapes, 0), _shape(shapes, 1)
    rows = a[-1] if operator.option("AdjX") else a[-2]
    columns = b[-2] if operator.option("AdjY") else b[-1]
    return (*np.broadcast_shapes(a[:-2], b[:-2]), rows, columns)


def _resized(_operator: Operator, shapes: Given) -> Shape:
    image, (height, width) = _shape(shapes, 0), _known(shapes, 1)
    return (image[0], height, width, image[3])


def _larger(operator: Operator, shapes: Given) -> Shape:
    count, height, width, channels = _shape(shapes, 0)
    block = operator.option("BlockSize")
    return (count, height * block, width * block, channels // block**2)


def _smaller(operator: Operator, shapes: Given) -> Shape:
    count, height, width, channels = _shape(shapes, 0)
    block = operator.option("BlockSize")
    return (count, height // block, width // block, channels * block**2)


def _spectrum(_operator: Operator, shapes: Given) -> Shape:
    height, width = _known(shapes, 1)
    return (*_shape(shapes, 0)[:-2], height, width // 2 + 1)


def _sequence(_operator: Operator, shapes: Given) -> Shape:
    units = _shape(shapes, 2 if shapes[1] is None else 1)[0]
    return (*_shape(shapes, 0)[:-1], units)


SIZES: Mapping[str, Callable[[Operator, Given], Shape]] = {
    "AVERAGE_POOL_2D": _pool,
    "BATCH_MATMUL": _matmul,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": _larger,
    "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _pool,
    "RESIZE_BILINEAR": _resized,
    "RESIZE_NEAREST_NEIGHBOR": _resized,
    "RFFT2D": _spectrum,
    "SPACE_TO_DEPTH": _smaller,
    "TRANSPOSE_CONV": lambda _operator, given: tuple(_known(given, 0)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence,
}
"""Shape of the result of each."""
