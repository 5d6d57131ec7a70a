"""Arrays of sizes that no preset has, up to the largest: a product on RTL and on the model."""

from __future__ import annotations

import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate


@pytest.mark.parametrize(
    "dim", [7, *(pytest.param(d, marks=pytest.mark.slow) for d in (13, 33, 64))]
)
def test_a_product(dim: int) -> None:
    word = 8 << (dim - 1).bit_length()
    config = Config(dim=dim, bus_bits=word // 2, burst_beats=64)
    program = compile_gemm(dim + 3, 2 * dim - 1, dim + 1, config, seed=dim, effort=0)
    texts = compare(run_model(program), simulate(program, "icarus"), program)
    assert texts == []
