"""Quantized ONNX files round where they say: situations that converters make, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pulsarray.affine import encode
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.errors import InputError
from pulsarray.sim.random.exact_onnx import ExactGraph
from pulsarray.sim.random.judged_qdq import judge
from pulsarray.sim.random.qdq import QdqCase
from tests.compiler.codes import weight_of
from tests.compiler.onnx_files import Chain, write

INT8, UINT8 = np.int8, np.uint8


class Qdq(Chain):
    """A chain that begins with a quantizer."""

    def __init__(self, *shape: int) -> None:
        super().__init__(7, ("n", *shape))  # type: ignore[arg-type]
        self.sizes = shape
        if shape:
            self.pair(0.05, 3)

    def pair(
        self, scale: object, zero: object, kind: type = INT8, source: str = "", **axis: int
    ) -> str:
        """QuantizeLinear and DequantizeLinear."""
        named = [self.real(scale), self.constant(np.asarray(zero, kind))]
        codes = self.add("QuantizeLinear", *named, source=source, **axis)
        return self.add("DequantizeLinear", *named, source=codes, **axis)

    def real(self, values: object) -> str:
        return self.constant(np.asarray(values, np.float32))

    def weight(self, shape: tuple[int, ...], scale: object, least: int = -127, **axis: int) -> str:
        """A weight in codes; the last value of the chain stays."""
        last = self.last
        drawn = self.rng.integers(least, 128, shape).astype(INT8)
        drawn.reshape(-1)[0] = least
        zeros = self.constant(np.zeros(np.shape(scale), INT8))
        made = self.add("DequantizeLinear", self.real(scale), zeros, source=self.constant(drawn),
                        **axis)  # fmt: skip
        self.last = last
        return made

    def bias(self, codes: list[int], scale: object) -> str:
        """A bias in int32; the last value of the chain stays."""
        last = self.last
        zeros, codes_of_bias = np.zeros(len(codes), np.int32), np.array(codes, np.int32)
        scales = self.real(np.broadcast_to(np.asarray(scale), len(codes)))
        made = self.add("DequantizeLinear", scales, self.constant(zeros),
                        source=self.constant(codes_of_bias), axis=0)  # fmt: skip
        self.last = last
        return made

    def convolution(self, *, bias: bool = True) -> str:
        scales = np.array([0.002, 0.005, 0.004, 0.009])
        more = [self.weight((4, 3, 3, 3), scales, axis=0)]
        more += [self.bias([900, -700, 30, 0], 0.05 * scales)] if bias else []
        return self.add("Conv", *more)

    def norm(self, factor: list[float]) -> str:
        shift, mean = self.real([1, -2, 3, 0]), self.real([0.5, 0, 0, 0])
        return self.add("BatchNormalization", self.real(factor), shift, mean, self.real([1] * 4))

    def case(self) -> QdqCase:
        exact = ExactGraph()
        exact.constants |= self.constants
        inputs = 2 * np.random.default_rng(1).normal(size=(6, *self.sizes))
        return QdqCase(0, self.model(), inputs.astype(np.float32), exact)


def bias_then_norm(q: Qdq) -> None:
    q.convolution()
    q.norm([1, 1, 1, 1])


def rounded_then_norm(q: Qdq) -> None:
    q.convolution()
    q.pair(0.1, 5)
    q.norm([2, 3, -2, 2])


def bias_then_sum(q: Qdq) -> None:
    q.convolution()
    q.add("Add", q.real([[[1.03]], [[2]], [[-3]], [[4.7]]]))


def rounded_then_sum(q: Qdq) -> None:
    q.convolution()
    q.pair(0.1, 5)
    q.add("Add", q.real(1.5))


def small_factor(q: Qdq) -> None:
    q.convolution(bias=False)
    q.add("Mul", q.real(0.02))


def divided(q: Qdq) -> None:
    q.convolution(bias=False)
    q.add("Div", q.real(16))


def norm_and_limit(q: Qdq) -> None:
    q.convolution(bias=False)
    q.norm([0.03, 0.05, -0.07, 0.02])
    q.add("Relu")


def factor_of_codes(q: Qdq) -> None:
    q.convolution()
    q.add("Relu")
    q.pair(0.1, -128)
    q.add("Mul", q.weight((1, 4, 1, 1), 0.01))


def float_weight_per_tensor(q: Qdq) -> None:
    last, weight = q.last, q.floats(4, 3, 3, 3)
    made = q.pair(0.01, 0, source=weight)
    q.add("Conv", made, source=last)


def float_weight_per_channel(q: Qdq) -> None:
    last, weight = q.last, q.floats(4, 3, 3, 3)
    made = q.pair([0.01, 0.008, 0.009, 0.007], [0] * 4, source=weight, axis=0)
    q.add("Conv", made, source=last)


def transposed(q: Qdq) -> None:
    weight = q.weight((3, 4, 2, 2), [0.01, 0.008, 0.009, 0.007], axis=1)
    q.add("ConvTranspose", weight, strides=[2, 2])


def dead_channel(q: Qdq) -> None:
    """Its bias is near 2^31 in units of its sums."""
    scales = np.array([0.002, 1e-9, 0.004, 0.009])
    bias = q.bias([900, -(1 << 31) + 5, 30, 0], 0.05 * scales)
    q.add("Conv", q.weight((4, 3, 3, 3), scales, axis=0), bias)


def channel_that_never_lived(q: Qdq) -> None:
    """A normalization whose factor is all but zero."""
    q.convolution()
    q.norm([1, 1e-20, 0, 2])


def float_bias(q: Qdq) -> None:
    q.add("Conv", q.weight((4, 3, 3, 3), 0.005), q.floats(4))


def own_sum(q: Qdq) -> None:
    """A product that is added to codes of a far larger scale before it is rounded."""
    source = q.last
    q.add("Conv", q.weight((3, 3, 1, 1), 0.0001), q.floats(3))
    q.add("Add", source)


def two_readers(q: Qdq) -> None:
    made = q.convolution()
    one = q.pair(0.1, -128, source=q.add("Relu"))
    q.add("Add", one, source=q.pair(0.07, 4, source=made))


def choices_before_rounding(q: Qdq) -> None:
    q.convolution()
    q.add("MaxPool", kernel_shape=[2, 2])
    q.add("Relu")


def joined_before_rounding(q: Qdq) -> None:
    source = q.last
    one = q.convolution()
    q.last = source
    q.add("Concat", one, source=q.add("Relu", source=q.convolution()), axis=1)


def padded(q: Qdq) -> None:
    q.add("Pad", q.ints(0, 0, 1, 1, 0, 0, 0, 2))
    q.pair(0.07, 5)
    q.convolution()


def twice(q: Qdq) -> None:
    q.pair(0.11, 120)
    q.pair(0.03, 10, UINT8)


SITUATIONS = [
    bias_then_norm, rounded_then_norm, bias_then_sum, rounded_then_sum, small_factor, divided,
    norm_and_limit, factor_of_codes, float_weight_per_tensor, float_weight_per_channel, transposed,
    dead_channel, channel_that_never_lived, float_bias, own_sum, two_readers,
    choices_before_rounding, joined_before_rounding, padded, twice,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [INT8, UINT8])
@pytest.mark.parametrize("scale", [0.13, 0.004])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda f: f.__name__)
def test_situation(situation: Callable[[Qdq], None], scale: float, kind: type) -> None:
    pytest.importorskip("onnxruntime")
    q = Qdq(3, 6, 5)
    situation(q)
    q.pair(scale, 7, kind)
    verdict = judge(q.case())
    assert (verdict.refused, verdict.wrong) == ("", [])
    assert verdict.integers.farthest < 1e-5
    assert verdict.results > 100
    # Halves that float32 has moved: sums of decimal scales meet them.
    assert verdict.different <= verdict.runtime.beside


@pytest.mark.parametrize("rounded", [False, True])
def test_softmax_last(rounded: bool) -> None:
    pytest.importorskip("onnxruntime")
    q = Qdq(6)
    q.add("MatMul", q.weight((6, 4), 0.01))
    q.pair(0.1, 0)
    q.add("Softmax", axis=-1)
    if rounded:
        q.pair(1 / 256, -128)
    verdict = judge(q.case())
    assert (verdict.refused, verdict.wrong, verdict.different) == ("", [], 0)
    assert verdict.integers.codes == 36 + 24 * (1 + rounded)


def test_factors_leave_weights_alone(tmp_path: Path) -> None:
    q = Qdq(3, 6, 5)
    q.convolution()
    q.norm([0.01, -0.5, 20, 1])
    q.pair(0.1, 0)
    made = import_onnx_any(write(tmp_path, q.model()))
    assert made.is_quantized
    (product,) = made.nodes
    assert isinstance(product.op, Convolution)
    weights = next(v for v in q.constants.values() if v.dtype == INT8 and v.ndim == 4)
    np.testing.assert_array_equal(
        weight_of(made)[0], weights.transpose(2, 3, 1, 0) * np.array([1, -1, 1, 1])
    )


def refused(tmp_path: Path, q: Qdq) -> str:
    with pytest.raises(InputError) as caught:
        import_onnx_any(write(tmp_path, q.model()))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_negated_least_code(tmp_path: Path) -> None:
    q = Qdq(3, 6, 5)
    q.add("Conv", q.weight((4, 3, 3, 3), 0.005, -128))
    q.add("Mul", q.real(-1))
    q.pair(0.1, 0)
    text = refused(tmp_path, q)
    assert "with the sign of a factor behind them, must be int8 codes, not -126 to 128" in text


def test_input_in_two_ways(tmp_path: Path) -> None:
    q = Qdq(3, 6, 5)
    one = q.last
    q.add("Add", one, source=q.pair(0.04, 0, source="x"))
    q.pair(0.1, 0)
    text = refused(tmp_path, q)
    assert "input x: must be rounded in one way, not in n_v0 (scale 0.05, 3), n_v2 (scale" in text


def test_sum_that_is_not_rounded(tmp_path: Path) -> None:
    q = Qdq(3, 6, 5)
    q.add("Add", q.last)
    q.add("Mul", q.real(0.3))
    q.pair(0.1, 0)
    assert "n_v2: its result 'v2' is not quantized before n_v3 reads it" in refused(tmp_path, q)


@pytest.mark.parametrize("kind", [INT8, UINT8])
def test_input_codes_as_quantize_linear(kind: type) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)
    scale, zero = np.float32(0.0078431), 5
    near = (rng.integers(-140, 140, 20_000) + 0.5) * np.float64(scale)
    values = np.concatenate([near.astype(np.float32), rng.normal(size=20_000).astype(np.float32)])
    q = Qdq()
    named = [q.real(scale), q.constant(np.array(zero, kind))]
    q.add("QuantizeLinear", *named)
    graph = q.model()
    graph.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x", 1, ("n",)))
    graph.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info(q.last, 3 if kind is INT8 else 2, ("n",))
    )
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    wanted = session.run(None, {"x": values})[0].astype(np.int64)
    shift = 0 if kind is INT8 else -128
    np.testing.assert_array_equal(encode(values, float(scale), zero + shift), wanted + shift)
    wide = np.clip(np.rint(values / np.float64(scale)) + zero + shift, -128, 127)
    assert (wide != wanted + shift).any()
