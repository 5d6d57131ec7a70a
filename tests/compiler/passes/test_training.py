"""What the passes of training make of a network, as text."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.ops.optimizer import Optimizer
from pulsarray.compiler.passes.pipeline import TRAINING, Goal, passed
from pulsarray.errors import InputError


def trained(graph: Graph, loss: str, *frozen: str) -> list[str]:
    """Lines of the operators, without windows."""
    lines = show(passed(graph, TRAINING, Goal(Loss(loss), frozen))).splitlines()
    return [line.strip().replace("window=", "") for line in lines if " = " in line]


def test_a_layer_its_activation_and_a_softmax() -> None:
    builder = Builder("net", 3).dense(np.ones((3, 4)), name="a").relu()
    graph = builder.dense(np.ones((4, 2)), name="b").softmax().build()
    assert trained(graph, "cross-entropy", "b") == [
        "%a.sum: 1x1x4 sums = convolution(%input, @a.weight, @a.bias) (1x1)",
        "%a.output: 1x1x4 shared16(a.output) = relu(%a.sum)",
        "%b.output: 1x1x2 shared16(b.output) = convolution(%a.output, @b.weight, @b.bias) (1x1)",
        "%probabilities: 1x1x2 wide(-31) = softmax(%b.output)",
        "%b.error: 1x1x2 shared16(b.error) = loss_gradient(%probabilities, %target) "
        "loss=cross-entropy",
        "%b.pull: 1x1x4 sums = gradient(@b.weight, %b.error) of=convolution((1x1)) by=0",
        "%a.error: 1x1x4 shared16(a.error) = gradient(%a.output, %b.pull) of=relu() by=0",
        "%a.weight.gradient: 1x1x3x4 shared16(a.weight.gradient) = gradient(%input, %a.error) "
        "of=convolution((1x1)) by=1",
        "%a.bias.gradient: 4 shared16(a.bias.gradient) = gradient(%a.error) "
        "of=convolution((1x1)) by=2",
        "%a.weight.master.next: 1x1x3x4 int32(a.weight - 16) = "
        "descend(&a.weight.master, %a.weight.gradient, %rate)",
        "%a.weight.next: 1x1x3x4 shared16(a.weight) = narrow(%a.weight.master.next)",
        "%a.bias.next: 4 wide(-24) = descend(@a.bias, %a.bias.gradient, %rate)",
    ]


def test_what_an_optimizer_keeps_is_state_and_what_it_does_are_nodes() -> None:
    graph = Builder("net", 3).dense(np.ones((3, 2)), name="a").build()
    adam = Optimizer(momentum=0.9, squares=0.99, weight_decay=0.01)
    text = show(passed(graph, TRAINING, Goal(Loss("mse"), optimizer=adam))).splitlines()
    lines = [line.strip().replace("1x1x3x2 ", "") for line in text]
    weight = [line for line in lines if line.startswith(("%a.weight", "state &a.weight"))]
    assert weight[:3] + weight[4:] == [
        "state &a.weight.master: int32(a.weight - 16)",
        "state &a.weight.squares: int48(2 a.weight.root)",
        "state &a.weight.velocity: int32(a.weight.velocity)",
        "%a.weight.decayed: int32(a.weight - 16) = descend(&a.weight.master, @a.weight, %decay)",
        "%a.weight.squares.next: int48(2 a.weight.root) = "
        "squares(&a.weight.squares, %a.weight.gradient) kept=0.99",
        "%a.weight.velocity.next: int32(a.weight.velocity) = "
        "momentum(&a.weight.velocity, %a.weight.gradient) kept=0.9",
        "%a.weight.step: wide(-24) = "
        "divide_by_root(%a.weight.velocity.next, %a.weight.squares.next, %epsilon)",
        "%a.weight.master.next: int32(a.weight - 16) = "
        "descend(%a.weight.decayed, %a.weight.step, %rate)",
        "%a.weight.next: shared16(a.weight) = narrow(%a.weight.master.next)",
    ]
    assert "%a.bias.next: 2 wide(-24) = descend(@a.bias, %a.bias.step, %rate)" in lines


def test_relu_goes_before_maximum_pooling_which_takes_its_derivative() -> None:
    builder = Builder("net", (4, 4, 1)).convolution(np.ones((1, 1, 1, 2)), name="c")
    graph = builder.max_pool(2, name="p").relu().flatten().dense(np.ones((8, 2)), name="d").build()
    lines = trained(graph, "mse")
    assert lines[:3] == [
        "%c.sum: 4x4x2 sums = convolution(%input, @c.weight, @c.bias) (1x1)",
        "%c.output: 4x4x2 shared16(c.output) = relu(%c.sum)",
        "%p.output: 2x2x2 shared16(c.output) = max_pool(%c.output) (2x2 stride 2x2)",
    ]
    assert [line for line in lines if line.startswith(("%p.e", "%p.pull", "%c.error"))] == [
        "%p.error: 2x2x2 shared16(p.error) = gradient(%p.output, %d.pull) of=relu() by=0",
        "%p.pull: 4x4x2 shared16(p.error) = gradient(%c.output, %p.output, %p.error) "
        "of=max_pool((2x2 stride 2x2)) by=0",
        "%c.error: 4x4x2 shared16(p.error) = same(%p.pull)",
    ]


def test_errors_of_what_several_read_are_added_and_sums_share_theirs() -> None:
    builder = Builder("net", (2, 2, 1)).convolution(np.ones((1, 1, 1, 1)), name="c")
    source = builder.last
    builder.convolution(np.ones((1, 1, 1, 1)), name="d").add(source, name="s")
    graph = builder.flatten().dense(np.ones((4, 1)), name="e").build()
    lines = trained(graph, "mse")
    assert [line for line in lines if line.startswith(("%c.error", "%d.error", "%s.error"))] == [
        "%s.error: 2x2x1 shared16(s.error) = total(%e.pull)",
        "%d.error: 2x2x1 shared16(s.error) = same(%s.error)",
        "%c.error: 2x2x1 shared16(c.error) = total(%s.error, %d.pull)",
    ]


def test_a_bias_before_a_normalization_does_not_learn() -> None:
    builder = Builder("net", 3).dense(np.ones((3, 4)), name="a")
    builder.batch_norm(np.ones(4), np.zeros(4), np.zeros(4), np.ones(4), name="n").relu()
    lines = trained(builder.dense(np.ones((4, 2)), name="b").build(), "mse")
    assert "%n.mean: 4 shared16(a.output) = batch_mean(%a.output)" in lines
    assert not [line for line in lines if line.startswith("%a.bias.gradient")]
    gradients = [line for line in lines if line.startswith(("%n.weight.g", "%n.bias.g"))]
    assert ["shared16(n.gradient)" in line for line in gradients] == [True, True]


def test_a_bias_that_another_layer_reads_learns() -> None:
    builder = Builder("net", 3).dense(np.ones((3, 4)), name="a")
    builder.batch_norm(np.ones(4), np.zeros(4), np.zeros(4), np.ones(4), name="n")
    builder.dense(np.ones((3, 4)), name="b", source="input").add("n")
    graph = builder.dense(np.ones((4, 2)), name="c").build()
    read = {f"b.{name}": f"a.{name}" for name in ("weight", "bias")}
    lines = trained(graph.rebuilt([node.renamed(read) for node in graph.nodes]), "mse")
    parts = [line.partition(":")[0] for line in lines if ".bias.part: " in line]
    assert parts == ["%b.bias.part", "%a.bias.part"]


def sharing(*names: str) -> Graph:
    """Two layers behind each other, of which the second reads parameters of the first."""
    builder = Builder("net", 3).dense(np.ones((3, 3)), name="a").relu()
    graph = builder.dense(np.ones((3, 3)), name="b").relu().build()
    read = {f"b.{name}": f"a.{name}" for name in names}
    return graph.rebuilt([node.renamed(read) for node in graph.nodes])


def test_layers_that_share_parameters() -> None:
    with pytest.raises(InputError, match="b: some of its parameters belong to a, too; in training"):
        trained(sharing("weight"), "mse")
    with pytest.raises(InputError, match="b: layers that share weights must read alike values"):
        trained(sharing("weight", "bias"), "mse")
