"""How many faults the benches of ``tests/hw`` find: the mutation score of each block.

``python -m benchmarks.mutation`` draws faults in the netlist of each block, simulates the block's
bench (Icarus) with each, and prints the score: faults found, of those that are not proven
equivalent. ``--survivors`` prints each that was not found, with its place in the block's Verilog.

--block    blocks by name; all without
--number   faults of each block
--seed     which ones
--jobs     simulations at a time
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutation.blocks import BLOCKS, Block
from benchmarks.mutation.equivalence import Prover
from benchmarks.mutation.forked import settings
from benchmarks.mutation.mutants import NETLIST, draw, netlist
from pulsarray.sim import toolchain
from pulsarray.sim.toolchain import failed
from tests.hw.harness import TOP, Subject


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


def unnoticed(block: Block, subject: Subject, folder: Path, mutants: int, jobs: int) -> list[int]:
    """Which of so many mutants of a folder's netlist pass all tests of the block's bench."""
    build, results = folder / "build", folder / "results.json"
    toolchain.build("icarus", [folder / NETLIST], TOP, build)
    os.environ |= subject.environment(block.settings) | settings(mutants, jobs, str(results))
    modules = f"benchmarks.mutation.forked,tests.hw.{block.bench}"
    with toolchain.start("icarus", TOP, build, modules, folder) as process:
        process.wait()
    if process.returncode or not results.is_file():
        raise failed(f"{block.bench} does not run", folder / "log")
    survivors: list[int] = json.loads(results.read_text(encoding="utf-8"))
    if survivors[:1] != [0]:
        raise SystemExit(f"{block.bench}: fails without a mutant")
    return survivors[1:]


def score(block: Block, number: int, seed: int, jobs: int) -> Score:
    """Simulate ``number`` mutants of a block."""
    subject = Subject.of(block.component())
    with tempfile.TemporaryDirectory(prefix="pulsarray-mutants-") as name:
        folder = Path(name)
        mutants = draw(subject.verilog, number, seed, folder)
        netlist(mutants, folder)
        left = [mutants[n - 1] for n in unnoticed(block, subject, folder, len(mutants), jobs)]
        prover = Prover(block.views, folder)
        survivors = [mutant for mutant in left if not prover.equivalent(mutant)]
    return Score(len(mutants), len(left) - len(survivors), survivors)


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
        scores.append(score(BLOCKS[name], options.number, options.seed, options.jobs))
        print(f"| {name} | {scores[-1]} |", flush=True)
        for mutant in scores[-1].survivors if options.survivors else ():
            print(f"  {mutant}", flush=True)
    everything = [mutant for part in scores for mutant in part.survivors]
    drawn, equal = (sum(getattr(part, what) for part in scores) for what in ("drawn", "equal"))
    print(f"| all | {Score(drawn, equal, everything)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
