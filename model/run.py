"""The whole model in one call: values and time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pulsarray.model.checks import check
from pulsarray.model.functional import values
from pulsarray.model.races import ordered
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.run import RunResult

__all__ = ["run"]


def run(
    program: Program,
    *,
    memory: npt.NDArray[np.uint8] | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
) -> RunResult:
    """Run a program on the model.

    Parameters
    ----------
    program
        The program.
    memory
        uint8 memory before the run; None for the program's own image. It is not changed.
    memory_latency, memory_interval
        L (cycles from an address to its first beat) and I (cycles a beat) of the memory.

    Raises
    ------
    ProgramError
        If the machine would stop with an error, or wait for ever: first what fields and addresses
        say, in program order, then what depends on time.
    UnknownResult
        If it would not stop, but its result cannot be told.
    """
    image = program.memory if memory is None else memory
    instructions = check(program, image.size)
    result = simulate_timing(
        program, memory_latency=memory_latency, memory_interval=memory_interval
    )
    instructions = ordered(program, instructions, image.size)
    return replace(result, memory=values(program.config, instructions, image))
