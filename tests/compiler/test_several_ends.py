"""Networks with several inputs and outputs: as defined on the model, each by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import float_inputs, inputs_from_host, run_all, run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import split_host
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run, run_outputs
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import Program, unpack
from pulsarray.sim.random.ends import with_more_ends
from pulsarray.sim.random.graphs import random_graph, random_samples
from pulsarray.sim.random.maps import MAP_DIMS, map_config, random_ends_program
from pulsarray.tensors import real_values, with_arrays

RNG = np.random.default_rng(12)
SMALL = PRESETS["small"]
Arrays = dict[str, np.ndarray]


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0.0, np.sqrt(2.0 / np.prod(shape[:-1])), shape)


def heads() -> Graph:
    """A body whose result is an output and read further, and three heads."""
    b = Builder("heads", (8, 6, 3)).convolution(weights(3, 3, 3, 10), padding=1).relu(name="body")
    b.output("features").max_pool(2).convolution(weights(3, 3, 10, 8), padding=1).relu(name="deep")
    b.convolution(weights(1, 1, 8, 12)).output("boxes")
    b.convolution(weights(1, 1, 8, 4), source="deep").sigmoid().output("kinds")
    b.global_average_pool(source="deep").flatten().dense(weights(8, 5)).softmax().output("scene")
    return b.build()


def two_maps() -> Graph:
    """Two feature maps of one shape, and a vector that joins them at the end."""
    b = Builder("maps", {"left": (6, 6, 4), "right": (6, 6, 4), "flags": 5})
    b.convolution(weights(3, 3, 4, 8), padding=1).relu(name="a")
    b.convolution(weights(3, 3, 4, 8), padding=1, source="right").add("a").relu(name="sum")
    b.output("sum").flatten().dense(weights(288, 6)).relu(name="image")
    b.dense(weights(5, 6), source="flags").relu().add("image").dense(weights(6, 3)).output("answer")
    return b.build()


def logits_and_answer() -> Graph:
    """One value that is two outputs by way of the host, and a map that is flattened, too."""
    b = Builder("both", (4, 4, 2)).convolution(weights(3, 3, 2, 6)).relu().output("map")
    b.flatten(name="flat").output("vector").dense(weights(24, 5), name="fc").output("logits")
    return b.softmax().output("answer").build()


def side_by_side() -> Graph:
    """Maps that are inputs, outputs and parts of another one."""
    b = Builder("parts", {"x": (3, 3, 8), "y": (3, 3, 8)})
    b.convolution(weights(1, 1, 8, 8)).relu(name="a").output("part").concat("y", name="whole")
    b.output("whole").convolution(weights(1, 1, 16, 8)).concat("a", "x").output("more")
    return b.build()


def softmax_inside() -> Graph:
    """Probabilities that are an output and read further, so that the machine computes them."""
    b = Builder("inside", 4).dense(weights(4, 3)).softmax().output("p").dense(weights(3, 2))
    return b.output("y").build()


def not_read() -> Graph:
    """An input that no output depends on."""
    return Builder("spare", {"used": 3, "spare": (2, 2, 3)}).dense(weights(3, 2)).build()


NETWORKS: dict[str, Callable[[], Graph]] = {
    made.__name__: made
    for made in (heads, two_maps, logits_and_answer, side_by_side, softmax_inside, not_read)
}


def samples(graph: Graph, count: int) -> Arrays:
    return {value.name: RNG.normal(size=(count, *value.shape)) for value in graph.inputs}


def results(program: Program, arrays: Arrays) -> Arrays:
    """Real values of each output, in the host's shape, as the model computes them."""
    memory = execute(program, with_arrays(program, arrays))
    config = program.config
    return {
        tensor.name: real_values(unpack(memory, tensor, config), tensor)
        for tensor in program.with_role("output")
    }


