"""The transposer on both simulators."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.transposer import Transposer
from tests.hw.harness import run_bench


@pytest.mark.parametrize(("dim", "operand_bits"), [(2, 8), (3, 8), (5, 8), (4, 16)])
def test_blocks(simulator: str, dim: int, operand_bits: int) -> None:
    parameters = {"dim": dim, "operand_bits": operand_bits, "seed": dim}
    run_bench(Transposer(dim, operand_bits), "transposer_bench", simulator, parameters)
