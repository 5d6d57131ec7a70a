"""Second bench: memory is ``cocotbext-axi``'s, with random back-pressure on all five channels.

Only values are compared; time depends on the seed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import CheckFailed, ProgramError
from pulsarray.isa import UNIT_BYTES
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.sim import builds, toolchain
from pulsarray.sim.jobs import cycle_bound
from pulsarray.sim.protocol import violation_text

__all__ = ["AxiJob", "run_axi"]

_BENCH = "pulsarray.sim.axi_tests"
_SLOWEST_LATENCY, _SLOWEST_INTERVAL = 400, 40


@dataclass(frozen=True)
class AxiJob:
    """A program, the seed of the back-pressure, and how often a channel pauses (0 to 0.95)."""

    program: Program
    seed: int
    pause: float = 0.5


def run_axi(jobs: Sequence[AxiJob], config: Config, simulator: str) -> list[npt.NDArray[np.uint8]]:
    """Memory after each job, all run in one simulator process.

    Raises
    ------
    CheckFailed
        If the machine breaks the AXI protocol or does not end.
    ProgramError
        If it stops with an error.
    """
    build = builds.axi_bench(config, simulator)
    with tempfile.TemporaryDirectory(prefix="pulsarray-axi-") as name:
        folder = Path(name)
        _write(folder, jobs)
        toolchain.run(simulator, builds.AXI_TOP, build, _BENCH, plusargs=[f"+folder={name}"])
        return [_read(folder, number, simulator) for number in range(len(jobs))]


def _write(folder: Path, jobs: Sequence[AxiJob]) -> None:
    table = []
    for number, job in enumerate(jobs):
        program = job.program
        program.memory.tofile(folder / f"{number}.in")
        table.append(
            {
                "seed": job.seed,
                "pause": job.pause,
                "size": int(program.memory.size),
                "program_address": program.code_address,
                "program_units": len(program.code) // UNIT_BYTES,
                "cycle_limit": cycle_bound(program, _SLOWEST_LATENCY, _SLOWEST_INTERVAL),
            }
        )
    (folder / "jobs.json").write_text(json.dumps(table), encoding="ascii")


def _read(folder: Path, number: int, simulator: str) -> npt.NDArray[np.uint8]:
    state = json.loads((folder / f"{number}.json").read_text(encoding="ascii"))
    if state["violation"]:
        raise CheckFailed(f"{simulator}: {violation_text(state['violation'])}")
    if state["hung"]:
        raise CheckFailed(f"{simulator}: no interrupt from job {number}")
    if state["error_code"]:
        code, index = ErrorCode(state["error_code"]), state["error_index"]
        raise ProgramError(code, index, f"{simulator}: stopped by {code.name} at {index}")
    return np.fromfile(folder / f"{number}.out", np.uint8)
