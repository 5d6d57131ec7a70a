"""Softmax of codes: sums become lanes, and programs leave in memory what the definition says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.lower.packing import Packing
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.model.run import run
from pulsarray.program import unpack
from pulsarray.sim.random.maps import map_config, with_inputs


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 8, 16])
def test_every_word_is_a_lane_of_few_words(dim: int) -> None:
    for words in range(1, 65):
        packing = Packing.of(words, dim)
        groups, lanes = range(packing.groups), range(packing.lanes)
        assert {g * packing.step + lane for g in groups for lane in lanes} == {*range(words)}
        assert packing.lanes <= dim
        assert packing.groups <= (-(-words // dim) + 1 if dim == 16 else words)


def softmax(*shape: int) -> Graph:
    """A softmax of random codes' channels."""
    parts = Parts()
    parts.input("x", (shape[0], shape[1], shape[2]), Affine8(1.0, 3))
    exponentials = np.floor((2.0**31 - 1) * np.exp(-0.03 * np.arange(256))).astype(np.int64)
    parts.map("y", (shape[0], shape[1], shape[2]), Affine8(1 / 256, -128))
    parts.add("y", integer.Softmax(exponentials), ("x",), "y", "softmax")
    return parts.graph("softmax", ("y",))


def norm(*shape: int) -> Graph:
    """An L2_NORMALIZATION of random codes' channels."""
    parts = Parts()
    parts.input("x", (shape[0], shape[1], shape[2]), Affine8(1.0, -77))
    parts.map("y", (shape[0], shape[1], shape[2]), Affine8(1 / 128, 0))
    parts.add("y", integer.Normalize(), ("x",), "y", "norm")
    return parts.graph("norm", ("y",))


def log_softmax(*shape: int) -> Graph:
    """A LOG_SOFTMAX of random codes' channels."""
    parts = Parts()
    parts.input("x", (shape[0], shape[1], shape[2]), Affine8(1.0, 3))
    exponentials = np.floor((2.0**31 - 1) * np.exp(-0.0625 * np.arange(256))).astype(np.int64)
    parts.map("y", (shape[0], shape[1], shape[2]), Affine8(1 / 16, 127))
    op = integer.LogSoftmax(exponentials, (1 << 30, 31 - 23), 248)
    parts.add("y", op, ("x",), "y", "log_softmax")
    return parts.graph("log_softmax", ("y",))


def assert_equal(graph: Graph, config: Config, batch: int = 1) -> None:
    codes = np.random.default_rng(1).integers(-128, 128, (batch, *graph.input.shape))
    program = compiler.compile(graph, config, batch=batch)
    memory = run(replace(program, memory=with_inputs(program, codes))).memory
    assert memory is not None
    wanted = run_outputs(graph, codes)["y"]
    got = unpack(memory, program.with_role("output")[0], config)
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 17, 9), (1, 40, 70)])
@pytest.mark.parametrize("preset", ["small", "base"])
@pytest.mark.parametrize("drawn", [softmax, norm, log_softmax])
def test_pixels_and_blocks(
    drawn: Callable[..., Graph], preset: str, shape: tuple[int, int, int]
) -> None:
    assert_equal(drawn(*shape), PRESETS[preset])


@pytest.mark.parametrize(
    ("drawn", "seed"),
    [*((softmax, seed) for seed in range(12)), *((norm, seed) for seed in range(6)),
     *((log_softmax, seed) for seed in range(6, 12))],
)  # fmt: skip
def test_any_machine(drawn: Callable[..., Graph], seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = map_config(rng, int(rng.choice([2, 3, 4, 5, 8])))
    config = replace(
        config, acc_bits=32, scale_bits=31, tflite=True, residual=True, tables=2,
        vector_multiply=True,
        accumulator_banks=max(2, config.accumulator_banks),
        parameter_depth=int(rng.integers(2, 40)),
    )  # fmt: skip
    shape = [int(n) for n in rng.integers(1, (4, 20, 30))]
    assert_equal(drawn(*shape), config, int(rng.integers(1, 3)))


def test_softmax_that_does_not_fit() -> None:
    config = replace(PRESETS["small"], accumulator_depth=16)
    with pytest.raises(InputError, match="y: int8_softmax of 300 channels does not fit"):
        compiler.compile(softmax(1, 2, 300), config)
