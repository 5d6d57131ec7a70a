"""RTL against the model on random cases: values, cycles, counters, events. Exit 1 on a difference.

``python benchmarks/random_cases.py --cases 500`` runs every case on Icarus and on Verilator;
``--training --cases 300`` does so with training steps of random networks, ``--maps --cases 750``
with 500 convolutions and 250 networks of feature maps, ``--learning --cases 500`` with training
steps of random convolutions, ``--networks --cases 300`` with those of random networks of every
operator that training knows, in any order, and ``--through-time --cases 300`` with those of random
recurrent and spiking networks.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pulsarray.sim.random.cases import (
    Case,
    Group,
    differences,
    draw_groups,
    draw_map_groups,
    draw_training_groups,
)
from pulsarray.sim.random.convolution_training import draw_learning_groups
from pulsarray.sim.random.through_time import draw_time_groups
from pulsarray.sim.random.training_networks import draw_network_groups
from pulsarray.sim.toolchain import SIMULATORS


@dataclass(frozen=True)
class Row:
    """What one simulator said about one group."""

    group: Group
    simulator: str
    wrong: list[tuple[Case, list[str]]]
    seconds: float


def run_group(group: Group, simulator: str) -> Row:
    """All cases of a group on one simulator."""
    begin = time.perf_counter()
    cases = list(group.cases())
    differing = differences(cases, group.config, simulator)
    wrong = [(case, texts) for case, texts in zip(cases, differing, strict=True) if texts]
    return Row(group, simulator, wrong, time.perf_counter() - begin)


def show(rows: list[Row], console: Console) -> None:
    """The table, one line a configuration and simulator."""
    table = Table(title="RTL against model")
    for name in ("seed", "programs", "D", "bits", "bus", "burst", "outst.", "queue", "simulator"):
        table.add_column(name, justify="right")
    for name in ("cases", "different", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        config = row.group.config
        numbers = (config.dim, config.operand_bits, config.bus_bits, config.burst_beats)
        texts = map(str, (*numbers, config.outstanding, config.queue_depth))
        counts = (str(row.group.count), str(len(row.wrong)), f"{row.seconds:.1f}")
        table.add_row(str(row.group.seed), row.group.kind, *texts, row.simulator, *counts)
    console.print(table)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="programs on each simulator")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--training", action="store_true", help="training steps only")
    parser.add_argument("--maps", action="store_true", help="networks of feature maps only")
    parser.add_argument("--learning", action="store_true", help="convolutions that learn only")
    parser.add_argument("--through-time", action="store_true", help="recurrent ones that learn")
    parser.add_argument("--networks", action="store_true", help="networks that learn only")
    parser.add_argument("--group", type=int, help="run one group, by the seed in the table")
    parser.add_argument("--on", choices=SIMULATORS, help="one simulator only")
    parser.add_argument("--jobs", type=int, default=2, help="simulators at a time")
    options = parser.parse_args()
    draw = draw_training_groups if options.training else draw_groups
    draw = draw_map_groups if options.maps else draw
    draw = draw_learning_groups if options.learning else draw
    draw = draw_network_groups if options.networks else draw
    draw = draw_time_groups if options.through_time else draw
    groups = draw(options.seed, options.cases)
    groups = [group for group in groups if options.group in (None, group.seed)]
    simulators = [options.on] if options.on else list(SIMULATORS)
    work = [(group, simulator) for group in groups for simulator in simulators]
    console = Console(width=120)
    console.print(f"seed {options.seed}: {sum(group.count for group in groups)} cases")
    rows = []
    with ThreadPoolExecutor(options.jobs) as pool, Progress(console=console) as progress:
        task = progress.add_task("comparing", total=len(work))
        for row in pool.map(lambda item: run_group(*item), work):
            rows.append(row)
            progress.advance(task)
            for case, texts in row.wrong:
                console.print(f"{row.simulator} group {row.group.seed} {case.name}:")
                console.print(*(f"  {text}" for text in texts), sep="\n", highlight=False)
    show(rows, console)
    wrong = sum(len(row.wrong) for row in rows)
    console.print(f"{sum(row.group.count for row in rows)} runs, {wrong} different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
