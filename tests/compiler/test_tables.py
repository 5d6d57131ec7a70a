"""Function tables against the functions they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.numerics.tables import TABLES, table
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.surrogate_spike import SurrogateSpike
from pulsarray.config import Config

ARGUMENTS = np.arange(-(1 << 15), 1 << 15)
# One unit in the last place is 2^-15; the reciprocal and the power saturate at their largest value.
ERRORS = {
    "sigmoid": 1.3, "tanh": 2.1, "exp": 1.0, "reciprocal": 1.0, "log2": 1.0, "gelu": 2.5,
    "gelu-tanh": 2.5, "silu": 3.6, "gelu slope": 3.6, "gelu-tanh slope": 3.6, "silu slope": 5.4,
    "surrogate_spike slope": 20.0,
}  # fmt: skip
RISING = {
    "sigmoid": True, "tanh": True, "exp": False, "reciprocal": False, "log2": True, "gelu": True,
    "gelu-tanh": True, "silu": True,
}  # fmt: skip
GATED = {"gelu": (Gelu(), 12), "gelu-tanh": (Gelu(tanh=True), 12), "silu": (Silu(), 11)}


@pytest.mark.parametrize("name", TABLES)
def test_largest_error(name: str) -> None:
    wanted = TABLES[name](ARGUMENTS.astype(np.float64))
    assert np.abs(table(name, 256)(ARGUMENTS) - wanted).max() <= ERRORS[name]


@pytest.mark.parametrize("name", RISING)
def test_monotonic(name: str) -> None:
    steps = np.diff(table(name, 256)(ARGUMENTS))
    assert (steps >= 0).all() if RISING[name] else (steps <= 0).all()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("segments", [16, 32, 64, 128, 256])
def test_coefficients_and_values_fit(name: str, segments: int) -> None:
    entries = table(name, segments)
    assert len(entries.offsets) == len(entries.slopes) == segments
    assert np.abs(entries.offsets).max() < 1 << 31
    assert np.abs(entries.slopes).max() < 1 << 15
    assert 0 <= entries.shift <= 63
    values = entries(ARGUMENTS)
    assert -(1 << 15) <= values.min() <= values.max() < 1 << 15


@pytest.mark.parametrize("name", GATED)
def test_gates_and_slopes_are_those_of_the_operators(name: str) -> None:
    operator, bits = GATED[name]
    codes = ARGUMENTS[ARGUMENTS != 0].astype(np.float64)
    x = np.ldexp(codes, -bits)
    y = operator.real(x)
    np.testing.assert_allclose(TABLES[name](codes) / 2**15, y / x, atol=1e-12)
    slope = TABLES[f"{name} slope"](codes) / 2**14
    np.testing.assert_allclose(slope, operator.derivative(x, y), atol=1e-12)
    # What is beyond the table has the gate of its ends.
    assert table(name, 256)(np.array([-(1 << 15), (1 << 15) - 1])).tolist() == [0, (1 << 15) - 1]


def test_values_saturate() -> None:
    # 2^-0 and 2^30 / 2^15 are 2^15, one more than fits.
    assert table("exp", 256)(np.array([-(1 << 15)])) == (1 << 15) - 1
    assert table("reciprocal", 256)(np.array([-(1 << 15)])) == (1 << 15) - 1


@pytest.mark.parametrize(("dim", "bus"), [(2, 32), (5, 32), (32, 512)])
@pytest.mark.parametrize("segments", [16, 256])
def test_words_hold_every_coefficient(dim: int, bus: int, segments: int) -> None:
    config = Config(
        dim=dim, operand_bits=16, acc_bits=48, scale_bits=0, table_segments=segments, bus_bits=bus
    )
    entries = table("tanh", segments)
    words = entries.words(config)
    assert words.dtype == np.uint8
    assert len(words) == 3 * config.table_words * config.word_bytes
    low, high, slopes = words.view("<u2").reshape(3, -1)[:, :segments].astype(np.int64)
    assert np.array_equal((low | high << 16).astype(np.uint32).view(np.int32), entries.offsets)
    assert np.array_equal(slopes.astype(np.uint16).view(np.int16), entries.slopes)


def test_slopes_of_spikes_are_those_of_the_operator() -> None:
    codes = ARGUMENTS.astype(np.float64)
    slope = TABLES["surrogate_spike slope"](codes) / 2**14
    x = np.ldexp(codes, -13)
    np.testing.assert_allclose(slope, SurrogateSpike().derivative(x, x > 0), atol=1e-12)
