"""Cycles and energy beside others': GAP9's measurements, Arm's Vela, SCALE-Sim, ZigZag.

Prints the tables, and with --write puts them into docs/peers.md. Tools that are not installed get
virtual environments of their own; what cannot be had is said in its cell. Usage: make
compare-peers, or python -m benchmarks.peers [--networks FOLDER] [--write].
"""

from __future__ import annotations

import argparse
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pulsarray as pa
from benchmarks import scale_sim, vela, zigzag
from pulsarray.report.energy_table import load_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "peers.md"
CONFIG = "base"
ENERGIES = "stillmaker22"
ON_CHIP_BYTES = 1 << 20
"""A memory on the chip that would hold these networks whole: one of 1 MiB."""

GAP9 = {
    "ResNet-8": ("pretrainedResnet_quant.tflite", 227_988, 40.4),
    "DS-CNN": ("kws_ref_model.tflite", 175_922, 26.7),
}
"""Networks of MLPerf Tiny, their files, and cycles and microjoule that GAP9 took for them."""
SIZES = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
"""Products M x K x N."""

Lines = Iterator[str]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, metavar="FOLDER", help="files of MLPerf Tiny")
    parser.add_argument("--write", action="store_true", help="into docs/peers.md")
    options = parser.parse_args()
    lines = []
    for line in page(options.networks):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def page(folder: Path | None) -> Lines:
    """The page, line by line as it is measured."""
    now, python = datetime.now(UTC), platform.python_version()
    yield from (
        "# Beside others",
        "",
        f"Written by `make compare-peers`: {now:%Y-%m-%d}, Pulsarray {pa.__version__} {commit()}, "
        f"Python {python}; Vela {vela.VERSION}, SCALE-Sim {scale_sim.VERSION}, ZigZag "
        f"{zigzag.VERSION}.",
        "",
    )
    yield from products()
    yield from networks(folder)


def commit() -> str:
    """The commit that is measured."""
    line = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        line, capture_output=True, text=True, check=True, cwd=PAGE.parent
    ).stdout.strip()


def products() -> Lines:
    """Products on 16 x 16 multipliers."""
    yield from (
        "## Products on 16 x 16 multipliers",
        "",
        "Cycles. Pulsarray's are exact (RTL and model are the same), with all transfers from and",
        "to a memory of latency 64; SCALE-Sim's have ideal memory, ZigZag's are analytical.",
        "",
    )
    rows = []
    for sizes in SIZES:
        name = "x".join(map(str, sizes))
        ours = pa.load(f"gemm:{name}").estimate(CONFIG)
        bound = sizes[0] * sizes[1] * sizes[2] // ours["config"]["dim"] ** 2
        others = (partial(_scale_sim, *sizes), partial(zigzag.cycles, *sizes))
        rows.append([name, f"{bound:,}", f"{ours.cycles:,}", *map(had, others)])
    heading = ("M x K x N", "products / 256", "Pulsarray", "SCALE-Sim", "ZigZag")
    yield from table(heading, rows)


def _scale_sim(m: int, k: int, n: int) -> int:
    return scale_sim.run(m, k, n, pa.PRESETS[CONFIG].dim).cycles


def networks(folder: Path | None) -> Lines:
    """Networks of MLPerf Tiny."""
    yield from (
        "## MLPerf Tiny's networks",
        "",
        f"Cycles of one input; Pulsarray's `{CONFIG}` and Ethos-U have 256 multipliers. Ethos-U's",
        "are Arm's Vela's own estimates, all memory on chip (`Sram_Only`). GAP9 was measured:",
        "MLPerf Tiny v1.0, 370 MHz (mlcommons/tiny_results_v1.0; cycles are clock / throughput);",
        "it is another kind of machine: nine processors and an accelerator of its own.",
        "",
    )
    if folder is None:
        yield from ("Not measured: no folder of files was named (`--networks`).", "")
        return
    reports = {
        name: pa.load(folder / file).estimate(CONFIG, energy_table=ENERGIES)
        for name, (file, _, _) in GAP9.items()
    }
    rows = []
    for name, (file, cycles, _) in GAP9.items():
        estimates = [had(partial(vela.cycles, folder / file, unit)) for unit in UNITS]
        rows.append([name, f"{reports[name].cycles:,}", *estimates, f"{cycles:,}"])
    yield from table(("network", "Pulsarray", *(f"Vela's {u}" for u in UNITS), "GAP9"), rows)
    yield from energies(reports)


UNITS = tuple(vela.ACCELERATORS)


def energies(reports: dict[str, pa.Report]) -> Lines:
    """Microjoule of an input, estimated, beside GAP9's."""
    source = load_table(ENERGIES)
    yield from (
        "## Energy of an input",
        "",
        f"Microjoule. Pulsarray's are **estimates** (`--energy-table {ENERGIES}`, {source.name},",
        "0.8 V): exact counts of events, without clock, registers, wires, control and leakage, so",
        "that a chip takes more. GAP9's are measured, of the whole chip, in 22 nm, its networks",
        "in memory on the chip. Hence two totals: with DRAM outside, and with a memory of "
        f"{ON_CHIP_BYTES >> 20} MiB",
        "on the chip in its place.",
        "",
    )
    share = source.of("sram", ON_CHIP_BYTES) / source.of("dram", 64)
    rows = []
    for name, report in reports.items():
        parts = report["energy_estimate"]["parts_uj"]
        outside = parts["memory"] + parts["program"]
        inside = sum(parts.values()) - outside
        values = (parts["array"], parts["banks"], parts["lanes"], outside)
        totals = (inside + outside, inside + outside * share, GAP9[name][2])
        rows.append([name, *(f"{value:.3g}" for value in (*values, *totals))])
    heading = ("network", "array", "banks", "lanes", "memory and program (DRAM)")
    yield from table((*heading, "sum, DRAM", "sum, memory on chip", "GAP9, measured"), rows)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """A table of Markdown."""
    yield f"| {' | '.join(heading)} |"
    yield "|---" * len(heading) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def had(ask: Callable[[], int]) -> str:
    """A figure of another tool, or why there is none."""
    try:
        return f"{ask():,}"
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return f"not run: {' '.join(said.strip().splitlines()[-1].split())[:80]}"


if __name__ == "__main__":
    main()
