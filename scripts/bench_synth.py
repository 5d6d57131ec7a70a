"""Synthesize every preset, keep what it takes, write docs/hardware.md.

Usage: make bench-synth, or python scripts/bench_synth.py [MACHINE/TARGET[/UNIT] ...]; a unit is
placed and routed too. A machine is a preset without trace, which is for simulation, or tiny-fast:
that of tiny with fast_clock; base-quarter that of base with a lane for four columns; least is the
smallest machine that there is. The presets of boards
must fit theirs, with room left. What was measured before and is not named stays in
benchmarks/synthesis.json with its date and commit; the page is written from that file, and so are
the figures that pulsarray shows beside a machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulsarray.cli.output import working
from pulsarray.config import BOARDS, PRESETS
from pulsarray.hw.emit import generate
from pulsarray.report.hardware import AMOUNTS
from pulsarray.synth.fit import misfit, shares
from pulsarray.synth.place import MHZ, Placement
from pulsarray.synth.run import TOP, Wanted, synthesize
from pulsarray.synth.targets import find_device

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "hardware.md"
RECORD = ROOT / "benchmarks" / "synthesis.json"
FIGURES = ROOT / "pulsarray" / "report" / "hardware.json"
TARGETS = ("ecp5", "xilinx7", "gates")
UNITS = (
    *("load", "weight", "stream", "vector", "store", "banks", "fetch", "arbiter", "semaphores"),
    *("errors", "registers", "counters", "load_queue", "vector_queue"),
)
"""Parts of the smallest machine that are placed and routed alone."""
FAST = "tiny-fast"
MACHINES = {name: replace(config, trace=False) for name, config in PRESETS.items()}
MACHINES[FAST] = replace(MACHINES["tiny"], fast_clock=True)
QUARTER = "base-quarter"
MACHINES[QUARTER] = replace(MACHINES["base"], vector_lanes=MACHINES["base"].dim // 4)
LEAST, LANE = "least", "vector.datapath.lane0"
MACHINES[LEAST] = replace(
    MACHINES["tiny"],
    dim=2,
    bus_bits=16,
    acc_bits=24,
    scale_bits=16,
    vector_lanes=1,
    tables=0,
    outstanding=1,
    queue_depth=1,
    transposer=False,
    vector_multiply=False,
    counters=False,
    tflite=False,
    residual=False,
    leaky=False,
)
BIG = 16
"""Rows from which on a machine is not mapped as one module, which would take many hours."""
SLOW_MHZ = 20.0
"""What machines without fast_clock are mapped for; the others for :data:`MHZ`."""
ROOM = 0.95
"""Share of any resource of its device that a preset for a board may take."""

Report = dict[str, Any]
_KEPT = ("fingerprint", "total", "flat", "units", "timing", "tools")

HEAD = f"""\
# What the machine takes on hardware

