"""Networks with several inputs and outputs: as defined on the model, each by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.cli.arrays import real_values, with_arrays
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import inputs_from_host, run_all
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.images import host_shape
from pulsarray.model.functional import execute
from pulsarray.program import Program, unpack

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


def not_read() -> Graph:
    """An input that no output depends on."""
    return Builder("spare", {"used": 3, "spare": (2, 2, 3)}).dense(weights(3, 2)).build()


NETWORKS: dict[str, Callable[[], Graph]] = {
    made.__name__: made for made in (heads, two_maps, logits_and_answer, side_by_side, not_read)
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
        reals = view.to_host(reals) if view else reals.reshape(host_shape(tensor))
        np.testing.assert_allclose(made[tensor.name], reals, rtol=0, atol=1e-12)
    return made


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