def assert_as_defined(quantized: Graph, program: Program, arrays: Arrays) -> Arrays:
    """Every output of the model is that of the operators' definitions; the real values."""
    codes = {
        value.name: value.codes.encode(inputs_from_host(quantized, arrays)[value.name])
        for value in quantized.inputs
    }
    wanted, made = run_outputs(quantized, codes), results(program, arrays)
    assert len(wanted) == len(made)
    for (name, values), tensor in zip(wanted.items(), program.with_role("output"), strict=True):
        form = quantized.values[name].format
        reals = form.decode(values) if hasattr(form, "decode") else values
        view = quantized.views.get(name)
        reals = view.to_host(reals) if view else reals.reshape(made[tensor.name].shape)
        np.testing.assert_allclose(made[tensor.name], reals, rtol=0, atol=1e-12)
    return made


def test_several_arrays_or_one() -> None:
    graph = two_maps()
    data = samples(graph, 3)
    assert [array.shape for array in float_inputs(graph, data).values()] == [(3, 144)] * 2 + [
        (3, 5)
    ]
    one = not_read().only(("output",))
    array = RNG.normal(size=(4, 3))
    np.testing.assert_array_equal(run_float(one, array), run_float(one, {"used": array}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flags": None}, "input 'flags' is missing; inputs: 'left', 'right', 'flags'"),
        (
            {"flag": np.ones((3, 5))},
            "'flag' is no input; inputs: 'left', 'right', 'flags'; did you mean 'flags'",
        ),
        ({"flags": np.ones((3, 4))}, r"flags: shape must be \(samples, 5\), not \(3, 4\)"),
        ({"flags": np.ones(5)}, r"flags: shape must be \(samples, 5\), not \(5,\)"),
        ({"flags": np.full((3, 5), np.nan)}, "flags: values must be finite"),
        ({"flags": np.ones((3, 5), complex)}, "flags: must be real numbers"),
        (
            {"flags": np.ones((2, 5))},
            "as many samples of each input, not 3 of 'left', 3 of 'right', 2 of 'flags'",
        ),
    ],
)
def test_wrong_samples(changes: dict[str, np.ndarray | None], message: str) -> None:
    graph = two_maps()
    data = {k: v for k, v in (samples(graph, 3) | changes).items() if v is not None}
    with pytest.raises(InputError, match=f"calibration data: .*{message}"):
        compiler.compile(graph, SMALL, calibration=data)
    with pytest.raises(InputError, match=message):
        run_all(graph, data)


def test_wrong_samples_of_several() -> None:
    graph = two_maps()
    with pytest.raises(InputError, match="one array for each of the inputs 'left', 'right', 'fl"):
        compiler.compile(graph, SMALL, calibration=np.ones((3, 6, 6, 4)))
    wanted = r"samples of 'left' with shape \(6, 6, 4\), 'right' with shape .*, 'flags' with shape"
    with pytest.raises(InputError, match=wanted):
        compiler.compile(graph, SMALL)
    with pytest.raises(InputError, match="maps: one input is needed here, not 'left', 'right'"):
        _ = graph.input
    quantized = quantize_graph(graph, samples(graph, 3), SMALL)
    codes = {value.name: np.zeros((2, *value.shape), np.int64) for value in quantized.inputs}
    with pytest.raises(InputError, match="maps: input 'flags' is missing"):
        run(quantized, {name: codes[name] for name in ("left", "right")})
    with pytest.raises(InputError, match="as many samples of each input, not 2 of 'left', 1 of"):
        run(quantized, codes | {"right": codes["right"][:1]})


def test_arrays_of_programs() -> None:
    graph = two_maps()
    program = compiler.compile(graph, SMALL, calibration=samples(graph, 3))
    arrays = samples(graph, 1)
    with pytest.raises(InputError, match="inputs: input 'flags' is missing; inputs: left, right"):
        with_arrays(program, {name: arrays[name] for name in ("left", "right")})
    with pytest.raises(InputError, match=r"array 'flag' is no input .*; did you mean 'flags'"):
        with_arrays(program, arrays | {"flag": arrays["flags"]})
    with pytest.raises(
        InputError, match=r"inputs: right: shape must be \(1, 6, 6, 4\), not \(2, 6"
    ):
        with_arrays(program, arrays | {"right": np.ones((2, 6, 6, 4))})


