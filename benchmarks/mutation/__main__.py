"""How many faults the benches of ``tests/hw`` find: the mutation score of each block.

``python -m benchmarks.mutation`` draws faults in the netlist of each block, simulates the block's
bench (Verilator) with each, and prints the score: faults found, of those that are not proven
equivalent. ``--survivors`` prints each that was not found, with its place in the block's Verilog.

--block    blocks by name; all without
--number   faults of each block
--seed     which ones
--jobs     simulations at a time
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.mutation.blocks import BLOCKS, Block
from benchmarks.mutation.mutants import draw, equivalent, netlist
from pulsarray.sim import toolchain
from tests.hw.harness import TOP, Subject

_CONSOLE = Console(stderr=True)
_PASSED = b" FAIL=0 "
_FAILED = b" failed"
_POLL_SECONDS = 0.05
_SLOWER = 10
"""A mutant that takes so many times as long as the block itself hangs."""
_LEAST_SECONDS = 60.0


@dataclass(frozen=True)
class Score:
    """What became of a block's mutants.

    Members
    -------
    drawn, equal
        How many there are, and how many are proven to change nothing.
    survivors
        Those that the bench did not notice.
    """

    drawn: int
    equal: int
    survivors: list[str]

    @property
    def found(self) -> int:
        """Mutants that the bench noticed."""
        return self.drawn - self.equal - len(self.survivors)

    def __str__(self) -> str:
        different = self.drawn - self.equal
        return f"{self.drawn} | {self.equal} | {self.found} | {100 * self.found / different:.1f} %"


class Simulation:
    """The bench of a block, on the netlist with all mutants."""

    def __init__(self, block: Block, subject: Subject, path: Path, folder: Path) -> None:
        self._module = f"tests.hw.{block.bench}"
        self._folder = folder / "build"
        os.environ |= subject.environment(block.settings)
        toolchain.build("verilator", [path], TOP, self._folder, public=subject.public)
        self._limit, started = math.inf, time.monotonic()
        if not self.passes(0):
            raise SystemExit(f"{block.bench}: fails without a mutant")
        self._limit = max(_LEAST_SECONDS, _SLOWER * (time.monotonic() - started))

    def passes(self, mutant: int) -> bool:
        """Whether the bench notices nothing."""
        with tempfile.TemporaryDirectory(prefix="pulsarray-mutant-") as name:
            folder, deadline = Path(name), time.monotonic() + self._limit
            arguments = [f"+mutant={mutant}"]
            with toolchain.start(
                "verilator", TOP, self._folder, self._module, folder, plusargs=arguments
            ) as process:
                while process.poll() is None:
                    if _FAILED in _text(folder) or time.monotonic() > deadline:
                        process.kill()
                    time.sleep(_POLL_SECONDS)
            return process.returncode == 0 and _PASSED in _text(folder)


def _text(folder: Path) -> bytes:
    return (folder / "log").read_bytes()


def score(block: Block, number: int, seed: int, jobs: int, what: str) -> Score:
    """Simulate ``number`` mutants of a block."""
    subject = Subject.of(block.component())
    with tempfile.TemporaryDirectory(prefix="pulsarray-mutants-") as name:
        folder = Path(name)
        mutants = draw(subject.verilog, number, seed, folder)
        simulation = Simulation(block, subject, netlist(mutants, folder), folder)
        places = range(1, len(mutants) + 1)
        with ThreadPoolExecutor(jobs) as pool:
            results = pool.map(simulation.passes, places)
            passed = list(track(results, what, len(mutants), console=_CONSOLE, transient=True))
        unnoticed = [mutant for mutant, passes in zip(mutants, passed, strict=True) if passes]
        survivors = [mutant for mutant in unnoticed if not equivalent(mutant, folder)]
    return Score(len(mutants), len(unnoticed) - len(survivors), survivors)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--block", action="append", choices=list(BLOCKS))
    parser.add_argument("--number", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--survivors", action="store_true")
    options = parser.parse_args()
    print("| block | mutants | equivalent | noticed | score |\n|---|---|---|---|---|")
    scores = []
    for name in options.block or BLOCKS:
        scores.append(score(BLOCKS[name], options.number, options.seed, options.jobs, name))
        print(f"| {name} | {scores[-1]} |", flush=True)
        for mutant in scores[-1].survivors if options.survivors else ():
            print(f"  {mutant}", flush=True)
    everything = [mutant for part in scores for mutant in part.survivors]
    drawn, equal = (sum(getattr(part, what) for part in scores) for what in ("drawn", "equal"))
    print(f"| all | {Score(drawn, equal, everything)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
