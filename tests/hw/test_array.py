"""The systolic array on both simulators, small and odd sizes and both operand widths."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.array import Array
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("dim", "operand_bits", "psum_bits"), [(2, 8, 17), (3, 8, 18), (5, 8, 19), (4, 16, 34)]
)
def test_passes(simulator: str, dim: int, operand_bits: int, psum_bits: int) -> None:
    parameters = {"dim": dim, "operand_bits": operand_bits, "psum_bits": psum_bits, "seed": dim}
    run_bench(Array(dim, operand_bits, psum_bits), "array_bench", simulator, parameters)
