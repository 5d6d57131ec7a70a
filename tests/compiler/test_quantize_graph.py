"""Networks of feature maps: folding keeps what they compute, quantization nearly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.ops import integer
from pulsarray.compiler.passes.pipeline import folded, quantize_graph
from pulsarray.compiler.passes.quantize.integer_weights import integer_columns, shared_multipliers
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.views import HostView
from tests.compiler.codes import after, codes_of, every_map, host_codes, result_of

SMALL = Config()
Norm = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0.0, np.sqrt(2.0 / np.prod(shape[:-1])), shape)


def norm(rng: np.random.Generator, channels: int) -> Norm:
    factor, variance = rng.uniform(0.5, 1.5, (2, channels))
    shift, mean = rng.normal(0.0, 0.3, (2, channels))
    return factor, shift, mean, variance


def plain(rng: np.random.Generator) -> Graph:
    b = Builder("plain", (12, 10, 3)).convolution(weights(rng, 3, 3, 3, 8), rng.normal(size=8), 1)
    b.relu().max_pool(2).convolution(weights(rng, 3, 3, 8, 6), padding=1).relu().flatten()
    return (
        b.dense(weights(rng, 5 * 4 * 6, 10), rng.normal(size=10))
        .relu()
        .dense(weights(rng, 10, 4))
        .softmax()
        .build()
    )


def residual(rng: np.random.Generator) -> Graph:
    b = Builder("residual", (8, 8, 4)).convolution(weights(rng, 3, 3, 4, 8), padding=1)
    b.batch_norm(*norm(rng, 8)).relu(name="block")
    b.convolution(weights(rng, 3, 3, 8, 8), padding=1).batch_norm(*norm(rng, 8)).relu()
    b.convolution(weights(rng, 3, 3, 8, 8), padding=1).batch_norm(*norm(rng, 8))
    b.add("block").relu(name="second")
    b.convolution(weights(rng, 1, 1, 8, 16), stride=2, name="short", source="second")
    b.convolution(weights(rng, 3, 3, 8, 16), stride=2, padding=1, name="long", source="second")
    b.add("short").clip(0.0, 4.0).global_average_pool().flatten()
    return b.dense(weights(rng, 16, 5)).build()


def branches(rng: np.random.Generator) -> Graph:
    b = Builder("branches", (9, 9, 4)).convolution(weights(rng, 3, 3, 4, 6)).relu(name="stem")
    b.max_pool(3, stride=1, padding=1, name="pooled", source="stem")
    b.convolution(weights(rng, 1, 1, 6, 4), name="one", source="stem").sigmoid(name="curve")
    b.convolution(3 * weights(rng, 3, 3, 6, 4), padding=1, name="three", source="stem")
    b.concat("curve", "pooled", "stem").shuffle(rng.permutation(20), name="shuffled")
    b.average_pool(3, stride=2, padding=1, name="average").tanh()
    b.convolution(weights(rng, 1, 1, 20, 6), name="last")
    return b.build()


def norms_first(rng: np.random.Generator) -> Graph:
    b = Builder("norms", (6, 6, 4)).batch_norm(*norm(rng, 4)).relu(name="a")
    b.convolution(weights(rng, 3, 3, 4, 4), padding=1).dropout().concat("a", name="b")
    b.batch_norm(*norm(rng, 8)).relu().convolution(weights(rng, 1, 1, 8, 4)).concat("b", name="c")
    b.local_response_norm(5, alpha=0.5, beta=0.75).pad((1, 2, 0, 1)).max_pool(2)
    return b.build()


def windows(rng: np.random.Generator) -> Graph:
    b = (
        Builder("windows", (7, 6, 4))
        .pad(1)
        .convolution(weights(rng, 3, 2, 2, 6), dilation=(2, 1), groups=2)
    )
    b.pad((0, 1, 1, 0)).average_pool(2, stride=1).relu()
    b.transposed_convolution(weights(rng, 3, 3, 6, 2), stride=2, padding=1, output_padding=1)
    b.batch_norm(*norm(rng, 2)).relu(name="up").add("up").relu()
    b.transposed_convolution(weights(rng, 2, 2, 2, 2), groups=2, stride=2).batch_norm(*norm(rng, 4))
    return b.build()


NETWORKS = [plain, residual, branches, norms_first, windows]


def case(make: Callable[[np.random.Generator], Graph]) -> tuple[Graph, np.ndarray]:
    rng = np.random.default_rng(5)
    graph = make(rng)
    return graph, rng.normal(size=(12, *graph.input.shape))


@pytest.mark.parametrize("make", NETWORKS)
def test_fold_computes_the_same(make: Callable[[np.random.Generator], Graph]) -> None:
    graph, inputs = case(make)
    simple = folded(graph)
    gone = {"dense", "flatten", "unflatten", "batch_norm", "pad", "dropout"}
    assert not {node.op.title for node in simple.nodes} & gone
    got = run_float(simple, inputs).reshape(12, -1)
    np.testing.assert_allclose(got, run_float(graph, inputs).reshape(12, -1), atol=1e-12)


@pytest.mark.parametrize("bits", [16, 24, 31])
@pytest.mark.parametrize("make", NETWORKS)
def test_quantized_is_close(make: Callable[[np.random.Generator], Graph], bits: int) -> None:
    graph, inputs = case(make)
    made = quantize_graph(graph, inputs, Config(scale_bits=bits))
    codes = codes_of(made, host_codes(made, inputs))
    values = result_of(made).decode(codes).reshape(12, -1)
    if after(made):
        values = graph.nodes[-1].op.real(values)
    wanted = run_float(graph, inputs).reshape(12, -1)
    error = np.sqrt(np.mean((values - wanted) ** 2)) / np.sqrt(np.mean(wanted**2))
    assert error < 0.05
    assert made.notes["calibration_samples"] == 12
    assert machine_part(made).output.name == graph.output.name


def kinds(make: Callable[[np.random.Generator], Graph]) -> list[str]:
    return [node.kind for node in machine_part(quantize_graph(*case(make), SMALL)).nodes]


def test_everything_possible_is_fused() -> None:
    assert kinds(plain) == ["conv+relu", "maxpool", "conv+relu", "dense+relu", "dense"]
    assert kinds(residual) == [
        "conv+relu", "conv+relu", "conv+add+relu", "conv", "conv+add+clip", "avgpool", "dense"
    ]  # fmt: skip


def test_a_common_scale_needs_no_rescaling() -> None:
    # A curve and a map that only the sum of parts reads take its scale; the others' codes
    # would get too coarse for those that also read them.
    made = kinds(branches)
    assert made[:4] == ["conv+relu", "maxpool", "conv+sigmoid", "conv"]
    assert made.index("concat") - 4 == made.count("rescale") <= 2
    assert kinds(norms_first).count("rescale") <= 1


def test_residual_shares_one_shift() -> None:
    made = quantize_graph(*case(residual), SMALL)
    products = [n.op for n in made.nodes if isinstance(n.op, integer.Convolution)]
    fused = [op for op in products if op.residual]
    assert len(fused) == 2
    for op in fused:
        assert op.residual is not None
        assert op.scale is not None
        assert len(set(op.scale.shift.tolist())) == 1
        largest = max(int(op.scale.multiplier.max()), op.residual.factor)
        assert largest.bit_length() == SMALL.scale_bits


def test_shuffle_and_pooling_change_no_code() -> None:
    made = quantize_graph(*case(branches), SMALL)
    shuffle = next(n for n in made.nodes if n.kind == "shuffle")
    assert isinstance(shuffle.op, integer.Convolution)
    rng = np.random.default_rng(0)
    source = rng.integers(-128, 128, (2, *made.input.shape))
    maps = every_map(made, source)
    order = made.values[shuffle.inputs[1]].array[0, 0].argmax(axis=0)
    np.testing.assert_array_equal(maps[shuffle.output], maps[shuffle.inputs[0]][..., order])


def test_channels_first_calibration() -> None:
    rng = np.random.default_rng(1)
    graph = plain(rng)
    views = {graph.input.name: HostView.channels_first(graph.input.shape)}
    first = graph.rebuilt(graph.nodes, views=views)
    inputs = rng.normal(size=(3, *graph.input.shape))
    swapped = inputs.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(run_float(first, swapped), run_float(graph, inputs))
    flat = swapped.reshape(3, -1)
    np.testing.assert_array_equal(run_float(first, flat), run_float(graph, inputs))
    made, other = quantize_graph(first, swapped, SMALL), quantize_graph(graph, inputs, SMALL)
    formats = [{name: v.format for name, v in g.values.items()} for g in (made, other)]
    assert formats[0] == formats[1]
    assert made.views[made.input.name] == first.input_view


def test_narrow_sums() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(2000, 3)), np.array([0.0, 1e4, 1e6])
    made = integer_columns("fc", weight, bias, 0.1, Config(acc_bits=24))
    largest = np.abs(made.weight).sum(axis=0) * 255 + np.abs(made.bias)
    assert largest.max() < 1 << 23
    np.testing.assert_allclose(made.bias * made.unit, bias, rtol=1e-3)
    with pytest.raises(InputError, match="fc: 40000 products are too many for sums of 24 bits"):
        integer_columns("fc", np.ones((40000, 1)), np.zeros(1), 0.1, Config(acc_bits=24))


@pytest.mark.parametrize("bits", [16, 24, 31])
def test_shared_multipliers(bits: int) -> None:
    ratios = [0.003, 0.2, 0.24999999999]
    made, shift = shared_multipliers(ratios, bits)
    assert int(made.max()).bit_length() == bits
    np.testing.assert_allclose(made / 2.0**shift, ratios, atol=0.3 / (1 << bits))


def test_calibration_missing() -> None:
    with pytest.raises(InputError, match="plain: quantization needs calibration data"):
        quantize_graph(plain(np.random.default_rng(0)), None, SMALL)


def test_calibration_overflows() -> None:
    graph = Builder("net", (2, 2, 1)).convolution(np.full((2, 2, 1, 1), 1e300)).build()
    with pytest.raises(InputError, match=r"data makes values beyond 3\.4e"):
        quantize_graph(graph, np.full((1, 2, 2, 1), 1e300), SMALL)


def test_softmax_alone_and_dense_input() -> None:
    rng = np.random.default_rng(0)
    made = quantize_graph(Builder("s", 5).softmax().build(), rng.normal(size=(4, 5)), SMALL)
    assert after(made) == "softmax"
    assert made.output.shape == (1, 1, 5)
    graph = Builder("d", 5).dense(weights(rng, 5, 3)).tanh().build()
    inputs = rng.normal(size=(4, 5))
    made = quantize_graph(graph, inputs, SMALL)
    codes = codes_of(made, host_codes(made, inputs))
    values = result_of(made).decode(codes).reshape(4, 3)
    np.testing.assert_allclose(values, run_float(graph, inputs), atol=0.03)


def test_flattened_map_as_output() -> None:
    rng = np.random.default_rng(0)
    graph = Builder("f", (3, 2, 2)).convolution(weights(rng, 2, 2, 2, 3)).flatten().build()
    inputs = rng.normal(size=(4, *graph.input.shape))
    made = quantize_graph(graph, inputs, SMALL)
    assert (made.output.shape, made.views.get(made.output.name)) == (
        (2, 1, 3),
        HostView.plain((6,)),
    )
    values = result_of(made).decode(codes_of(made, host_codes(made, inputs))).reshape(4, -1)
    np.testing.assert_allclose(values, run_float(graph, inputs), atol=0.05)
