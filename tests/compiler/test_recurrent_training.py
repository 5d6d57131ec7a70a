"""Back-propagation through time: cells that share weights from run to run, on the model."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.reference.run import run_in_order
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.limits import check_sums
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import NetworkSetup, network_config, prepare
from tests.compiler.recurrent_cells import CELLS, INPUTS, RUNS, answer, cell, setup
from tests.compiler.training_cases import beside_model, beyond_roundings

OPTIMIZERS = (
    Optimizer(),
    Optimizer(momentum=0.9, weight_decay=0.01),
    Optimizer(momentum=0.9, squares=0.999),
)


@pytest.mark.parametrize(("kind", "dim"), [("gru", 2), ("rnn", 4), ("lstm", 5)])
def test_steps_on_the_model_are_those_of_the_interpreter(kind: str, dim: int) -> None:
    """Also in chunks, whose sums go through memory, and with momentum and Adam."""
    made = setup(kind, dim, optimizer=OPTIMIZERS[dim % 3], chunk=2 if dim == 2 else None)
    prepared = prepare(made, network_config(np.random.default_rng(dim), dim), dim)
    assert not beside_model(prepared)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_through_time(kind: str) -> None:
    made = setup(kind, 4)
    random = np.random.default_rng(3)
    x, t = random.normal(size=(4, RUNS * INPUTS)), np.eye(2)[random.integers(0, 2, 4)]
    check = check_gradients(made.network(), x, t)
    assert check.passes
    assert not beyond_roundings(check)


@pytest.mark.parametrize("kind", CELLS)
def test_what_it_answers_is_what_the_runs_answer(kind: str) -> None:
    """Each sample begins with the first contents of the state."""
    step, network = cell(kind, 7), FloatNetwork(setup(kind, 7).network())
    x = np.random.default_rng(1).normal(size=(2, RUNS, INPUTS))
    wanted = [run_in_order(step, {"input": rows})["output"][-1] for rows in x]
    np.testing.assert_allclose(network.result(x.reshape(2, -1)), np.array(wanted), rtol=1e-12)


def test_a_step_learns_from_every_run() -> None:
    """The gradient of shared weights is the sum of what each run gives: by one copy a run."""
    made = setup("rnn", 5)
    network = made.network()
    x, t = np.random.default_rng(2).normal(size=(3, RUNS * INPUTS)), np.eye(2)[[0, 1, 1]]
    gradients = FloatNetwork(network).backward(x, t)
    parts = [gradients[f"rnn.next.state@{run}.weight.part"] for run in range(RUNS)]
    total = gradients["rnn.next.state.weight.gradient"]
    np.testing.assert_allclose(np.sum(parts, axis=0).reshape(total.shape), total, rtol=1e-12)
    assert all(np.abs(part).max() > 0 for part in parts[1:])


def test_layers_share_weights_without_time() -> None:
    """Two inputs through the same two layers, compared at the end."""
    random = np.random.default_rng(4)
    builder = Builder("twins", {"left": 3, "right": 3})
    for side in ("left", "right"):
        builder.dense(random.normal(size=(3, 5)), np.ones(5), name=f"{side}1", source=side).tanh()
        builder.dense(random.normal(size=(5, 2)), np.ones(2), name=f"{side}2")
    builder.subtract("left2", "difference").dense(random.normal(size=(2, 2)), name="end")
    graph = builder.build()
    read = {f"right{n}.{what}": f"left{n}.{what}" for n in (1, 2) for what in ("weight", "bias")}
    graph = graph.rebuilt([node.renamed(read) for node in graph.nodes])
    made = NetworkSetup(graph=graph, loss=Loss("mse"), batch=4)
    prepared = prepare(made, network_config(np.random.default_rng(1), 4), 1)
    assert [layer.name for layer in made.network().layers] == ["left1", "left2", "end"]
    assert not beside_model(prepared)
    assert not beyond_roundings(check_gradients(made.network(), prepared.inputs, prepared.targets))


def test_sums_over_all_runs_must_not_overflow() -> None:
    """There are three runs, so a batch may be a third of what one layer may sum up."""
    network, config = setup("rnn", 1).network(), network_config(np.random.default_rng(4), 4)
    most = 1 << (config.acc_bits - 31)
    check_sums(network, config, most // RUNS)
    with pytest.raises(InputError, match="may overflow acc_bits"):
        check_sums(network, config, most // RUNS + 1)


def refused(graph: Graph) -> str:
    with pytest.raises(InputError) as caught:
        over_time(graph, 2)
    return str(caught.value)


def test_what_time_refuses() -> None:
    builder = Builder("net", 3).state("h", np.ones(3)).add("h", source="input").tanh().keep("h")
    assert "h: tanh of its first contents must be the same" in refused(answer(builder, 3))
    builder = Builder("net", (2, 2, 1)).state("h", np.zeros((2, 2, 1)))
    builder.add("h", source="input").keep("h").flatten()
    assert "h: training over time needs vectors, not (2, 2, 1)" in refused(answer(builder, 4))
    builder = Builder("net", 3).state("h", np.zeros(3)).add("h", source="input", name="sum")
    builder.keep("h").dense(np.ones((3, 2))).output("a").dense(np.ones((2, 2))).output("b")
    assert "net: training over time needs one answer, not 2" in refused(builder.build())


def test_shared_weights_need_the_same_operator() -> None:
    builder = Builder("net", (5, 5, 1)).convolution(np.ones((3, 3, 1, 1)), padding=1, name="a")
    builder.convolution(np.ones((3, 3, 1, 1)), name="b").flatten()
    graph = builder.dense(np.ones((9, 2)), name="c").build()
    read = {f"b.{what}": f"a.{what}" for what in ("weight", "bias")}
    graph = graph.rebuilt([node.renamed(read) for node in graph.nodes])
    with pytest.raises(InputError, match="b: shares its weights with a; training needs the same"):
        differentiate(graph, Loss("mse"), Optimizer())
