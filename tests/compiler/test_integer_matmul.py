"""Products of two maps of codes: programs leave in memory what the definition says, to the bit."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.isa import Opcode
from pulsarray.model.run import run
from pulsarray.program import Program, unpack
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.maps import map_config, with_inputs
from pulsarray.sim.toolchain import SIMULATORS

SMALLEST = Config(
    dim=2, scratchpad_banks=4, scratchpad_depth=16, accumulator_banks=2, accumulator_depth=16,
    parameter_depth=1, tables=0, bus_bits=16, outstanding=1, queue_depth=1,
)  # fmt: skip


def convolved(parts: Parts, name: str, shape: tuple[int, ...], zero: int = 0) -> str:
    """A 1 x 1 convolution of the input."""
    rng = np.random.default_rng(len(parts.nodes))
    channels = parts.values["x"].shape[2]
    weight = rng.integers(-127, 128, (1, 1, channels, shape[2]))
    scale = Scale(np.array([1 << 20]), np.array([27]), zero)
    parts.map(name, shape, Affine8(1.0, zero))
    op = integer.Convolution(Window((1, 1)), 1, scale)
    parts.product(name, op, "x", weight, np.zeros(shape[2], np.int64), name)
    return name


def products(
    height: int,
    width: int,
    depth: int,
    *,
    transposed: bool,
    every: int = 1,
    zero: int = 0,
    first_zero: int = 0,
) -> Graph:
    """In each of some rows products of matrices with ``width`` columns or, transposed, rows."""
    parts = Parts()
    parts.input("x", (height, width, 5), Affine8(1.0, 3))
    first = convolved(parts, "a", (height, width, depth if transposed else width), first_zero)
    second = convolved(parts, "b", (height, width, depth), zero)
    rows = -(-width // every)
    parts.map("c", (height, rows, parts.values[first].shape[2]), Affine8(1.0, first_zero))
    parts.add("c", integer.MaxPool(Window((1, 1), (1, every))), (first,), "c")
    columns = width if transposed else depth
    parts.map("y", (height, rows, columns), Affine8(1.0, 5))
    op = integer.MatMul(Scale(np.array([1 << 20]), np.array([28]), 5), transposed)
    parts.add("y", op, ("c", second), "y", "matmul")
    return parts.graph("products", ("y",))


def assert_equal(graph: Graph, config: Config, batch: int = 2) -> None:
    codes = np.random.default_rng(1).integers(-128, 128, (batch, *graph.input.shape))
    program = compiler.compile(graph, config, batch=batch)
    memory = run(replace(program, memory=with_inputs(program, codes))).memory
    assert memory is not None
    got = unpack(memory, program.with_role("output")[0], config)
    wanted = run_outputs(graph, codes)["y"]
    assert len(np.unique(wanted)) > 5
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("sizes", [(1, 4, 4), (3, 5, 7), (1, 17, 10), (2, 12, 33)])
@pytest.mark.parametrize("config", [PRESETS["tiny"], PRESETS["small"], SMALLEST])
def test_products(config: Config, sizes: tuple[int, int, int], transposed: bool) -> None:
    assert_equal(products(*sizes, transposed=transposed, every=2), config)


@pytest.mark.parametrize("seed", range(12))
def test_products_on_any_machine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = map_config(rng, int(rng.choice([2, 3, 4, 5, 8])))
    sizes = (int(rng.integers(1, 4)), int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    turned, every = bool(rng.integers(2)), int(rng.integers(1, 4))
    zero = int(rng.choice([-128, -127, 0, 127, rng.integers(-128, 128)]))
    other = int(rng.choice([-128, 0, 127, rng.integers(-128, 128)]))
    graph = products(*sizes, transposed=turned, every=every, first_zero=zero, zero=other)
    assert_equal(graph, config, int(rng.integers(1, 4)))


@pytest.mark.parametrize("seed", range(6))
def test_products_of_many_pixels_on_any_machine(seed: int) -> None:
    rng = np.random.default_rng((seed, 1))
    config = map_config(rng, int(rng.choice([2, 3, 4, 5, 8])))
    sizes = (int(rng.integers(1, 3)), int(rng.integers(80, 140)), int(rng.integers(1, 40)))
    zeros = {"first_zero": int(rng.choice([-128, 9])), "zero": int(rng.choice([0, -5]))}
    graph = products(*sizes, transposed=bool(rng.integers(2)), **zeros)
    assert_equal(graph, config, int(rng.integers(1, 3)))


@pytest.mark.parametrize("zero", [-128, -127, -1, 1, 127])
@pytest.mark.parametrize("transposed", [False, True])
def test_zero_points_of_what_streams(transposed: bool, zero: int) -> None:
    assert_equal(products(2, 5, 11, transposed=transposed, first_zero=zero), PRESETS["tiny"])


@pytest.mark.parametrize("zero", [-128, -127, -1, 1, 127])
@pytest.mark.parametrize("transposed", [False, True])
def test_zero_points_of_what_goes_to_the_array(transposed: bool, zero: int) -> None:
    graph = products(2, 5, 11, transposed=transposed, first_zero=7, zero=zero)
    assert_equal(graph, PRESETS["tiny"])


@pytest.mark.parametrize("zero", [-128, -127, 5, 127])
@pytest.mark.parametrize("transposed", [False, True])
def test_zero_points_of_many_pixels_are_a_bias(transposed: bool, zero: int) -> None:
    """Sums of a tile of weights are made once.

    Tiles have fewer pixels than a bank holds, for that word; 2 rows of parameters fit at a time.
    """
    config = replace(PRESETS["tiny"], accumulator_depth=128, parameter_depth=2)
    graph = products(1, 140, 21, transposed=transposed, first_zero=zero, zero=-3)
    assert_equal(graph, config)
    program = compiler.compile(graph, config)
    assert "y.offsets" in [tensor.name for tensor in program.tensors]


def streamed(program: Program) -> int:
    """Words that go through the array."""
    streams = (i for i in program.instructions if i.op is Opcode.STREAM)
    return sum(prod(i[f"count{level}"] for level in range(5)) for i in streams)


@pytest.mark.parametrize(("zero", "tiles"), [(3, 1), (-128, 2)])
@pytest.mark.parametrize("transposed", [False, True])
def test_blocks_share_what_a_zero_point_takes(transposed: bool, zero: int, tiles: int) -> None:
    config = replace(PRESETS["tiny"], accumulator_depth=128)
    graphs = [products(2, 24, 24, transposed=transposed, zero=number) for number in (0, zero)]
    without, taken = (streamed(compiler.compile(graph, config)) for graph in graphs)
    rows, blocks = 2 * 24, 6
    assert taken - without == rows * blocks * tiles
    assert_equal(graphs[1], config)


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("sizes", [(1, 66, 18)])
def test_bias_of_zero_points_on_rtl(simulator: str, sizes: tuple[int, int, int]) -> None:
    graph = products(*sizes, transposed=True, first_zero=-128, zero=3)
    codes = np.random.default_rng(1).integers(-128, 128, (1, *graph.input.shape))
    program = compiler.compile(graph, replace(PRESETS["tiny"], accumulator_depth=128))
    program = replace(program, memory=with_inputs(program, codes))
    assert compare(run_model(program), simulate(program, simulator), program) == []


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_products_on_rtl(simulator: str) -> None:
    for turned in (False, True):
        graph = products(2, 5, 11, transposed=turned, first_zero=-128, zero=-128)
        codes = np.random.default_rng(1).integers(-128, 128, (2, *graph.input.shape))
        program = compiler.compile(graph, PRESETS["tiny"], batch=2)
        program = replace(program, memory=with_inputs(program, codes))
        assert compare(run_model(program), simulate(program, simulator), program) == []


def test_what_is_refused() -> None:
    graph = products(1, 4, 4, transposed=True)
    with pytest.raises(InputError, match="y: a product with a transposed map needs transposer"):
        compiler.compile(graph, replace(PRESETS["tiny"], transposer=False))
    wide = products(1, 4, 512, transposed=True)
    with pytest.raises(InputError, match="y: sums may reach 8388608, which 24 bits do not hold"):
        compiler.compile(wide, replace(PRESETS["tiny"], acc_bits=24))


@pytest.mark.parametrize("first", [True, False])
def test_factors_in_memory_whose_channels_are_all_the_same(first: bool) -> None:
    """They are one word a pixel, which is read again for every block."""
    parts = Parts()
    parts.input("x", (1, 12, 5), Affine8(1.0, 3))
    names = [convolved(parts, name, (1, 12, 12)) for name in "ab"]
    same = parts.values[f"{names[not first]}.weight"]
    same.array[...] = same.array[..., :1]
    parts.map("y", (1, 12, 12), Affine8(1.0, 5))
    op = integer.MatMul(Scale(np.array([1 << 20]), np.array([28]), 5), transposed=True)
    parts.add("y", op, tuple(names), "y", "matmul")
    graph = parts.graph("products", ("y",))
    config = replace(PRESETS["small"], dim=4, bus_bits=32, scratchpad_depth=64)
    assert_equal(graph, config, batch=8)
