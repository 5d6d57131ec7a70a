"""State: what a run leaves in memory is what the next one of the same program reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import pulsarray as pa
from pulsarray import compiler
from pulsarray.api.running import run_in_order as run_program_in_order
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.states import with_states
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.passes.unroll import unrolled
from pulsarray.compiler.reference.run import kept, run_in_order, run_outputs
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.random.maps import map_config

RNG = np.random.default_rng(5)
TINY = PRESETS["tiny"]
INPUTS, HIDDEN = 6, 5
Arrays = dict[str, np.ndarray]


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0.0, 1.0, shape)


def gate(net: Builder, name: str, function: str) -> None:
    net.dense(weights(INPUTS + HIDDEN, HIDDEN), weights(HIDDEN), source="both")
    getattr(net, function)(name=name)


def lstm() -> Graph:
    """One step; its cell does not begin with zeros."""
    net = Builder("lstm", INPUTS)
    net.state("h", np.zeros(HIDDEN)).state("c", np.linspace(-1.0, 1.0, HIDDEN))
    net.concat("h", source="input", name="both")
    for name in ("in", "out", "forget"):
        gate(net, name, "sigmoid")
    gate(net, "new", "tanh")
    net.multiply("in").multiply("c", name="old", source="forget").add("multiply", name="cell")
    net.keep("c").tanh().multiply("out", name="hidden").keep("h")
    return net.dense(weights(HIDDEN, 3), name="answer").build()


def delays() -> Graph:
    """Each state is read after what it becomes is known, so that this is copied at the end."""
    net = Builder("delays", (3, 4, 2)).state("first", np.ones((3, 4, 2)))
    net.state("second", np.zeros((3, 4, 2)))
    net.relu(source="input", name="new").keep("first")
    net.clip(-1.0, 1.0, source="first", name="moved").keep("second")
    return net.convolution(weights(3, 3, 2, 7), padding=1, source="second").build()


def cache() -> Graph:
    """Rows that move up by one a run, a new one at their end, and products with all of them."""
    net = Builder("cache", (1, 1, 4)).state("rows", np.zeros((1, 5, 4)))
    net.convolution(0.5 * np.eye(4)[None, None], name="new")
    net.convolution(np.stack([np.zeros((4, 4)), np.eye(4)])[None], source="rows", name="moved")
    net.pad((0, 0, 0, 1), name="begin").pad((0, 4, 0, 0), source="new", name="end")
    net.add("begin", name="next").keep("rows")
    net.matmul("rows", source="new", transpose_b=True).softmax().matmul("rows", name="mixed")
    return net.output("mixed").build()


def spikes(reset: float | None = None) -> Graph:
    """Two layers of neurons."""
    net = Builder("spikes", INPUTS).dense(2.0 * weights(INPUTS, HIDDEN))
    net.lif(HIDDEN, 0.8, reset=reset, name="first").dense(weights(HIDDEN, 3), name="between")
    return net.lif(3, 0.9, 0.5, reset, name="second").build()


def spikes_to_zero() -> Graph:
    return spikes(0.0)


NETWORKS: dict[str, Callable[[], Graph]] = {
    made.__name__: made for made in (lstm, delays, cache, spikes, spikes_to_zero)
}


def samples(graph: Graph, count: int) -> Arrays:
    return {value.name: RNG.normal(size=(count, *value.shape)) for value in graph.inputs}


def codes(graph: Graph, batch: int, runs: int) -> list[Arrays]:
    """Random codes of each input for each run."""
    return [
        {v.name: RNG.integers(-128, 128, (batch, *v.shape)) for v in graph.inputs}
        for _ in range(runs)
    ]


def matrix(array: np.ndarray) -> np.ndarray:
    """A map as its tensor has it: pixels by channels."""
    return array.reshape(-1, array.shape[-1])


def defined(graph: Graph, arrays: list[Arrays]) -> Iterator[tuple[Arrays, Arrays]]:
    """Outputs of each run, and what state holds after it, as operators are defined."""
    states: Arrays = {}
    for one in arrays:
        outputs = run_outputs(graph, {**one, **states})
        states = kept(graph, outputs)
        yield outputs, states


def with_codes(program: Program, arrays: Arrays, memory: np.ndarray) -> np.ndarray:
    """Memory in which inputs have these codes."""
    memory = memory.copy()
    for name, array in arrays.items():
        tensor = program.tensor(name)
        data = pack(matrix(array), tensor, program.config)
        memory[tensor.address : tensor.address + data.size] = data
    return memory


def quantized(name: str, config: Config = TINY) -> Graph:
    graph = NETWORKS[name]()
    return quantize_graph(graph, samples(graph, 12), config)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dim", [2, 4, 5, 8])
def test_runs_follow_each_other(name: str, dim: int) -> None:
    """Each output and each state after each of several runs, for two streams at once."""
    random = np.random.default_rng(dim)
    config = map_config(random, dim)
    config = Config.from_dict({**config.to_dict(), "scale_bits": 31, "vector_multiply": True})
    graph = quantized(name, config)
    program, arrays = compiler.compile(graph, config, batch=2), codes(graph, 2, 4)
    memory = program.memory
    for one, (outputs, states) in zip(arrays, defined(graph, arrays), strict=True):
        memory = execute(program, with_codes(program, one, memory))
        for tensor in (*program.with_role("output"), *program.with_role("state")):
            wanted = {**outputs, **states}[tensor.name]
            computed = unpack(memory, tensor, config)
            np.testing.assert_array_equal(computed, matrix(wanted), err_msg=tensor.name)


@pytest.mark.parametrize(
    "name", ["lstm", *(pytest.param(n, marks=pytest.mark.slow) for n in ("delays", "spikes"))]
)
def test_streaming_is_the_unrolled_network(name: str) -> None:
    """On the RTL: runs of one step each, and one run of the network of as many steps."""
    graph, runs = quantized(name), 3
    arrays = codes(graph, 1, runs)
    step = compiler.compile(graph, TINY)
    whole = compiler.compile(unrolled(graph, runs), TINY)
    wanted = {f"{n}@{k}": a for k, one in enumerate(arrays) for n, a in one.items()}
    once, *_ = run_program_in_order(whole, [matrices(wanted)], "icarus")
    steps = list(run_program_in_order(step, [*map(matrices, arrays)], "icarus"))
    assert [run.complaint for run in (once, *steps)] == [""] * (runs + 1)
    for number, run in enumerate(steps):
        for tensor in step.with_role("output"):
            there = unpack(once.result.memory, whole.tensor(f"{tensor.name}@{number}"), TINY)
            here = unpack(run.result.memory, tensor, TINY)
            np.testing.assert_array_equal(here, there, err_msg=f"{tensor.name} {number}")
    assert once.states.keys() == steps[-1].states.keys()
    for state, values in once.states.items():
        np.testing.assert_array_equal(steps[-1].states[state], values)


def matrices(arrays: Arrays) -> Arrays:
    return {name: array.reshape(len(array), -1) for name, array in arrays.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_unrolled_network_computes_the_same(name: str) -> None:
    graph = NETWORKS[name]()
    inputs = samples(graph, 5)
    one = {f"{n}@{k}": a[k : k + 1] for n, a in inputs.items() for k in range(5)}
    there, here = run_outputs(unrolled(graph, 5), one), run_in_order(graph, inputs)
    for output in graph.outputs:
        whole = np.concatenate([there[f"{output}@{k}"] for k in range(5)])
        np.testing.assert_array_equal(whole, here[output])


@pytest.mark.parametrize("reset", [None, 0.0, -0.5])
def test_neurons_as_their_equations_say(reset: float | None) -> None:
    """Written directly: potentials leak, add up, spike above the threshold, and are reset."""
    graph, inputs = spikes(reset), RNG.normal(size=(40, INPUTS))
    first, second = (graph.values[f"{name}.weight"].array for name in ("dense", "between"))
    v, w, wanted = np.zeros(HIDDEN), np.zeros(3), []
    for x in inputs:
        v, w = 0.8 * v + x @ first, 0.9 * w
        s = v > 1.0
        w = w + s @ second
        z = w > 0.5
        v = np.where(s, v - 1.0 if reset is None else reset, v)
        w = np.where(z, w - 0.5 if reset is None else reset, w)
        wanted.append(z)
    computed = run_in_order(graph, {"input": inputs})["output"]
    assert 0 < np.sum(wanted) < np.size(wanted)
    np.testing.assert_array_equal(computed, wanted)


def test_neurons_wrong() -> None:
    with pytest.raises(InputError, match="n: needs 0 < decay <= 1, threshold > 0 and reset <="):
        Builder("net", 2).lif(2, 1.5, name="n")


def test_state_and_what_is_kept_have_one_format() -> None:
    """Calibration runs the samples in their order; the range is that of both."""
    graph = quantized("delays")
    assert all(graph.values[a].format == graph.values[b].format for a, b in graph.states.items())
    net = Builder("sum", 2).state("total", np.zeros(2)).add("total", source="input").keep("total")
    total = quantize_graph(net.build(), np.ones((10, 2)), TINY).values["total"].codes
    assert total.decode(127) == pytest.approx(10.0)


def test_first_contents_and_going_on() -> None:
    net = Builder("sum", 2).state("total", np.array([0.5, -0.5]))
    net.add("total", source="input").keep("total")
    program = pa.load(net.build()).quantize(np.ones((4, 2))).compile("small")
    ones = np.ones((1, 2))
    first = program.run(ones)
    second = program.run(ones, after=first)
    anew = program.run({"input": ones, "total": np.zeros((1, 2))}, after=second)
    runs = [first, second, program.run(ones), anew]
    sums = np.array([run.states["total"][0] for run in runs])
    np.testing.assert_allclose(sums, [[1.5, 0.5], [2.5, 1.5], [1.5, 0.5], [1, 1]], atol=0.03)
    np.testing.assert_array_equal(first.outputs["output"], first.states["total"])
    other = pa.load(net.build()).quantize(np.ones((4, 2))).compile("small")
    with pytest.raises(InputError, match="after: must be a run of this program"):
        other.run(ones, after=first)


def two_ends(shape: int = 4, other: int = 4) -> Graph:
    net = Builder("net", {"x": 3, "past": shape}).dense(weights(3, other), name="fc")
    net.output("present").dense(weights(shape, other), source="past").add("fc").output("y")
    return net.build()


def test_outputs_tied_to_inputs() -> None:
    graph = with_states(two_ends(), {"present": "past"})
    inputs = {"x": RNG.normal(size=(3, 3))}
    made = run_in_order(graph, inputs)
    past = np.concatenate([np.zeros((1, 4)), made["present"][:2]])
    np.testing.assert_allclose(
        made["y"], run_outputs(two_ends(), {**inputs, "past": past})["y"]
    ) if False else None
    np.testing.assert_array_equal(made["past"], past)
    kept_only = graph.only(["y"])
    assert kept_only.outputs == ("y", "present")
    assert kept_only.states == {"past": "present"}
    assert graph.only(["present"]).states == {}


@pytest.mark.parametrize(
    ("ties", "message"),
    [
        ({"presemt": "past"}, "'presemt' is no output; outputs: 'present', 'y'; did you mean"),
        ({"present": "pats"}, "'pats' is no input; inputs: 'x', 'past'; did you mean"),
        ({"present": "x"}, r"'x': has shape \(3,\), but 'present', which is kept in it, \(4,\)"),
        ({"present": "past", "y": "past"}, "two outputs are kept in 'past'"),
    ],
)
def test_outputs_tied_to_inputs_wrong(ties: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_states(two_ends(), ties)


def test_formats_wrong() -> None:
    graph = two_ends()
    made = quantize_graph(graph, samples(graph, 8), TINY)
    with pytest.raises(InputError, match=r"'past': is int8\(.*state needs one scale and zero"):
        with_states(made, {"present": "past"})


def test_training_wrong() -> None:
    with pytest.raises(InputError, match="state 'c': training needs all runs in one network"):
        differentiate(lstm(), Loss("mse"), Optimizer())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net.relu().build(), "nothing is kept in state 'h'"),
        (lambda net: net.relu().keep("h").keep("h"), "state 'h' is set twice"),
        (lambda net: net.relu().keep("input"), "'input' is no state"),
        (lambda net: net.keep("h", source="input"), "state 'h': 'input' is no operator"),
        (lambda net: net.state("h", 0.0), "'h' is taken"),
        (lambda net: net.state("i", np.zeros(2)).relu().keep("h").keep("i").build(), "two states"),
        (lambda net: net.dense(weights(2, 3)).keep("h").build(), r"shape \(2,\), what is kept"),
    ],
)
def test_builder_wrong(change: Callable[[Builder], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        change(Builder("net", 2).state("h", np.zeros(2)))


def test_softmax_that_is_kept() -> None:
    """The host computes softmax at a network's end, but cannot where the next run reads it."""
    net = Builder("net", 2).state("h", np.zeros(2)).add("h", source="input").softmax().keep("h")
    made = quantize_graph(net.build(), np.ones((2, 2)), TINY)
    assert [node.op.title for node in made.nodes if not node.op.has_integers()] == []