Written by `make bench-synth` (`scripts/bench_synth.py`) with the tools of `pulsarray[synth]`; each
row says when, and of which commit. Look-up table equivalents are LUT4 + 2 CCU2C + 6 TRELLIS_DPR16X4
on ECP5, and LUT + distributed RAM on Xilinx 7. *Hierarchy kept* maps every module by itself, so
that each unit's share is known; *as one module* is what is placed: it is optimized across units
(machines of {BIG} rows and more, where that takes hours, have the hierarchy kept in all columns).
Gates are NAND2 equivalents, without memories; multipliers are in Booth's form. `base-quarter` is
`base` with `vector_lanes` of a quarter of D. What has no row here was not measured yet. All are
without `trace`, which is for simulation. On ECP5 mapping aims at {MHZ:.0f} MHz, of machines without
`fast_clock` at {SLOW_MHZ:.0f}: what is faster anyway takes few cells.
"""


def measure(machine: str, target: str, unit: str) -> Report:
    """The report of one row."""
    placement = Placement(route=unit != TOP) if (machine, target) == (FAST, "ecp5") else None
    wanted = Wanted(
        config=MACHINES[machine],
        target=target,
        device=machine if machine in BOARDS else "",
        part=unit,
        flat=target != "gates" and MACHINES[machine].dim < BIG,
        placement=placement,
        mhz=MHZ if MACHINES[machine].fast_clock else SLOW_MHZ,
    )
    with working(f"{machine} {unit} for {target}") as work:
        report = synthesize(wanted, generate(wanted.config), work.note)
    full = {name: share for name, share in shares(report).items() if share > ROOM}
    if misfit(report) or full:
        sys.exit(f"{machine}: no room left: {misfit(report) or full}")
    return report


def stamped(report: Report) -> Report:
    """What is kept of a report: its figures without the modules, and when they were made."""
    line = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {name: report[name] for name in _KEPT}
    made = datetime.now(UTC).strftime("%Y-%m-%d")
    return {**kept, "date": made, "commit": commit.stdout.strip()}


def figures(record: dict[str, Report]) -> dict[str, list[Report]]:
    """What pulsarray shows of whole machines, by fingerprint."""
    shown: dict[str, list[Report]] = {}
    for name, row in record.items():
        _, target, unit = name.split("/")
        if unit == TOP and "fingerprint" in row:
            shown.setdefault(row["fingerprint"], []).append(_figures(target, row))
    return shown


def _figures(target: str, row: Report) -> Report:
    """Amounts that the target has; those of the machine as it is placed where it was."""
    whole, absent = row["flat"] or row["total"], _ON_FPGA if target == "gates" else ("gates",)
    amounts = {name: whole[name] for name in AMOUNTS if name in whole}
    return {
        "target": target,
        **amounts,
        **dict.fromkeys(absent),
        "fmax_mhz": row["timing"]["fmax_mhz"] if row["timing"] else None,
        "date": row["date"],
        "commit": row["commit"],
    }


def page(record: dict[str, Report]) -> str:
    """docs/hardware.md."""
    tools = sorted({tool for row in record.values() for tool in row["tools"]})
    lines = [HEAD, f"Tools: {', '.join(tools)}.", "", "## Presets", ""]
    lines += _table(_PRESET_HEAD, _presets(record))
    lines += ["", "## Presets for boards", "", BOARD_TEXT, ""]
    lines += _table(_BOARD_HEAD, _boards(record))
    for name, row in record.items():
        if name.endswith(f"/ecp5/{TOP}"):
            lines += ["", f"## Units of `{name.partition('/')[0]}` on ECP5", ""]
            lines += _table(_UNIT_HEAD, _units(row))
    lines += ["", "## Parts alone on ECP5", "", *_table(_PART_HEAD, _parts(record))]
    placed = {name: row for name, row in record.items() if row["timing"]}
    if placed:
        lines += ["", f"## Clock of `{FAST}` and of its units alone on ECP5-85, speed grade 6", ""]
        lines += _table(_CLOCK_HEAD, _clocks(placed))
    lines += [PEERS_TEXT, *_table(_PEERS_HEAD, _peers(record))]
    return "\n".join([*lines, ""])


_ON_FPGA = ("lut_equivalents", "dsp", "block_ram")
_SAME = tuple((name, name) for name in ("ff", "dsp", "block_ram"))
_AMOUNTS = ("lut", "carry", "ff", "dsp", "block_ram", "distributed_ram")
BOARD_TEXT = f"""\
Each with `fast_clock`, as one module; the command fails if one takes more than
{ROOM:.0%} of anything that its device has."""
_BOARD_HEAD = ("preset", "target", "LUT equiv.", "FF", "DSP", "block RAM", "measured")
_PRESET_HEAD = (
    *("machine", "target", "LUT", "carry", "FF", "DSP", "block RAM", "distr. RAM"),
    *("LUT equiv.", "hierarchy kept", "k gates", "measured"),
)
_UNIT_HEAD = ("unit", "LUT", "carry", "FF", "DSP", "block RAM", "distr. RAM", "LUT equiv.", "share")
_PART_HEAD = ("machine", "part", *_UNIT_HEAD[1:-1], "measured")
_CLOCK_HEAD = ("unit", "LUT equiv.", "FF", "Fmax MHz", "stage", "longest path", "measured")


PEERS_TEXT = """
## Beside others