def test_builder_wrong() -> None:
    b = Builder("net", {"a": 3, "b": 3}).dense(weights(3, 2), name="fc")
    with pytest.raises(InputError, match="net: output 'y': 'a' is no operator"):
        b.output("y", source="a")
    with pytest.raises(InputError, match="net: two outputs are named 'y'"):
        b.output("y").output("y")
    with pytest.raises(InputError, match="relu: nothing reads its result"):
        b.relu().build()
    with pytest.raises(InputError, match="net: a network needs at least one input"):
        Builder("net", {})


def test_training_takes_one_output_and_one_map() -> None:
    loss, optimizer = Loss("mse"), Optimizer()
    with pytest.raises(InputError, match="heads: one output is needed here, not 'features', 'box"):
        differentiate(heads(), loss, optimizer)
    with pytest.raises(InputError, match="left: where there are several inputs training needs ve"):
        differentiate(two_maps().only(["answer"]), loss, optimizer)


def test_a_scale_for_each_end() -> None:
    graph = two_maps()
    data = samples(graph, 20)
    data["right"] *= 100
    made = quantize_graph(graph, data, SMALL)
    left, right, flags = (value.codes.scale for value in made.inputs)
    assert right > 50 * left
    assert flags != left
    assert len({made.values[name].codes.scale for name in made.outputs}) == 2


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    config = map_config(np.random.default_rng((seed, 1)), MAP_DIMS[seed % len(MAP_DIMS)])
    graph, program, codes = random_ends_program(np.random.default_rng(seed), config)
    (machine, ends), done = split_host(graph), execute(program)
    wanted, tensors = run(machine, codes), program.with_role("output")
    assert [tensor.name for tensor in tensors] == [end.name for end in ends]
    for end, tensor in zip(ends, tensors, strict=True):
        expected = wanted[end.source].reshape(tensor.rows, tensor.columns)
        np.testing.assert_array_equal(unpack(done, tensor, config), expected, end.name)


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_of_real_numbers(seed: int) -> None:
    """Each end with the name and shape that it has in the network."""
    rng, config = np.random.default_rng(seed), PRESETS["tiny"]
    graph = with_more_ends(rng, random_graph(seed))
    data = random_samples(rng, graph, 16)
    try:
        quantized = quantize_graph(graph, data, config)
        program = compiler.compile(quantized, config, batch=2, effort=0)
    except InputError:
        return  # Not every operator is possible everywhere.
    arrays = {name: array[:2] for name, array in data.items()}
    made, wanted = assert_as_defined(quantized, program, arrays), run_all(graph, arrays)
    assert {name: array.shape for name, array in made.items()} == {
        name: array.shape for name, array in wanted.items()
    }


@pytest.mark.parametrize("config", ["small", "base", "few banks"])
@pytest.mark.parametrize("name", NETWORKS)
def test_programs_are_as_defined(name: str, config: str) -> None:
    graph = NETWORKS[name]()
    few = Config(dim=3, bus_bits=32, scratchpad_banks=4)
    machine = PRESETS.get(config, few)
    data = samples(graph, 20)
    quantized = quantize_graph(graph, data, machine)
    program = compiler.compile(graph, machine, batch=2, calibration=data)
    assert [tensor.name for tensor in program.with_role("input")] == [v.name for v in graph.inputs]
    assert [tensor.name for tensor in program.with_role("output")] == list(graph.outputs)
    arrays = {name: array[:2] for name, array in data.items()}
    made, wanted = assert_as_defined(quantized, program, arrays), run_all(graph, arrays)
    for name_, values in wanted.items():
        assert made[name_].shape == values.shape
        error = np.sqrt(np.mean((made[name_] - values) ** 2))
        assert error < 0.05 * np.sqrt(np.mean(values**2)), name_
