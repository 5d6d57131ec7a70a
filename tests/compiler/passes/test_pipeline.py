"""Passes: what each makes of a small network, as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.value import network_input
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.passes.pipeline import (
    FOLDING,
    INFERENCE,
    Pass,
    Setting,
    folded,
    passed,
    up_to,
)
from pulsarray.config import PRESETS
from pulsarray.errors import InputError


def network() -> Graph:
    """A map that is padded, convolved, normalized and classified."""
    ones, zeros = np.ones(2), np.zeros(2)
    return (
        Builder("net", (2, 2, 1))
        .pad(1)
        .convolution(np.ones((3, 3, 1, 2)), name="conv")
        .batch_norm(2 * ones, ones, zeros, ones, epsilon=0.0)
        .dropout()
        .relu()
        .flatten()
        .dense(np.ones((8, 3)), name="fc")
        .softmax()
        .build()
    )


def lines(name: str) -> list[str]:
    """The operators of the network after a pass."""
    text = show(passed(network(), up_to(FOLDING, name)))
    return [line.strip() for line in text.splitlines() if " = " in line]


END = "%output: 3 real = softmax(%fc_out)"


def test_a_network_before_the_passes() -> None:
    assert lines("ends") == [
        "%pad_out: 4x4x1 real = pad(%input) padding=(1, 1, 1, 1)",
        "%conv_out: 2x2x2 real = convolution(%pad_out, @conv.weight, @conv.bias) window=(3x3)",
        "%norm_out: 2x2x2 real = batch_norm(%conv_out, @norm.scale, @norm.shift, @norm.mean, "
        "@norm.variance) epsilon=0",
        "%dropout_out: 2x2x2 real = dropout(%norm_out) rate=0.5",
        "%relu_out: 2x2x2 real = relu(%dropout_out)",
        "%flatten_out: 8 real = flatten(%relu_out)",
        "%fc_out: 3 real = dense(%flatten_out, @fc.weight, @fc.bias)",
        END,
    ]


def test_dropout_goes() -> None:
    assert lines("dropout")[3] == "%relu_out: 2x2x2 real = relu(%norm_out)"


def test_dense_layers_become_convolutions_of_their_whole_input() -> None:
    assert lines("maps")[4:] == [
        "%fc_out: 1x1x3 real = convolution(%relu_out, @fc.weight, @fc.bias) window=(2x2)",
        "%output: 1x1x3 real = softmax(%fc_out)",
    ]


def test_padding_becomes_that_of_windows() -> None:
    assert lines("padding")[0] == (
        "%conv_out: 2x2x2 real = convolution(%input, @conv.weight, @conv.bias) "
        "window=(3x3 padding 1,1,1,1)"
    )


def test_normalization_joins_the_product_before() -> None:
    assert lines("norms") == [
        "%norm_out: 2x2x2 real = convolution(%input, @conv.weight, @conv.bias) "
        "window=(3x3 padding 1,1,1,1)",
        "%relu_out: 2x2x2 real = relu(%norm_out)",
        "%fc_out: 1x1x3 real = convolution(%relu_out, @fc.weight, @fc.bias) window=(2x2)",
        "%output: 1x1x3 real = softmax(%fc_out)",
    ]
    made = folded(network())
    assert (made.values["conv.weight"].array == 2.0).all()
    assert (made.values["conv.bias"].array == 1.0).all()


def test_quantization_makes_int8_operators() -> None:
    setting = Setting.of(network(), np.ones((1, 2, 2, 1)), PRESETS["small"])
    made = passed(network(), INFERENCE, setting)
    assert [node.op.title for node in made.nodes] == ["int8_convolution"] * 2 + ["softmax"]
    assert [node.label for node in made.nodes[:2]] == ["conv+relu", "dense"]
    assert made.is_quantized


def test_what_no_output_needs_goes_first() -> None:
    draft = Draft("net", [network_input("x", (3,))])
    for name in ("a", "b"):
        draft.add(name, Relu(), ("x",), name)
    assert show(passed(draft.graph(("b",)), FOLDING[:1])) == (
        "graph net\n  input %x: 3 real\n  %b: 3 real = relu(%x)\n  output %b\n"
    )


def test_an_unknown_pass_lists_them() -> None:
    text = "pass: must be one of ends, .*, norms, quantize, not 'norm'; did you mean"
    with pytest.raises(InputError, match=text):
        up_to(INFERENCE, "norm")


def test_a_pass_that_loses_something_is_found_at_once() -> None:
    def half(graph: Graph) -> Graph:
        return Builder(graph.name, 1).relu().build()

    passes: Sequence[Pass] = [Pass("half", half)]
    with pytest.raises(RuntimeError, match="net: pass half changed its inputs or outputs"):
        passed(network(), passes)


def test_sums_do_not_depend_on_the_number_of_cores() -> None:
    threads = []

    def look(graph: Graph) -> Graph:
        threads.extend(library["num_threads"] for library in threadpool_info())
        return graph

    with threadpool_limits(2):
        passed(network(), [Pass("look", look)])
    assert threads
    assert set(threads) == {1}
