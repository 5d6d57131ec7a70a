"""Operators refuse attributes, shapes and constants that do not fit, and say why."""

from __future__ import annotations

from math import nan
from re import escape

import numpy as np
import pytest

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.flatten import Unflatten
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean
from pulsarray.compiler.ops.resize import Resize, nearest
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

SQUARE = Window((3, 3))
IMAGE = (5, 5, 4)


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Dense(), [(4,), (4,), (3,)], "weight must have shape (K, N), not (4,)"),
        (Dense(), [(4,), (4, 3), (4,)], "bias must have shape (3,), not (4,)"),
        (Dense(), [(2, 4), (4, 3), (3,)], "input must have shape (4,), not (2, 4)"),
        (
            Convolution(SQUARE),
            [(5, 5), (3, 3, 4, 2), (2,)],
            "input must have shape (H, W, C), not (5, 5)",
        ),
        (
            Convolution(SQUARE),
            [IMAGE, (3, 3, 4), (2,)],
            "weight must have shape (kh, kw, C / groups, N), not (3, 3, 4)",
        ),
        (
            Convolution(SQUARE),
            [IMAGE, (3, 2, 4, 2), (2,)],
            "weight must have a kernel of (3, 3), not [3, 2]",
        ),
        (
            Convolution(SQUARE, 2),
            [IMAGE, (3, 3, 4, 2), (2,)],
            "2 groups of 4 channels and 2 results do not fit an input of 4 channels",
        ),
        (
            Convolution(SQUARE),
            [(2, 5, 4), (3, 3, 4, 2), (2,)],
            "a kernel of (3, 3) with dilation (1, 1) is larger than the padded input, which has "
            "2 rows",
        ),
        (
            Convolution(Window((3, 3), stride=(0, 1))),
            [IMAGE, (3, 3, 4, 2), (2,)],
            "kernel, stride and dilation must be at least 1 and padding at least 0, "
            "not (3, 3), (0, 1), (1, 1) and (0, 0, 0, 0)",
        ),
        (
            TransposedConvolution(SQUARE),
            [IMAGE, (3, 3, 3, 2), (2,)],
            "weight must have shape (3, 3, 4) and results, not (3, 3, 3, 2)",
        ),
        (
            TransposedConvolution(SQUARE, groups=3),
            [IMAGE, (3, 3, 4, 2), (6,)],
            "4 channels are not 3 groups",
        ),
        (
            TransposedConvolution(Window((3, 3), padding=(4, 0, 4, 0))),
            [IMAGE, (3, 3, 4, 2), (2,)],
            "window (3x3 padding 4,0,4,0) leaves no output of (5, 5)",
        ),
        (
            MaxPool(Window((2, 2), padding=(2, 0, 0, 0))),
            [IMAGE],
            "padding (2, 0, 0, 0) must be less than the window (2, 2)",
        ),
        (
            AveragePool(Window((2, 2), padding=(0, 0, 0, 2))),
            [IMAGE],
            "padding (0, 0, 0, 2) must be less than the window (2, 2)",
        ),
        (BatchNorm(), [IMAGE, (4,), (4,), (3,), (4,)], "mean must have shape (4,), not (3,)"),
        (
            Add(),
            [(2, 3), (3, 2)],
            "needs two inputs of one shape, or sizes of 1, not (2, 3) and (3, 2)",
        ),
        (
            Concat(),
            [(2, 3), (3, 3)],
            "inputs must differ in channels only, not (2, 3), (3, 3)",
        ),
        (Pad((0, -1, 0, 0)), [IMAGE], "padding must be at least 0, not (0, -1, 0, 0)"),
        (Dropout(1.0), [(3,)], "rate must be 0 to below 1, not 1.0"),
        (Dropout(nan), [(3,)], "rate must be 0 to below 1, not nan"),
        (Shuffle((0, 0)), [(3, 2)], "order must be a permutation of 2 channels"),
        (
            LocalResponseNorm(0),
            [IMAGE],
            "needs size >= 1, bias > 0 and alpha >= 0, not 0, 1.0 and 0.0001",
        ),
        (
            Unflatten((1, 2, 2), (0, 1, 2, 3)),
            [(5,)],
            "a value of shape (5,) cannot become (1, 2, 2)",
        ),
        (Unflatten((1, 2, 2), (0, 1, 2, 2)), [(4,)], "order must be a permutation of 4 elements"),
        (Clip(1.0, 0.0), [(3,)], "clip needs low <= high, not 1.0 and 0.0"),
        (Softmax(), [()], "input must have channels, not shape ()"),
        (Shuffle(()), [()], "input must have channels, not shape ()"),
        (LayerNorm(), [(2, 3), (2,), (3,)], "scale must have shape (3,), not (2,)"),
        (LayerNorm(0.0), [(2, 3), (3,), (3,)], "epsilon must be positive, not 0.0"),
        (
            MatMul(),
            [(2, 3), (4, 3, 5)],
            "needs as many matrices of both inputs, not (2, 3) and (4, 3, 5)",
        ),
        (
            MatMul(transpose_b=True),
            [(2, 3), (3, 5)],
            "rows of 3 and columns of 5 elements have no product",
        ),
        (ReduceMean((-3,)), [(2, 3)], "axes must be different ones of [-2, -1], not (-3,)"),
        (ReduceMax((-1, -1)), [(2, 3)], "axes must be different ones of [-2, -1], not (-1, -1)"),
        (ReduceMax((0,)), [(2, 3)], "axes must be different ones of [-2, -1], not (0,)"),
        (Reshape((4, 2)), [(2, 3)], "a value of shape (2, 3) cannot become (4, 2)"),
        (Reshape((-2, -3)), [(2, 3)], "a value of shape (2, 3) cannot become (-2, -3)"),
        (
            Resize(nearest(2, [0]), nearest(4, [0, 3])),
            [IMAGE],
            f"rows 1 of 2 and columns 2 of 4 are not of a map {IMAGE}",
        ),
        (
            Resize(nearest(IMAGE[0], []), nearest(IMAGE[1], [0])),
            [IMAGE],
            f"rows 0 of {IMAGE[0]} and columns 1 of {IMAGE[1]} are not of a map {IMAGE}",
        ),
        (Transpose((0, 2)), [(2, 3)], "order must be a permutation of 2 axes, not (0, 2)"),
    ],
)
def test_shapes(op: Operator, shapes: list[Shape], message: str) -> None:
    with pytest.raises(InputError, match=f"^{escape(message)}$"):
        op.shape(*shapes)


def test_a_variance_has_a_root() -> None:
    one = np.ones(2)
    BatchNorm().check(None, one, one, one, np.array([0.0, 1.0]))
    with pytest.raises(InputError, match=r"variance \+ epsilon must be positive"):
        BatchNorm().check(None, one, one, one, np.array([-1.0, 1.0]))
