"""Networks of feature maps on RTL, equal to the model; the long comparison is slow."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.passes.quantize.integer_weights import Columns
from pulsarray.compiler.passes.quantize.scales import scale_of
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS
from pulsarray.program import Program, unpack
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.cases import Group, differences, draw_map_groups
from pulsarray.sim.random.maps import MAP_DIMS, with_inputs
from pulsarray.sim.toolchain import SIMULATORS
from tests.models import NETWORKS, model_file

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
# Of a machine that other tests build, too.
SHORT = [
    Group("convolution", SEED * 100 + 60, PRESETS["tiny"], 3),
    Group("network", SEED * 100 + 61, PRESETS["tiny"], 4),
]
LONG = draw_map_groups(SEED, 750)


def named(group: Group) -> str:
    return f"{group.kind}-D{group.config.dim}-seed{group.seed}"


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", SHORT, ids=named)
def test_some_cases(group: Group, simulator: str) -> None:
    differing = differences(list(group.cases()), group.config, simulator)
    assert not any(differing), differing


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", LONG, ids=named)
def test_all_cases(group: Group, simulator: str) -> None:
    differing = differences(list(group.cases()), group.config, simulator)
    assert not any(differing), differing


def test_there_are_750_cases() -> None:
    assert sum(group.count for group in LONG) == 750
    assert {group.config.dim for group in LONG} == set(MAP_DIMS)
    assert {group.kind for group in LONG} == {"convolution", "network"}


def network(name: str) -> tuple[Path, Graph]:
    file = model_file(name)
    return file, import_tflite(file)


def reference(litert: Any, file: Path, codes: np.ndarray) -> np.ndarray:
    """The codes before the last softmax of LiteRT's reference kernels, one row a sample."""
    runner = litert.Interpreter(
        model_path=str(file),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    runner.allocate_tensors()
    (details,) = runner.get_input_details()
    last = runner._get_ops_details()[-1]
    assert last["op_name"] == "SOFTMAX"
    rows = []
    for sample in codes:
        runner.set_tensor(details["index"], sample.astype(np.int8).reshape(details["shape"]))
        runner.invoke()
        rows.append(runner.get_tensor(last["inputs"][0]).ravel())
    return np.array(rows)


def with_codes(graph: Graph, preset: str, batch: int) -> tuple[Program, np.ndarray]:
    codes = np.random.default_rng(SEED).integers(-128, 128, (batch, *graph.input.shape))
    program = compiler.compile(graph, PRESETS[preset], batch=batch)
    return replace(program, memory=with_inputs(program, codes)), codes


def assert_reference(program: Program, memory: np.ndarray, wanted: np.ndarray) -> None:
    (output,) = program.with_role("output")
    np.testing.assert_array_equal(unpack(memory, output, program.config), wanted)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("preset", ["small", "base"])
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_on_the_model(name: str, preset: str, batch: int) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    file, graph = network(name)
    program, codes = with_codes(graph, preset, batch)
    result = run_model(program)
    assert result.memory is not None
    assert_reference(program, result.memory, reference(litert, file, codes))


@pytest.mark.parametrize(
    "preset", ["tiny", *(pytest.param(p, marks=pytest.mark.slow) for p in ("small", "base"))]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_on_rtl(name: str, preset: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    file, graph = network(name)
    program, codes = with_codes(graph, preset, 1)
    result = simulate(program, "verilator")
    assert compare(run_model(program), result, program) == []
    assert result.memory is not None
    assert_reference(program, result.memory, reference(litert, file, codes))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_sums_with_bits_below_a_code(simulator: str) -> None:
    """Biases that are no whole number of a unit, a dead channel, and a sum with a map."""
    rng = np.random.default_rng(SEED)
    x, y, parts = Affine8(0.05, 3), Affine8(0.1, -7), Parts()
    columns = Columns(
        rng.integers(-127, 128, (5, 5)),
        np.array([700, -300, 0, 20, 5]),
        np.array([1e-4, 2e-4, 1e-13, 3e-4, 1e-4]),
        rng.normal(size=5),
    )
    scale, residual = scale_of(columns, y, x, 31, exact=True)
    plain, _ = scale_of(columns, x, None, 31, exact=True)
    weight = columns.weight.reshape(1, 1, 5, 5)
    window = Window((1, 1))
    parts.input("x", (4, 3, 5), x)
    for name, form in (("z", x), ("y", y)):
        parts.map(name, (4, 3, 5), form)
    parts.product("a", Convolution(window, 1, plain), "x", weight, columns.bias, "z")
    both = Convolution(window, 1, scale, residual)
    parts.product("b", both, "z", weight, columns.bias, "y", second="x")
    graph = parts.graph("fine", ("y",))
    codes = rng.integers(-128, 128, (2, 4, 3, 5))
    program = compiler.compile(graph, PRESETS["tiny"], batch=2)
    program = replace(program, memory=with_inputs(program, codes))
    result = simulate(program, simulator)
    assert compare(run_model(program), result, program) == []
    assert result.memory is not None
    assert_reference(program, result.memory, run(graph, codes)["y"].reshape(-1, 5))
