"""Configurations and products for the compiler's tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.config import Config
from pulsarray.program import Program, unpack

SIZES = st.integers(1, 40)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Small machines in every shape that is legal, the smallest memories included."""
    dim = draw(st.sampled_from([2, 3, 4, 5, 8, 16, 20]))
    word = 8 * (1 << (dim - 1).bit_length())
    return Config(
        dim=dim,
        acc_bits=draw(st.sampled_from([24, 28, 32])),
        scale_bits=draw(st.sampled_from([16, 24, 31])),
        scratchpad_banks=draw(st.sampled_from([4, 5, 8])),
        scratchpad_depth=draw(st.sampled_from([16, 33, 64, 256])),
        accumulator_banks=draw(st.sampled_from([2, 3])),
        accumulator_depth=draw(st.sampled_from([16, 17, 64])),
        parameter_depth=draw(st.sampled_from([1, 2, 64])),
        tables=draw(st.sampled_from([1, 2])),
        bus_bits=draw(st.sampled_from([b for b in (word // 4, word // 2, word) if b >= 8])),
        burst_beats=draw(st.sampled_from([32, 256])),
        outstanding=draw(st.sampled_from([1, 2, 8])),
        queue_depth=draw(st.sampled_from([1, 2, 4])),
    )


def expected_gemm(program: Program) -> np.ndarray:
    """What a product's program must leave in ``y``."""
    left = unpack(program.memory, program.tensor("x"), program.config)
    right = unpack(program.memory, program.tensor("gemm.weight"), program.config)
    sums = left @ right
    if program.notes["sums"]:
        return sums
    scaled = requantize(sums, program.notes["multiplier"], program.notes["shift"])
    return np.clip(scaled, -128, 127)
