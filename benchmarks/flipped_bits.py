"""Random programs with flipped bits: RTL against model, with noise in every memory beforehand.

``python benchmarks/flipped_bits.py --cases 5000`` runs them on Verilator, in six configurations.
What the model accepts must be equal on RTL, each time after other noise; what stops RTL the model
must refuse, by the same error and instruction or as seen ahead of the run; a good program after it
must run as ever. Exit 1 where it is not so. ``--seed`` reproduces all, as does the number printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pulsarray.config import Config
from pulsarray.sim.random.cases import DIMS
from pulsarray.sim.random.flips import Flip, Verdict, judge
from pulsarray.sim.random.programs import random_config
from pulsarray.sim.toolchain import SIMULATORS

BATCH = 50
"""Programs in one simulator process."""

Work = tuple[Config, list[int]]


def batches(seed: int, cases: int) -> Iterator[Work]:
    """Configurations and the seeds of their programs."""
    for place, dim in enumerate(DIMS):
        random = np.random.default_rng((seed, place))
        config = random_config(random, dim, 16 if place % 2 else 8)
        seeds = [seed * 1_000_000 + number for number in range(place, cases, len(DIMS))]
        for start in range(0, len(seeds), BATCH):
            yield config, seeds[start : start + BATCH]


def run_batch(config: Config, seeds: list[int], simulator: str) -> list[Verdict]:
    """Draw programs and run them in one simulator process."""
    return judge(config, [Flip.draw(config, seed) for seed in seeds], simulator)


def show(verdicts: list[Verdict], console: Console) -> None:
    """How often model and RTL ended in each way."""
    table = Table(title="Programs with flipped bits")
    for name in ("model", "RTL", "looked ahead"):
        table.add_column(name)
    table.add_column("programs", justify="right")
    kinds = Counter((v.model, v.machine, "yes" if v.ahead else "") for v in verdicts)
    for kind, count in sorted(kinds.items()):
        table.add_row(*kind, str(count))
    console.print(table)


def show_wrong(verdicts: list[Verdict], console: Console) -> int:
    """What is wrong, case by case; how many are."""
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    for verdict in wrong:
        console.print(f"seed {verdict.flip.seed}: {verdict.wrong}", highlight=False)
    return len(wrong)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="programs")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--on", choices=SIMULATORS, default="verilator", help="the simulator")
    parser.add_argument("--jobs", type=int, default=1, help="simulators at a time")
    options = parser.parse_args()
    work = list(batches(options.seed, options.cases))
    console, begin = Console(width=120), time.perf_counter()
    console.print(f"seed {options.seed}: {sum(len(seeds) for _, seeds in work)} programs")
    verdicts: list[Verdict] = []
    wrong = 0
    with ThreadPoolExecutor(options.jobs) as pool, Progress(console=console) as progress:
        task = progress.add_task("comparing", total=len(work))
        for part in pool.map(lambda item: run_batch(item[0], item[1], options.on), work):
            verdicts += part
            wrong += show_wrong(part, console)
            console.print(f"{len(verdicts)} programs, {wrong} wrong")
            progress.advance(task)
    show(verdicts, console)
    console.print(f"{len(verdicts)} programs, {wrong} wrong, {time.perf_counter() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
