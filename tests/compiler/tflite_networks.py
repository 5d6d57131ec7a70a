"""Random networks of int8 TensorFlow Lite operators of all kinds, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.compiler.tflite_cases import ROWS, scale, zero
from tests.compiler.tflite_files import SAME, VALID, FileBuilder

__all__ = ["KINDS", "Drawing", "draw_network"]

Random = np.random.Generator
_LARGEST = 3000
"""Elements of a tensor that become no more."""


@dataclass
class Drawing:
    """A network so far.

    Members
    -------
    values
        Its tensors that can be read.
    """

    rng: Random
    b: FileBuilder = field(default_factory=FileBuilder)
    values: list[int] = field(default_factory=list)

    def shape(self, value: int) -> tuple[int, ...]:
        return tuple(self.b.tensors[value].shape)

    def codes(self, value: int) -> tuple[float, int]:
        return self.b.tensors[value].scale[0], self.b.tensors[value].zero[0]

    def new(self, shape: tuple[int, ...], codes: tuple[float, int] | None = None) -> int:
        """A tensor, quantized in some way."""
        return self.b.tensor(shape, *(codes or (scale(self.rng, 0.02, 0.2), zero(self.rng))))

    def like(self, value: int, shape: tuple[int, ...]) -> int:
        """A tensor quantized as another one."""
        return self.new(shape, self.codes(value))

    def ints(self, *numbers: int) -> int:
        return self.b.constant(np.array(numbers, np.int32))

    def constant(self, shape: tuple[int, ...], codes: tuple[float, int]) -> int:
        data = np.asarray(self.rng.integers(-128, 128, shape), np.int8)
        return self.b.tensor(shape, *codes, data=data)

    def axis(self, value: int) -> int:
        return int(self.rng.integers(1, len(self.shape(value))))

    def one(self, kind: str, value: int, **options: float) -> int:
        """An operator whose result has the shape and any quantization."""
        made = self.new(self.shape(value))
        self.b.operator(kind, [value], made, **options)
        return made


def _function(d: Drawing, x: int) -> int:
    kind = str(d.rng.choice(["GELU", "HARD_SWISH", "LEAKY_RELU", "ABS", "EXP", "LOG", "RELU6"]))
    options = {"GELU": {"Approximate": bool(d.rng.integers(2))}, "LEAKY_RELU": {"Alpha": 0.3}}
    return d.one(kind, x, **options.get(kind, {}))


def _fixed(d: Drawing, x: int) -> int:
    kind, codes = [("LOGISTIC", (1 / 256, -128)), ("TANH", (1 / 128, 0))][int(d.rng.integers(2))]
    y = d.new(d.shape(x), codes)
    d.b.operator(kind, [x], y)
    return y


def _pair(d: Drawing, x: int) -> int:
    kind = str(d.rng.choice(["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM"]))
    chooses = kind in ("MAXIMUM", "MINIMUM")
    codes = d.codes(x) if chooses else (scale(d.rng), zero(d.rng))
    sizes = tuple(n if d.rng.integers(3) else 1 for n in d.shape(x))
    others = [y for y in d.values if d.shape(y) == d.shape(x)]
    if d.rng.integers(2) and not chooses:
        y = others[int(d.rng.integers(len(others)))]
    else:
        y = d.constant(sizes, codes)
    z = d.like(x, d.shape(x)) if chooses else d.new(d.shape(x), (scale(d.rng, 0.1, 1), zero(d.rng)))
    options = {} if chooses or kind == "SQUARED_DIFFERENCE" else {"FusedActivationFunction": 0}
    d.b.operator(kind, [x, y] if d.rng.integers(2) else [y, x], z, **options)
    return z


def _prelu(d: Drawing, x: int) -> int:
    alpha = d.constant((1,) * (len(d.shape(x)) - 2) + d.shape(x)[-1:], (scale(d.rng), zero(d.rng)))
    y = d.new(d.shape(x))
    d.b.operator("PRELU", [x, alpha], y)
    return y


def _reduced(d: Drawing, x: int) -> int:
    kind = str(d.rng.choice(["MEAN", "REDUCE_MAX", "REDUCE_MIN"]))
    axis, keep = d.axis(x), bool(d.rng.integers(2)) or len(d.shape(x)) < 3
    shape = [*d.shape(x)]
    shape[axis : axis + 1] = [1] if keep else []
    codes = None if kind == "MEAN" else d.codes(x)
    y = d.new(tuple(shape), codes)
    d.b.operator(kind, [x, d.ints(axis)], y, KeepDims=keep)
    return y


def _softmax(d: Drawing, x: int) -> int:
    y = d.new(d.shape(x), (1 / 256, -128))
    d.b.operator("SOFTMAX", [x], y, Beta=1.0)
    return y


def _channels(d: Drawing, x: int) -> int:
    kind = str(d.rng.choice([*ROWS]))
    y = d.new(d.shape(x), ROWS[kind])
    d.b.operator(kind, [x], y)
    return y


def _reshape(d: Drawing, x: int) -> int:
    shape = [*d.shape(x)[1:]]
    d.rng.shuffle(shape)
    y = d.like(x, (1, *shape) if d.rng.integers(2) else (1, int(np.prod(shape))))
    d.b.reshape(x, y)
    return y


def _transpose(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) != 4:
        return None
    order = [0, *(1 + d.rng.permutation(3)).tolist()]
    y = d.like(x, tuple(d.shape(x)[axis] for axis in order))
    d.b.operator("TRANSPOSE", [x, d.ints(*order)], y)
    return y


def _slice(d: Drawing, x: int) -> int:
    shape, axis = [*d.shape(x)], d.axis(x)
    begin, step = [0] * len(shape), [1] * len(shape)
    end = [*shape]
    begin[axis] = int(d.rng.integers(shape[axis]))
    end[axis] = int(d.rng.integers(begin[axis] + 1, shape[axis] + 1))
    if d.rng.integers(2):
        made = [high - low for low, high in zip(begin, end, strict=True)]
        y = d.like(x, tuple(made))
        d.b.operator("SLICE", [x, d.ints(*begin), d.ints(*made)], y)
        return y
    step[axis] = int(d.rng.integers(1, 3))
    made = [len(range(*part)) for part in zip(begin, end, step, strict=True)]
    y = d.like(x, tuple(made))
    d.b.operator("STRIDED_SLICE", [x, d.ints(*begin), d.ints(*end), d.ints(*step)], y, BeginMask=0)
    return y


def _gather(d: Drawing, x: int) -> int:
    axis, shape = d.axis(x), [*d.shape(x)]
    line = d.rng.integers(0, shape[axis], int(d.rng.integers(1, 5))).tolist()
    shape[axis] = len(line)
    y = d.like(x, tuple(shape))
    d.b.operator("GATHER", [x, d.ints(*line)], y, Axis=axis, BatchDims=0)
    return y


def _tile(d: Drawing, x: int) -> int:
    axis, times = d.axis(x), [1] * len(d.shape(x))
    times[axis] = int(d.rng.integers(1, 3))
    y = d.like(x, tuple(n * m for n, m in zip(d.shape(x), times, strict=True)))
    d.b.operator("TILE", [x, d.ints(*times)], y)
    return y


def _split(d: Drawing, x: int) -> int | None:
    axis, shape = d.axis(x), [*d.shape(x)]
    if shape[axis] % 2:
        return None
    shape[axis] //= 2
    parts = [d.like(x, tuple(shape)) for _ in range(2)]
    d.b.operators.append(("SPLIT", [d.ints(axis), x], parts, {"NumSplits": 2}))
    d.values.append(parts[0])
    return parts[1]


def _unpack(d: Drawing, x: int) -> int | None:
    axis, shape = d.axis(x), d.shape(x)
    if len(shape) < 3 or shape[axis] > 4:
        return None
    made = shape[:axis] + shape[axis + 1 :]
    parts = [d.like(x, made) for _ in range(shape[axis])]
    d.b.operators.append(("UNPACK", [x], parts, {"Axis": axis, "Num": len(parts)}))
    d.values.extend(parts)
    return parts[0]


def _pack(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) > 3:
        return None
    axis = int(d.rng.integers(1, len(d.shape(x)) + 1))
    y = d.like(x, (*d.shape(x)[:axis], 2, *d.shape(x)[axis:]))
    other = d.like(x, d.shape(x))
    d.b.operator("RELU", [x], other)
    d.b.operator("PACK", [x, other], y, Axis=axis, ValuesCount=2)
    return y


def _concat(d: Drawing, x: int) -> int:
    axis, shape = d.axis(x), [*d.shape(x)]
    more = [*shape]
    more[axis] = int(d.rng.integers(1, 4))
    other = d.constant(tuple(more), d.codes(x))
    shape[axis] += more[axis]
    y = d.like(x, tuple(shape))
    d.b.operator("CONCATENATION", [x, other], y, Axis=axis)
    return y


def _pad(d: Drawing, x: int) -> int:
    shape, border = [*d.shape(x)], np.zeros((len(d.shape(x)), 2), np.int32)
    border[d.axis(x)] = d.rng.integers(0, 3, 2)
    y = d.like(x, tuple((np.array(shape) + border.sum(axis=1)).tolist()))
    value = []
    if kind := int(d.rng.integers(2)):
        data = np.array([d.rng.integers(-128, 128)], np.int8)
        value = [d.b.tensor((1,), *d.codes(x), data=data)]
    d.b.operator("PADV2" if kind else "PAD", [x, d.b.constant(border), *value], y)
    return y


def _mirror(d: Drawing, x: int) -> int:
    border = np.zeros((len(d.shape(x)), 2), np.int32)
    axis, mode = d.axis(x), int(d.rng.integers(2))
    border[axis] = d.rng.integers(0, max(1, d.shape(x)[axis] + mode - 1), 2)
    y = d.like(x, tuple((np.array(d.shape(x)) + border.sum(axis=1)).tolist()))
    d.b.operator("MIRROR_PAD", [x, d.b.constant(border)], y, Mode=mode)
    return y


def _resize(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) != 4:
        return None
    _, height, width, channels = d.shape(x)
    nearest = bool(d.rng.integers(2))
    factors = d.rng.integers(1, 4, 2) if nearest else d.rng.choice([1, 2, 4], 2)
    sizes = height * int(factors[0]), width * int(factors[1])
    if nearest and d.rng.integers(2):
        sizes = int(d.rng.integers(1, 9)), int(d.rng.integers(1, 9))
    half = bool(d.rng.integers(2))
    kind = "RESIZE_NEAREST_NEIGHBOR" if nearest else "RESIZE_BILINEAR"
    y = d.like(x, (1, *sizes, channels))
    d.b.operator(kind, [x, d.ints(*sizes)], y, AlignCorners=False, HalfPixelCenters=half)
    return y


def _blocks(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) != 4:
        return None
    _, height, width, channels = d.shape(x)
    if channels % 4 == 0:
        y = d.like(x, (1, height * 2, width * 2, channels // 4))
        d.b.operator("DEPTH_TO_SPACE", [x], y, BlockSize=2)
        return y
    if height % 2 or width % 2:
        return None
    y = d.like(x, (1, height // 2, width // 2, channels * 4))
    d.b.operator("SPACE_TO_DEPTH", [x], y, BlockSize=2)
    return y


def _matmul(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) < 3:
        return None
    *rest, rows, columns = d.shape(x)
    turned = bool(d.rng.integers(2))
    size = columns if turned else rows
    other = d.one("RELU", x)
    y = d.new((*rest, size, size), (scale(d.rng, 0.2, 2), zero(d.rng)))
    d.b.operator("BATCH_MATMUL", [x, other], y, AdjX=turned, AdjY=not turned)
    return y


def _dense(d: Drawing, x: int) -> int:
    channels, count = d.shape(x)[-1], int(d.rng.integers(1, 12))
    weight = d.b.constant(d.rng.integers(-127, 128, (count, channels)).astype(np.int8), 0.01)
    y = d.new((*d.shape(x)[:-1], count))
    d.b.operator("FULLY_CONNECTED", [x, weight, -1], y, FusedActivationFunction=0, KeepNumDims=True)
    return y


def _convolution(d: Drawing, x: int) -> int | None:
    if len(d.shape(x)) != 4 or min(d.shape(x)[1:3]) < 3:
        return None
    _, height, width, channels = d.shape(x)
    count, padding = int(d.rng.integers(1, 9)), int(d.rng.integers(2))
    weight = d.b.constant(d.rng.integers(-127, 128, (count, 3, 3, channels)).astype(np.int8), 0.01)
    bias = d.b.constant(d.rng.integers(-999, 999, count).astype(np.int32), 0.001)
    assert {SAME, VALID} == {0, 1}
    sizes = (height, width) if padding == SAME else (height - 2, width - 2)
    y = d.new((1, *sizes, count))
    ones = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    d.b.operator("CONV_2D", [x, weight, bias], y, Padding=padding, **ones)
    return y


KINDS: dict[str, Callable[[Drawing, int], int | None]] = {
    "blocks": _blocks,
    "channels": _channels,
    "concat": _concat,
    "convolution": _convolution,
    "dense": _dense,
    "fixed": _fixed,
    "function": _function,
    "gather": _gather,
    "matmul": _matmul,
    "mirror": _mirror,
    "pack": _pack,
    "pad": _pad,
    "pair": _pair,
    "prelu": _prelu,
    "reduced": _reduced,
    "reshape": _reshape,
    "resize": _resize,
    "slice": _slice,
    "softmax": _softmax,
    "split": _split,
    "tile": _tile,
    "transpose": _transpose,
    "unpack": _unpack,
}


def draw_network(seed: int, kinds: tuple[str, ...] = (*KINDS,)) -> FileBuilder:
    """Two to seven operators of some kinds, one after the other; some read two results."""
    d = Drawing(np.random.default_rng(seed))
    rank = int(d.rng.integers(1, 4))
    d.values.append(d.new((1, *d.rng.integers(1, 8, rank).tolist())))
    count = int(d.rng.integers(2, 8))
    for _ in range(10 * count):
        x = d.values[-1] if d.rng.integers(4) else d.values[int(d.rng.integers(len(d.values)))]
        made = KINDS[str(d.rng.choice(kinds))](d, x)
        if made is not None:
            d.values.append(made)
            count -= 1
        if not count or np.prod(d.shape(d.values[-1])) > _LARGEST:
            break
    last = d.one("RELU", d.values[-1])
    assert last == len(d.b.tensors) - 1
    return d.b
