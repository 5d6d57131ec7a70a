"""The integers of training, number by number from fractions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsarray.compiler.ir.mantissas import Part
from pulsarray.compiler.numerics.mantissas import blen, exact, factor, rne, sym
from pulsarray.compiler.numerics.quotients import softmax
from pulsarray.compiler.numerics.tables import table
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.gradient import Gradient
from pulsarray.compiler.ops.loss import LossGradient
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.tanh import Tanh
from pulsarray.compiler.training.differentiate import LOSSES, Loss
from tests.compiler.backprop import rounded

Ints = npt.NDArray[np.int64]


class Exact:
    """Results as they are."""

    segments = 256

    def rounded(self, values: Ints, exponent: int) -> Part:
        return values, exponent

    def guarded(self, level: int) -> int:
        raise NotImplementedError


def class_gradient(probabilities: Ints, target: Ints) -> Ints:
    parts = (probabilities, -31), (target, 0)
    return LossGradient(Loss("cross-entropy")).mantissas(parts, Exact())[0]


WORDS = st.integers(-(1 << 62), (1 << 62) - 1)
FUNCTIONS: dict[str, Function] = {f.title: f() for f in (Relu, Sigmoid, Tanh)}
CODES = st.integers(-32767, 32767)


@given(st.lists(WORDS | st.integers(-64, 64), min_size=1, max_size=8), st.integers(-70, 70))
def test_rne_is_half_to_even(values: list[int], shift: int) -> None:
    assert rne(np.array(values), shift).tolist() == [rounded(v, shift) for v in values]


@pytest.mark.parametrize("shift", [1, 2, 15, 62, 63])
@pytest.mark.parametrize("value", [-(1 << 63), (1 << 63) - 1, -1, 0, 1])
def test_rne_at_the_ends_of_64_bits(shift: int, value: int) -> None:
    assert rne(np.array([value]), shift)[0] == rounded(value, shift)


def test_limits_and_lengths() -> None:
    values = np.array([-(1 << 15), -1, 0, 1 << 15])
    assert sym(values, 16).tolist() == [-32767, -1, 0, 32767]
    assert [blen(np.array(v)) for v in ([0, 0], [-4, 3], [3], [-(1 << 63)])] == [0, 3, 2, 64]


def test_sums_are_exact_beyond_53_bits() -> None:
    left = np.full((1, 3), (1 << 26) + 1)
    right = np.full((3, 1), (1 << 26) + 1)
    assert exact(MatMul().real, left, right)[0, 0] == 3 * ((1 << 26) + 1) ** 2


@given(st.floats(1e-6, 1e6))
def test_factor_is_the_nearest_mantissa(value: float) -> None:
    mantissa, exponent = factor(value, "rate")
    assert 1 << 14 <= mantissa < 1 << 15
    assert abs(mantissa * 2.0**exponent - value) <= 2.0 ** (exponent - 1)


@given(
    st.lists(st.lists(st.integers(-32767, 32767), min_size=5, max_size=5), min_size=1, max_size=4),
    st.integers(-17, -9),
)
def test_softmax(logits: list[list[int]], exponent: int) -> None:
    codes = np.array(logits)
    computed = softmax(codes, exponent, 256)
    powers = np.exp((codes - codes.max(axis=1, keepdims=True)) * 2.0**exponent)
    wanted = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(computed * 2.0**-31 - wanted).max() < 2e-4
    target = np.eye(5, dtype=np.int64)[codes.argmin(axis=1)] << 14
    assert not class_gradient(computed, target).sum(axis=1).any()


@given(st.lists(CODES, min_size=3, max_size=3), st.integers(-20, -8), st.integers(0, 2))
def test_softmax_bit_for_bit(logits: list[int], exponent: int, place: int) -> None:
    exp, reciprocal = table("exp", 256), table("reciprocal", 256)
    powers = []
    for z in logits:
        q = min(max(rounded((max(logits) - z) * 23637, -1 - exponent), 0), 40 << 15)
        whole = int(exp(np.array(2 * (q % (1 << 15)) - (1 << 15)))) << 15
        powers.append(whole // 2 ** (q // (1 << 15)))
    bits = sum(powers).bit_length()
    m = sum(powers) >> (bits - 16)
    r = int(reciprocal(np.array(2 * m - 3 * (1 << 15))))
    p = [rounded(power * r, bits - 17) for power in powers]
    computed = softmax(np.array([logits]), exponent, 256)
    assert computed.tolist() == [p]
    hit = [place == i for i in range(3)]
    wanted = [a - sum(p) if h else a for a, h in zip(p, hit, strict=True)]
    assert class_gradient(computed, np.array([hit]).astype(np.int64)).tolist() == [wanted]


def gradient(name: str, z: int, e_z: int, t: int, e_t: int) -> int:
    """A loss's gradient of one number, as docs/training.md says it; parameters 0.3."""
    if name == "hinge":
        return -t if rounded(z * t, -30 - e_z - e_t) < 1 << 30 else 0
    d = rounded(z, -30 - e_z) - rounded(t, -30 - e_t)
    if name == "mae":
        return (1 << 14) * ((d > 0) - (d < 0))
    if name == "log-cosh":
        return int(table("tanh", 256)(np.array(min(max(rounded(d, 17), -32767), 32767))))
    if name == "quantile":
        return 22938 if d > 0 else -9830 if d < 0 else 0
    most = round(0.3 * (1 << 30)) if name == "huber" else 1 << 60
    return min(max(d, -most), most)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"cross-entropy"}))
@given(CODES, st.integers(-40, -2), CODES, st.integers(-40, -2))
def test_losses_bit_for_bit(name: str, z: int, e_z: int, t: int, e_t: int) -> None:
    loss = Loss(name, 0.3 if LOSSES[name].parameter else None)
    for target in (t, z):
        parts = (np.array([[z]]), e_z), (np.array([[target]]), e_t)
        computed, exponent = LossGradient(loss).mantissas(parts, Exact())
        assert computed.tolist() == [[gradient(name, z, e_z, target, e_t)]]
        fixed = {"mae": -14, "log-cosh": -15, "quantile": -15, "hinge": e_t}
        assert exponent == fixed.get(name, -30)


@given(st.integers(-(1 << 40), 1 << 40), CODES)
def test_derivatives_bit_for_bit(value: int, code: int) -> None:
    z = abs(code)
    slopes = {
        "relu": (int(code > 0), 0),
        "sigmoid": (min(rounded(z * ((1 << 15) - z), 13), 32767), -17),
        "tanh": (min(rounded((1 << 30) - code**2, 15), 32767), -15),
    }
    for name, (slope, exponent) in slopes.items():
        output = np.array([z if name == "sigmoid" else code])
        parts = (output, 0), (np.array([value]), -9)
        made = Gradient(FUNCTIONS[name], 0, ((), ())).mantissas(parts, Exact())
        assert made == (value * slope, exponent - 9), name
