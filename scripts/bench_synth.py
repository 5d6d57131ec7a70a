"""Synthesize every preset, keep what it takes, write docs/hardware.md.

Usage: make bench-synth, or python scripts/bench_synth.py [PRESET/TARGET[/UNIT] ...]; a unit is
placed and routed too. What was measured before and is not named stays in benchmarks/synthesis.json
with its date and commit; the page is written from that file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulsarray.cli.output import working
from pulsarray.config import PRESETS
from pulsarray.hw.emit import generate
from pulsarray.synth.place import Placement
from pulsarray.synth.run import TOP, Wanted, synthesize

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "hardware.md"
RECORD = ROOT / "benchmarks" / "synthesis.json"
TARGETS = ("ecp5", "xilinx7", "gates")
UNITS = (
    *("load", "weight", "stream", "vector", "store", "banks", "fetch", "arbiter", "semaphores"),
    *("errors", "registers", "counters", "load_queue", "vector_queue"),
)
"""Parts of the smallest preset that are placed and routed alone."""
PLACED = ("tiny", "ecp5")

Report = dict[str, Any]

HEAD = """\
# What the machine takes on hardware

Written by `make bench-synth` (`scripts/bench_synth.py`) with the tools of `pulsarray[synth]`; each
row says when, and of which commit. Look-up table equivalents are LUT4 + 2 CCU2C + 6 TRELLIS_DPR16X4
on ECP5, and LUT + distributed RAM on Xilinx 7. *Hierarchy kept* maps every module by itself, so
that each unit's share is known; *as one module* is what is placed: it is optimized across units.
Gates are NAND2 equivalents, without memories.
"""


def measure(preset: str, target: str, unit: str) -> Report:
    """The report of one row."""
    is_placed = (preset, target) == PLACED and unit != TOP
    wanted = Wanted(
        config=PRESETS[preset],
        target=target,
        part=unit,
        flat=target != "gates",
        placement=Placement() if is_placed else None,
    )
    with working(f"{preset} {unit} for {target}") as work:
        return synthesize(wanted, generate(wanted.config), work.note)


def stamped(report: Report) -> Report:
    """What is kept of a report: its figures without the modules, and when they were made."""
    line = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {name: report[name] for name in ("total", "flat", "units", "timing", "tools")}
    made = datetime.now(UTC).strftime("%Y-%m-%d")
    return {**kept, "date": made, "commit": commit.stdout.strip()}


def page(record: dict[str, Report]) -> str:
    """docs/hardware.md."""
    tools = sorted({tool for row in record.values() for tool in row["tools"]})
    lines = [HEAD, f"Tools: {', '.join(tools)}.", "", "## Presets", ""]
    lines += _table(_PRESET_HEAD, _presets(record))
    for name, row in record.items():
        if name.endswith(f"/ecp5/{TOP}"):
            lines += ["", f"## Units of `{name.partition('/')[0]}` on ECP5", ""]
            lines += _table(_UNIT_HEAD, _units(row))
    placed = {name: row for name, row in record.items() if row["timing"]}
    if placed:
        lines += ["", f"## Units of `{PLACED[0]}` alone on ECP5-85, speed grade 6, routed", ""]
        lines += _table(_CLOCK_HEAD, _clocks(placed))
    return "\n".join([*lines, ""])


_AMOUNTS = ("lut", "carry", "ff", "dsp", "block_ram", "distributed_ram")
_PRESET_HEAD = (
    *("preset", "target", "LUT", "carry", "FF", "DSP", "block RAM", "distr. RAM"),
    *("LUT equiv.", "hierarchy kept", "k gates", "measured"),
)
_UNIT_HEAD = ("unit", "LUT", "carry", "FF", "DSP", "block RAM", "distr. RAM", "LUT equiv.", "share")
_CLOCK_HEAD = ("unit", "LUT equiv.", "FF", "Fmax MHz", "longest path", "measured")


def _table(head: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _presets(record: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in record.items():
        preset, target, unit = name.split("/")
        if unit != TOP:
            continue
        whole, when = row["flat"] or row["total"], f"{row['date']}, {row['commit']}"
        if target == "gates":
            blank = [""] * (len(_AMOUNTS) + 2)
            gates = f"{whole['gates'] / 1000:,.0f}"
            blank[2] = f"{whole['ff']:,}"
            yield [preset, target, *blank, gates, when]
        else:
            kept = f"{row['total']['lut_equivalents']:,}"
            amounts = [f"{whole[n]:,}" for n in (*_AMOUNTS, "lut_equivalents")]
            yield [preset, target, *amounts, kept, "", when]


def _units(row: Report) -> Iterator[list[str]]:
    whole = row["total"]["lut_equivalents"]
    for unit in row["units"]:
        amounts = [f"{unit[name]:,}" for name in (*_AMOUNTS, "lut_equivalents")]
        yield [unit["name"], *amounts, f"{unit['lut_equivalents'] / whole:.1%}"]


def _clocks(rows: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in sorted(rows.items(), key=lambda item: item[1]["timing"]["fmax_mhz"]):
        flat, timing = row["flat"], row["timing"]
        ends = [f"{s['where']}.{s['signal']}".lstrip(".") for s in timing["path"]]
        path = f"`{ends[0]}` to `{ends[-1].removesuffix(' (register)')}`"
        yield [
            *(name.split("/")[2], f"{flat['lut_equivalents']:,}", f"{flat['ff']:,}"),
            *(f"{timing['fmax_mhz']:.1f}", path, f"{row['date']}, {row['commit']}"),
        ]


def _every() -> Iterator[str]:
    for preset in PRESETS:
        yield from (f"{preset}/{target}/{TOP}" for target in TARGETS)
    yield from (f"{'/'.join(PLACED)}/{unit}" for unit in UNITS)


def _in_order(record: dict[str, Report]) -> dict[str, Report]:
    """As :func:`_every` has them; others after them."""
    known = [name for name in _every() if name in record]
    others = sorted(record.keys() - known)
    return {name: record[name] for name in (*known, *others)}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="PRESET/TARGET or PRESET/TARGET/UNIT")
    rows = parser.parse_args().rows
    record: dict[str, Report] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in rows or _every():
        preset, target, unit = [*name.split("/"), TOP][:3]
        record[f"{preset}/{target}/{unit}"] = stamped(measure(preset, target, unit))
        record = _in_order(record)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
