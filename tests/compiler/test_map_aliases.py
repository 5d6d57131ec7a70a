"""Maps that are ways to see others: channels that are all the same, and heads as rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.chain import VectorStep
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.model.run import run
from pulsarray.program import Program, unpack
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.maps import map_config, with_inputs
from pulsarray.sim.toolchain import SIMULATORS

CODES = Affine8(1.0, 3)
COPY = Scale(np.array([1 << 20]), np.array([20]), 3)
POINT = Window((1, 1))


def product(parts: Parts, source: str, name: str, weight: np.ndarray, scale: Scale = COPY) -> str:
    """A 1 x 1 convolution without bias."""
    parts.map(name, (*parts.values[source].shape[:2], weight.shape[-1]), CODES)
    op = integer.Convolution(POINT, 1, scale)
    bias = np.zeros(weight.shape[-1], np.int64)
    parts.product(name, op, source, weight, bias, name)
    return name


def spread(
    height: int, width: int, channels: int, *, ratio: int = 20, reads: bool = False
) -> Graph:
    """Codes less their pixel's mean, times it: the mean is copied into all channels."""
    parts, rng = Parts(), np.random.default_rng(channels)
    parts.input("x", (height, width, channels), CODES)
    mean = Scale(np.array([(1 << 20) // channels]), np.array([20]), 3)
    first = product(parts, "x", "mean", np.ones((1, 1, channels, 1), np.int64), mean)
    copy = Scale(np.array([1 << 20]), np.array([ratio]), 3)
    wide = product(parts, first, "wide", np.ones((1, 1, 1, channels), np.int64), copy)
    steps = (
        VectorStep("pass", 0, zero_a=3, shift=-4),
        VectorStep("pass", 1, zero_a=3, shift=-3),
        VectorStep("pass", 3, zero_a=5, multiplier=3, shift=1),
        VectorStep("sub", 2, 4, multiplier=1, shift=4),
        VectorStep("mul", 5, 1, multiplier=1, shift=6, wide=False, zero=-4),
    )
    parts.map("y", (height, width, channels), CODES)
    parts.add("y", integer.Chain(steps), ("x", wide), "y", "chain")
    weight = rng.integers(-9, 9, (1, 1, 1, 3))
    ends = ("y", product(parts, first, "z", weight)) if reads else ("y",)
    return parts.graph("spread", ends)


def heads(width: int, parts_: int, channels: int, *, moved: bool = False) -> Graph:
    """Products of each head's matrices, beside each other again."""
    parts, rng = Parts(), np.random.default_rng(width)
    whole = parts_ * channels
    parts.input("x", (1, width, 5), CODES)
    sides = []
    for name in "ab":
        weight = rng.integers(-99, 99, (1, 1, 5, whole))
        scale = Scale(np.array([1 << 20]), np.array([26]), 3)
        made = product(parts, "x", name, weight, scale)
        parts.map(f"{name}s", (parts_, width, channels), CODES)
        parts.add(f"{name}s", integer.Split(parts_, True), (made,), f"{name}s", "parts")
        sides.append(f"{name}s")
    parts.map("c", (parts_, width, width), CODES)
    op = integer.MatMul(Scale(np.array([1 << 20]), np.array([29]), 3), True)
    parts.add("c", op, tuple(sides), "c", "matmul")
    parts.map("d", (parts_, width, channels), CODES)
    op = integer.MatMul(Scale(np.array([1 << 20]), np.array([29]), 3), False)
    parts.add("d", op, ("c", "as"), "d", "matmul")
    parts.map("y", (1, width, whole), CODES)
    parts.add("y", integer.Join(parts_, True), ("d",), "y", "joined")
    ends = ("y", "d", "bs") if moved else ("y",)
    return parts.graph("heads", ends)


def wide(config: Config) -> Config:
    """A machine that has what chains and transposed matrices need."""
    banks = max(2, config.accumulator_banks)
    return replace(
        config, acc_bits=32, scale_bits=31, vector_multiply=True, transposer=True,
        accumulator_banks=banks,
    )  # fmt: skip


def compiled(graph: Graph, config: Config, batch: int = 1) -> Program:
    """A program with an input, whose results are what the definition says."""
    codes = np.random.default_rng(1).integers(-128, 128, (batch, *graph.input.shape))
    program = compiler.compile(graph, config, batch=batch)
    program = replace(program, memory=with_inputs(program, codes))
    memory = run(program).memory
    assert memory is not None
    wanted = run_outputs(graph, codes)
    for tensor in program.with_role("output"):
        values = wanted[tensor.name]
        assert len(np.unique(values)) > 5
        got = unpack(memory, tensor, config)
        np.testing.assert_array_equal(got.reshape(values.shape), values)
    return program


@pytest.mark.parametrize(("channels", "batch"), [(8, 1), (20, 2), (41, 1)])
@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_one_channel_is_made_in_all_lanes(preset: str, batch: int, channels: int) -> None:
    config = wide(PRESETS[preset])
    program = compiled(spread(3, 5, channels), config, batch)
    kinds = [layer.kind for layer in program.layers]
    assert len(kinds) == (3 if channels <= config.dim else 2)


@pytest.mark.parametrize(("ratio", "reads"), [(21, False), (20, True)])
def test_what_is_no_copy_or_read_otherwise_is_made_of_one_channel(ratio: int, reads: bool) -> None:
    program = compiled(spread(3, 5, 41, ratio=ratio, reads=reads), wide(PRESETS["small"]))
    assert len(program.layers) == 3 + reads


@pytest.mark.parametrize("seed", range(8))
def test_repeated_channels_on_any_machine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = wide(map_config(rng, int(rng.choice([2, 3, 4, 5, 8]))))
    height, width, channels = (int(n) for n in rng.integers((1, 1, 2), (12, 12, 50)))
    compiled(spread(height, width, channels), config, int(rng.integers(1, 3)))


@pytest.mark.parametrize(("moved", "batch"), [(False, 2), (True, 1)])
@pytest.mark.parametrize("channels", [6, 8])
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_heads_of_whole_words_are_not_moved(
    preset: str, channels: int, moved: bool, batch: int
) -> None:
    config = replace(PRESETS[preset], transposer=True)
    program = compiled(heads(9, 3, channels, moved=moved), config, batch)
    still = channels % config.dim == 0
    # What is a result itself is written as such.
    assert len(program.layers) == 4 + (3 if not still else 2 * moved)


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("kind", ["heads", "spread"])
def test_views_on_rtl(simulator: str, kind: str) -> None:
    config = wide(PRESETS["tiny"])
    graph = heads(5, 2, 8) if kind == "heads" else spread(2, 3, 11)
    program = compiled(graph, config)
    assert compare(run_model(program), simulate(program, simulator), program) == []


@pytest.mark.parametrize(("dim", "channels", "count"), [(4, 3, 11), (4, 4, 8), (5, 7, 16)])
def test_what_cannot_be_read_again_is_copied(dim: int, channels: int, count: int) -> None:
    """A result has its own words."""
    parts = Parts()
    parts.input("x", (3, 4, channels), CODES)
    parts.map("y", (3, 4, count), CODES)
    parts.add("y", integer.Repeat(count), ("x",), "y", "repeat")
    compiled(parts.graph("repeat", ("y",)), map_config(np.random.default_rng(dim), dim), 2)
