"""The operators of int8 networks, against plain loops over their definitions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.fixed_point import fixed_point, quantize_multiplier
from pulsarray.compiler.numerics.rounding import high_multiply, rounding_shift
from pulsarray.compiler.ops.integer import (
    Add,
    AveragePool,
    Concat,
    Convolution,
    Copy,
    Elementwise,
    MaxPool,
    Multiply,
    TfliteAdd,
    TransposedConvolution,
)
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.pool import count_scale
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.compiler.reference.run import run, run_outputs
from pulsarray.errors import InputError

SEEDS = range(12)


def half_even(value: Fraction) -> int:
    return round(value)  # Python rounds fractions half to even


def gemmlowp(value: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier as gemmlowp writes it, with C's truncating division."""
    product = (value << max(31 - shift, 0)) * multiplier
    nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
    high = abs(product + nudge) >> 31
    return divide_by_power(high if product + nudge >= 0 else -high, max(shift - 31, 0))


def divide_by_power(value: int, exponent: int) -> int:
    mask = (1 << exponent) - 1
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0))


def scaled(value: int, channel: int, scale: Scale) -> int:
    at = channel if len(scale.multiplier) > 1 else 0
    multiplier, shift = int(scale.multiplier[at]), int(scale.shift[at])
    if scale.tflite:
        result = gemmlowp(value, multiplier, shift)
    else:
        result = half_even(Fraction(value * multiplier) / Fraction(2) ** shift)
    return finished(result, scale)


def finished(value: int, scale: Scale) -> int:
    code = min(max(value + scale.zero, scale.low), scale.high)
    return code if scale.table is None else int(scale.table[code + 128])


def codes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-128, 128, shape)


def defined(op: Operator, arrays: list[np.ndarray], *zeros: int) -> np.ndarray:
    """What an operator makes of arrays, which have these zero points."""
    formats = [Affine8(1.0, zero) for zero in (*zeros, *[0] * (len(arrays) - len(zeros)))]
    return op.integer(arrays, formats, Affine8(1.0))


def random_scale(rng: np.random.Generator, count: int, reach: float, *, tflite: bool) -> Scale:
    ratios = rng.uniform(20, 200, count if rng.integers(2) else 1) / reach
    if rng.integers(3) == 0:
        ratios = 2.0 ** np.round(np.log2(ratios))  # then many sums are half way
    pairs = np.array([fixed_point(ratio, 31) for ratio in ratios])
    table = rng.permutation(256) - 128 if rng.integers(4) == 0 else None
    low, high = sorted(rng.integers(-128, 128, 2).tolist()) if rng.integers(2) else (-128, 127)
    zero = int(rng.integers(-128, 128))
    return Scale(pairs[:, 0], pairs[:, 1], zero, low, high, tflite, table)


def random_window(rng: np.random.Generator, *, dilated: bool = True) -> Window:
    kernel = tuple(rng.integers(1, 4, 2).tolist())
    dilation = tuple(rng.integers(1, 3, 2).tolist()) if dilated else (1, 1)
    top, left, bottom, right = (
        int(rng.integers(0, (kernel[i % 2] - 1) * dilation[i % 2] + 1)) for i in range(4)
    )
    stride = tuple(rng.integers(1, 4, 2).tolist())
    return Window(kernel, stride, (top, left, bottom, right), dilation)


