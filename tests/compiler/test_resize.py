"""Maps of other sizes: on the machine as defined, and near to the real result."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import network_input
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import Lines, Resize, linear, positions
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.model.timing import simulate_timing
from pulsarray.program import unpack
from pulsarray.sim.random.maps import MAP_DIMS, map_config, with_inputs
from pulsarray.sim.random.sizes import draw_sizes


def random_config(seed: int) -> Config:
    return map_config(np.random.default_rng((seed, 1)), MAP_DIMS[seed % len(MAP_DIMS)])


def compare(seed: int, config: Config) -> None:
    """A program leaves in memory what its network's definition says."""
    rng = np.random.default_rng(seed)
    graph, batch = draw_sizes(rng, config.scale_bits), int(rng.integers(1, 4))
    program = compiler.compile(graph, config, batch=batch)
    codes = rng.integers(-128, 128, (batch, *graph.input.shape))
    memory, (output,) = with_inputs(program, codes), program.with_role("output")
    made = unpack(execute(program, memory), output, config)
    wanted = run(graph, codes)[graph.output.name]
    np.testing.assert_array_equal(made, wanted.reshape(made.shape))
    assert simulate_timing(program).cycles > 0


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed: int) -> None:
    compare(seed, random_config(seed))


@pytest.mark.parametrize("seed", range(3))
def test_random_programs_on_a_preset(seed: int) -> None:
    compare(seed, PRESETS["small"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_many_random_programs(seed: int) -> None:
    compare(seed, random_config(seed))


def resized(rows: Lines, columns: Lines) -> Graph:
    """A network of one resize."""
    x = network_input("x", (rows.size, columns.size, 3))
    return Graph("resized", [x], [Node("resize", Resize(rows, columns), ("x",), "y")], ("y",))


def lines(way: str, size: int, made: int) -> Lines:
    return linear(size, positions(way, size, made, made / size))


@pytest.mark.parametrize("way", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("made", [(8, 12), (7, 3), (1, 24), (4, 31)])
def test_quantized_within_a_code(way: str, made: tuple[int, int]) -> None:
    """Rounded once, or twice where rows and columns are taken apart."""
    graph = resized(lines(way, 4, made[0]), lines(way, 6, made[1]))
    x = np.random.default_rng(0).uniform(-1, 1, (5, 4, 6, 3))
    quantized = quantize_graph(graph, x, PRESETS["base"])
    codes = quantized.input.codes
    (result,) = (quantized.output.codes,)
    assert result == codes
    wanted = run_float(graph, codes.decode(codes.encode(x)))
    made_codes = run(quantized, codes.encode(x))[quantized.output.name]
    # Weights are integers of up to 7 bits: at most 1/254 of the range, half a code, off each.
    assert np.abs(result.decode(made_codes) - wanted).max() <= 2.1 * codes.scale


def test_constant_maps_stay_constant() -> None:
    """Weights of every line have one sum, whatever they are rounded to."""
    for made in range(1, 40):
        whole = whole_lines(lines("align_corners", 7, made))
        sums = {sum(weight for _, weight in terms) for terms in whole.terms}
        assert len(sums) == 1
        assert 1 <= sums.pop() <= 127


@pytest.mark.parametrize(("way", "total"), [("half_pixel", 4), ("asymmetric", 2)])
def test_twice_as_large_is_exact_and_one_kernel(way: str, total: int) -> None:
    rows, columns = lines(way, 4, 8), lines(way, 6, 12)
    assert {sum(w for _, w in terms) for terms in whole_lines(rows).terms} == {total}
    graph = resized(rows, columns)
    x = np.random.default_rng(0).uniform(-1, 1, (5, 4, 6, 3))
    (node,) = quantize_graph(graph, x, PRESETS["base"]).nodes
    assert isinstance(node.op, integer.Resize)
    assert len(rows.runs) <= 4


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (Lines(2, (((0, 0.5), (1, 0.5)),)), "weights of 1 of 2 must be whole numbers"),
        (Lines(2, (((0, 1),), ((0, 1), (1, 1)))), "must be whole numbers with one sum"),
        (Lines(2, (((0, 100), (1, 100)),)), "products of weights must be up to 127, not 200"),
    ],
)
def test_impossible_weights(rows: Lines, text: str) -> None:
    op = integer.Resize(rows, Lines(1, (((0, 2),),)), (1, 0))
    with pytest.raises(InputError, match=text):
        op.shape((2, 1, 3))
