"""Quantization: scales, integers, and how far they are from floating point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from tests.compiler.codes import Codes, codes_of, host_codes, result_of, weight_of

SMALL = PRESETS["small"]
RNG = np.random.default_rng(0)


def network(k: int = 12, n: int = 7) -> Graph:
    weight, bias = RNG.normal(size=(k, n)), RNG.normal(size=n)
    return Builder("net", k).dense(weight, bias).build()


def quantize(
    graph: Graph, samples: np.ndarray | None, config: Config = SMALL
) -> tuple[Codes, Codes, int]:
    """The first layer in integers: weights, biases, zero point of the input."""
    made = quantize_graph(graph, samples, config)
    return *weight_of(made), made.input.codes.zero


def run_quantized(graph: Graph, values: np.ndarray) -> np.ndarray:
    codes = codes_of(graph, host_codes(graph, values))
    return result_of(graph).decode(codes).reshape(len(codes), -1)


@given(st.floats(1e-12, 1e6), st.sampled_from([16, 24, 31]))
def test_multiplier_is_near_the_ratio(ratio: float, bits: int) -> None:
    multiplier, shift = fixed_point(ratio, bits)
    assert 0 <= multiplier < 1 << bits
    assert -63 <= shift <= 63
    error = abs(multiplier * 2.0**-shift - ratio)
    assert error <= max(ratio * 2.0**-bits, 2.0**-63)


def test_multiplier_has_all_its_bits() -> None:
    assert fixed_point(1.0, 16) == (1 << 15, 15)
    assert fixed_point(1 - 2.0**-40, 16) == (1 << 15, 15)


@given(st.integers(-(1 << 32), 1 << 32), st.integers(0, (1 << 31) - 1), st.integers(-20, 63))
def test_requantize_rounds_half_to_even(value: int, multiplier: int, shift: int) -> None:
    rounded = int(requantize(np.array([value]), np.array([multiplier]), np.array([shift]))[0])
    product = value * multiplier
    if shift > 0:
        quotient, rest = product >> shift, product & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        assert rounded == quotient + (rest > half or (rest == half and quotient % 2 == 1))
    else:
        assert max(-100, min(100, rounded)) == max(-100, min(100, product << -shift))


def test_codes_cover_the_range_and_zero() -> None:
    source = quantize_graph(network(), RNG.uniform(1.0, 3.0, (9, 12)), SMALL).input.codes
    assert source.zero == -128
    assert source.decode(127) == pytest.approx(3.0, rel=0.05)
    assert int(source.encode(0.0)) == -128


def test_encode_saturates_and_rounds_to_even() -> None:
    codes = Affine8(2.0, 1).encode([1.0, 3.0, 1e9, -1e9])
    np.testing.assert_array_equal(codes, [1, 3, 127, -128])


def test_weights_are_symmetric_per_column() -> None:
    weight, *_ = quantize(network(), RNG.normal(size=(9, 12)))
    np.testing.assert_array_equal(np.abs(weight).max(axis=(0, 1, 2)), 127)


@pytest.mark.parametrize("functions", [(), ("relu",), ("sigmoid",), ("tanh",), ("relu", "tanh")])
def test_quantized_is_near_float(functions: tuple[str, ...]) -> None:
    builder = Builder("net", 30).dense(RNG.normal(size=(30, 9)) / 5, RNG.normal(size=9) / 5)
    for function in functions:
        getattr(builder, function)()
    graph = builder.build()
    inputs = RNG.normal(size=(200, 30))
    got = run_quantized(quantize_graph(graph, inputs, SMALL), inputs)
    wanted = run_float(graph, inputs)
    assert np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2)) < 0.03


def test_clip_gives_exact_limits() -> None:
    graph = Builder("net", 4).dense(np.eye(4)).clip(-0.5, 0.25).build()
    quantized = quantize_graph(graph, RNG.normal(size=(50, 4)), SMALL)
    codes = codes_of(quantized, np.array([127, 127, -128, -128]).reshape(1, 1, 1, 4))
    values = result_of(quantized).decode(codes).ravel()
    np.testing.assert_allclose(values, [0.25, 0.25, -0.5, -0.5], atol=0.002)


@pytest.mark.parametrize("k", [1, 50, 3000])
def test_sums_fit_the_narrowest_accumulator(k: int) -> None:
    graph = Builder("net", k).dense(np.ones((k, 2)), np.array([1e6, 0.0])).build()
    config = replace(SMALL, acc_bits=24, scale_bits=16)
    weight, offsets, zero = quantize(graph, RNG.uniform(0, 1, (5, k)), config)
    wide = weight.astype(np.int64)
    bias = offsets - zero * wide.sum(axis=(0, 1, 2))
    assert 128 * np.abs(wide).sum(axis=(0, 1, 2)).max() + np.abs(bias).max() < 1 << 23


def test_dead_layer_is_possible() -> None:
    graph = Builder("net", 3).dense(np.zeros((3, 2)), np.zeros(2)).relu().build()
    quantized = quantize_graph(graph, np.zeros((1, 3)), SMALL)
    np.testing.assert_array_equal(run_quantized(quantized, np.ones((4, 3))), 0)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, r"net: quantization needs calibration data, samples of 'input' with shape \(12,\)"),
        (np.zeros((3, 5)), r"calibration data: shape must be \(samples, 12\), not \(3, 5\)"),
        (np.zeros((0, 12)), "calibration data: at least one sample is needed"),
        (np.full((2, 12), np.nan), "calibration data: values must be finite"),
        ([["a"] * 12], "calibration data: must be an array of numbers"),
    ],
)
def test_calibration_wrong(data: np.ndarray, text: str) -> None:
    with pytest.raises(InputError, match=text):
        quantize(network(), data)


def test_depth_too_large_for_sums() -> None:
    graph = Builder("net", 70000).dense(np.ones((70000, 1))).build()
    config = replace(SMALL, acc_bits=24, scale_bits=16)
    with pytest.raises(InputError, match="70000 products are too many for sums of 24 bits"):
        quantize(graph, np.ones((1, 70000)), config)