def seen(window: Window, y: int, x: int, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """(kernel row, kernel column, input row, input column) inside the input."""
    places = []
    for ky, kx in product(range(window.kernel[0]), range(window.kernel[1])):
        row = y * window.stride[0] - window.padding[0] + ky * window.dilation[0]
        column = x * window.stride[1] - window.padding[1] + kx * window.dilation[1]
        if 0 <= row < shape[1] and 0 <= column < shape[2]:
            places.append((ky, kx, row, column))
    return places


def each(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(product(*map(range, shape)))


@pytest.mark.parametrize("tflite", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_convolution(seed: int, tflite: bool) -> None:
    rng = np.random.default_rng(seed)
    groups, depth, per_group = rng.integers(1, 4, 3).tolist()
    depth = 1 if seed % 4 == 0 else depth
    source, window = codes(rng, 2, 7, 6, groups * depth), random_window(rng)
    weight = codes(rng, *window.kernel, depth, groups * per_group)
    bias = rng.integers(-9999, 9999, groups * per_group)
    zero = int(rng.integers(-128, 128))
    scale = random_scale(rng, groups * per_group, 3e5, tflite=tflite)
    size = window.output(7, 6)
    shape = (2, *size, groups * per_group)
    residual, other = None, codes(rng, *shape)
    if not tflite and seed % 2:
        shift = np.full(1, scale.shift[0])
        scale = Scale(scale.multiplier, shift, scale.zero, scale.low, scale.high)
        residual = Residual(int(rng.integers(0, 1 << 31)))
    op = Convolution(window, groups, scale, residual)
    arrays = [source, weight, bias, other][: 3 + bool(residual)]
    assert op.shape(*(a.shape[1:] if k in (0, 3) else a.shape for k, a in enumerate(arrays)))
    computed = defined(op, arrays, zero, 0, 0, 5)
    assert computed.shape == shape
    assert computed.dtype == np.int64
    for n, y, x, c in each(shape):
        first = c // per_group * depth
        total = int(bias[c])
        for ky, kx, row, column in seen(window, y, x, source.shape):
            pixel = source[n, row, column, first : first + depth] - zero
            total += int(pixel @ weight[ky, kx, :, c])
        if residual:
            at = c if len(scale.multiplier) > 1 else 0
            sums = total * int(scale.multiplier[at])
            sums += (int(other[n, y, x, c]) - 5) * residual.factor
            rounded = half_even(Fraction(sums, 1 << int(scale.shift[0])))
            assert computed[n, y, x, c] == finished(rounded, scale)
        else:
            assert computed[n, y, x, c] == scaled(total, c, scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_transposed_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, depth, per_group = rng.integers(1, 3, 3).tolist()
    source, window = codes(rng, 2, 4, 3, groups * depth), random_window(rng)
    extents = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    top, left = (int(rng.integers(0, extent)) for extent in extents)
    bottom, right = int(rng.integers(-1, 2)), int(rng.integers(-1, 2))
    height = (4 - 1) * window.stride[0] + extents[0] - top - bottom
    width = (3 - 1) * window.stride[1] + extents[1] - left - right
    if height < 1 or width < 1:
        pytest.skip("no output")
    window = Window(window.kernel, window.stride, (top, left, bottom, right), window.dilation)
    weight = codes(rng, *window.kernel, groups * depth, per_group)
    count = groups * per_group
    bias, zero = rng.integers(-999, 999, count), int(rng.integers(-128, 128))
    scale = random_scale(rng, count, 1e5, tflite=bool(seed % 2))
    op = TransposedConvolution(window, groups, scale)
    assert op.shape((4, 3, groups * depth), weight.shape, (count,)) == (height, width, count)
    sums = np.broadcast_to(bias, (2, height, width, count)).copy()
    for n, y, x, c, ky, kx, k in each((*source.shape, *window.kernel, per_group)):
        row = y * window.stride[0] - top + ky * window.dilation[0]
        column = x * window.stride[1] - left + kx * window.dilation[1]
        if 0 <= row < height and 0 <= column < width:
            value = (source[n, y, x, c] - zero) * weight[ky, kx, c, k]
            sums[n, row, column, c // depth * per_group + k] += value
    computed = defined(op, [source, weight, bias], zero)
    assert computed.shape == sums.shape
    for place in each(sums.shape):
        assert computed[place] == scaled(int(sums[place]), place[3], scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_pools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, window = codes(rng, 2, 7, 6, 3), random_window(rng, dilated=seed % 2 == 0)
    border, zero = bool(rng.integers(2)), int(rng.integers(-128, 128))
    kernel = window.kernel[0] * window.kernel[1]
    scales = {count: count_scale(count, 0.7) for count in range(1, kernel + 1)}
    low, high = (-100, 90) if seed % 3 == 0 else (-128, 127)
    most = defined(MaxPool(window, low, high), [source], 3)
    raw = seed % 4 == 3
    computed = defined(AveragePool(window, border, scales, 7, low, high, raw), [source], zero)
    zero = 0 if raw else zero
    for n, y, x, c in each(computed.shape):
        places = seen(window, y, x, source.shape)
        values = [int(source[n, row, column, c]) for *_, row, column in places]
        count = kernel if border else len(values)
        if values:  # windows may see padding alone with these dilations
            assert most[n, y, x, c] == min(max(max(values), low), high)
            multiplier, shift = scales[count]
            total = sum(values) - len(values) * zero
            wanted = half_even(Fraction(total * multiplier, 1 << shift)) + 7
            assert computed[n, y, x, c] == min(max(wanted, low), high)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 9, 48, 49, 64, 125])
def test_means_that_round_away_from_zero(count: int) -> None:
    multiplier, shift = count_scale(count, away=True)
    for total in range(-128 * count, 128 * count + 1):
        up = Fraction(abs(total), count) + Fraction(1, 2)
        wanted = int(up) if total >= 0 else -int(up)
        assert half_even(Fraction(total * multiplier, 1 << shift)) == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_elementwise_operators(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = codes(rng, 2, 3, 4, 5), codes(rng, 2, 3, 4, 5)
    zeros = tuple(rng.integers(-128, 128, 2).tolist())
    factors = tuple(rng.integers(1, 1 << 31, 2).tolist())
    scale = random_scale(rng, 5, 200, tflite=bool(seed % 2))
    multiplier, shift = fixed_point(float(rng.uniform(0.001, 0.02)), 31)
    low, high = (-100, 90) if seed % 3 == 0 else (-128, 127)
    one = defined(Elementwise(scale), [a], *zeros)
    total = defined(Add(factors, 31, 3, low, high), [a, b], *zeros)
    times = defined(Multiply(multiplier, shift, 3, low, high), [a, b], *zeros)
    for place in each(a.shape):
        left, right = int(a[place]), int(b[place])
        assert one[place] == scaled(left - zeros[0], place[3], scale)
        both = (left - zeros[0]) * factors[0] + (right - zeros[1]) * factors[1]
        wanted = half_even(Fraction(both, 1 << 31)) + 3
        assert total[place] == min(max(wanted, low), high)
        area = (left - zeros[0]) * right * multiplier
        assert times[place] == min(max(half_even(Fraction(area, 1 << shift)) + 3, low), high)
    assert np.array_equal(defined(Concat(), [a, b, a], 1, 2), np.concatenate([a, b, a], 3))
    assert np.array_equal(defined(Copy(), [a], zeros[0]), a)


@pytest.mark.parametrize("seed", SEEDS)
def test_tflite_add(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = codes(rng, 1, 3, 4, 5), codes(rng, 1, 3, 4, 5)
    zeros = tuple(rng.integers(-128, 128, 2).tolist())
    scales = tuple(quantize_multiplier(float(rng.uniform(0.05, 0.5))) for _ in range(2))
    result = quantize_multiplier(float(rng.uniform(0.2, 2.0)) / (1 << 20))
    computed = defined(TfliteAdd(scales, result, -9, -100, 90), [a, b], *zeros)
    for place in each(a.shape):
        total = sum(
            gemmlowp((int(part[place]) - zero) << 20, *scale)
            for part, zero, scale in zip((a, b), zeros, scales, strict=True)
        )
        assert computed[place] == min(max(gemmlowp(total, *result) - 9, -100), 90)


def test_gemmlowp_at_its_limits() -> None:
    edges = [0, 1, -1, 2, 3, -3, 1 << 30, -(1 << 30), (1 << 31) - 1, -(1 << 31) + 1, 5 << 20]
    values = np.array(edges)
    for multiplier in (1 << 30, (1 << 31) - 1, 1518500250):
        for value, high in zip(edges, high_multiply(values, multiplier), strict=True):
            assert high == gemmlowp(value, multiplier, 31)
    for exponent in range(32):
        for value, rounded in zip(edges, rounding_shift(values, exponent), strict=True):
            assert rounded == divide_by_power(value, exponent)
    assert high_multiply(-(1 << 31), -(1 << 31)) == (1 << 31) - 1


@pytest.mark.parametrize(
    ("ratio", "pair"),
    [
        (0.5, (1 << 30, 31)),
        (1.0, (1 << 30, 30)),
        (2.0**-40, (0, 31)),
        (0.0, (0, 31)),
        (1 - 2.0**-40, (1 << 30, 30)),
        (0.75, (3 << 29, 31)),
    ],
)
def test_quantize_multiplier(ratio: float, pair: tuple[int, int]) -> None:
    assert quantize_multiplier(ratio) == pair


def tiny_graph() -> Graph:
    parts, form = Parts(), Affine8(0.1)
    parts.input("x", (2, 2, 1), form)
    for name in ("a", "b"):
        parts.map(name, (2, 2, 1), form)
    parts.map("y", (2, 2, 3), form)
    parts.add("a", Elementwise(Scale(np.array([1 << 30]), np.array([30]), low=0)), ("x",), "a")
    parts.add("b", Add((1, 1), 0, 0), ("a", "a"), "b")
    parts.add("y", Concat(), ("x", "b", "x"), "y")
    return parts.graph("tiny", ("y",))


def test_all_maps_and_output() -> None:
    source = np.array([-5, 3, 100, -128]).reshape(1, 2, 2, 1)
    maps = run(tiny_graph(), source)
    assert {name: codes.ravel().tolist() for name, codes in maps.items() if name != "y"} == {
        "x": [-5, 3, 100, -128],
        "a": [0, 3, 100, 0],
        "b": [0, 6, 127, 0],
    }
    computed = run_outputs(tiny_graph(), source)
    assert list(computed) == ["y"]
    assert np.array_equal(computed["y"], maps["y"])


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        (np.zeros((1, 2, 3, 1), int), r"shape \(N, H, W, C\) with \(H, W, C\) = \(2, 2, 1\)"),
        (np.zeros((2, 2, 1), int), "input 'x' must be integers"),
        (np.zeros((1, 2, 2, 1)), "not float64"),
        (np.full((1, 2, 2, 1), 128), r"codes of the input 'x' must be -128 \.\. 127"),
    ],
)
def test_wrong_input(codes: np.ndarray, text: str) -> None:
    with pytest.raises(InputError, match=text):
        run(tiny_graph(), codes)