What sources state of whole engines or of a processing element; "-" where they give no figure. Of
Tensil, VTA, NNgen (asked for one in its issue 6), hls4ml and tiny-tpu we have read none.
"""
_PEERS_HEAD = ("engine", "device", "LUT a multiplier", "FF", "DSP", "MHz", "source")
_VIVADO = "eugene-tarassov/vivado-risc-v issue 20: 136,675 LUT in all"
_PEERS = (
    ("Gemmini, 16 x 16: a PE alone", "VC707", "737", "-", "-", "-", "ucb-bar/gemmini issue 262"),
    ("Gemmini with Rocket", "xc7a100t, too small", "-", "-", "-", "-", _VIVADO),
    ("8 x 8 int8, shifts to requantize", "xc7a100t", "139", "98", "-", "100", "its README"),
    ("CGRA4ML, 192 multipliers assumed", "65 nm", "1.6 kGE", "-", "-", "-", "its paper's table"),
)
_A_MULTIPLIER = (("lut_equivalents", 0), ("ff", 0), ("dsp", 2))


def _peers(record: dict[str, Report]) -> Iterator[list[str]]:
    yield from map(list, _PEERS)
    for name, row in record.items():
        board = name.partition("/")[0]
        if board in BOARDS:
            whole, count = row["flat"], MACHINES[board].dim ** 2
            parts = [f"{whole[n] / count:,.{digits}f}" for n, digits in _A_MULTIPLIER]
            yield [f"Pulsarray, preset `{board}`", board, *parts, "-", "this page"]


def _table(head: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _presets(record: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in record.items():
        preset, target, unit = name.split("/")
        if unit != TOP or preset in BOARDS:
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


def _boards(record: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in record.items():
        board, target, _ = name.split("/")
        if board in BOARDS:
            whole = row["flat"]
            device = find_device(target, board)
            parts = [
                f"{whole[amount]:,} of {device.capacity[resource]:,}"
                for amount, resource in (("lut_equivalents", "lut"), *_SAME)
            ]
            yield [board, target, *parts, f"{row['date']}, {row['commit']}"]


def _units(row: Report) -> Iterator[list[str]]:
    whole = row["total"]["lut_equivalents"]
    for unit in row["units"]:
        amounts = [f"{unit[name]:,}" for name in (*_AMOUNTS, "lut_equivalents")]
        yield [unit["name"], *amounts, f"{unit['lut_equivalents'] / whole:.1%}"]


def _parts(record: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in record.items():
        machine, _, unit = name.split("/")
        if unit != TOP and not row["timing"]:
            amounts = [f"{row['flat'][name]:,}" for name in (*_AMOUNTS, "lut_equivalents")]
            yield [machine, unit, *amounts, f"{row['date']}, {row['commit']}"]


def _clocks(rows: dict[str, Report]) -> Iterator[list[str]]:
    for name, row in sorted(rows.items(), key=lambda item: item[1]["timing"]["fmax_mhz"]):
        flat, timing = row["flat"], row["timing"]
        ends = [f"{s['where']}.{s['signal']}".lstrip(".") for s in timing["path"]]
        path = f"`{ends[0]}` to `{ends[-1].removesuffix(' (register)')}`" if ends else ""
        yield [
            *(name.split("/")[2], f"{flat['lut_equivalents']:,}", f"{flat['ff']:,}"),
            *(f"{timing['fmax_mhz']:.1f}", timing["stage"]),
            *(path, f"{row['date']}, {row['commit']}"),
        ]


def _every() -> Iterator[str]:
    yield from (f"{FAST}/ecp5/{unit}" for unit in (TOP, *UNITS))
    yield from (f"{board}/{family}/{TOP}" for board, family in BOARDS.items())
    yield from (f"{LEAST}/ecp5/{TOP}", f"tiny/ecp5/{LANE}", f"{QUARTER}/gates/{TOP}")
    for preset in (name for name in PRESETS if name not in BOARDS):
        yield from (f"{preset}/{target}/{TOP}" for target in TARGETS)


def _in_order(record: dict[str, Report]) -> dict[str, Report]:
    """As :func:`_every` has them; others after them."""
    known = [name for name in _every() if name in record]
    others = sorted(record.keys() - known)
    return {name: record[name] for name in (*known, *others)}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="MACHINE/TARGET or MACHINE/TARGET/UNIT")
    rows = parser.parse_args().rows
    record: dict[str, Report] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in rows or _every():
        machine, target, unit = [*name.split("/"), TOP][:3]
        record[f"{machine}/{target}/{unit}"] = stamped(measure(machine, target, unit))
        record = _in_order(record)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(record), encoding="utf-8")
        FIGURES.write_text(json.dumps(figures(record), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
