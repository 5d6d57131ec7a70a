"""Place and route with nextpnr, and what it says of time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsarray.errors import CheckFailed
from pulsarray.synth.path import named_path
from pulsarray.synth.targets import Device
from pulsarray.synth.tools import Tool, run_tool

__all__ = ["MHZ", "Placement", "place"]

MHZ = 80.0
"""Frequency to aim at where none is named."""


@dataclass(frozen=True)
class Placement:
    """How to place and route.

    Parameters
    ----------
    seed
        Of the placement; figures of different seeds differ by some percent.
    route
        Whether to route; else the time is estimated from the placement.
    """

    seed: int = 1
    route: bool = True


def place(
    tool: Tool,
    device: Device,
    folder: Path,
    placement: Placement,
    mhz: float,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """The report's ``timing`` of the netlist in a folder, for a frequency to aim at.

    Raises
    ------
    CheckFailed
        If nextpnr fails, or finds no path from register to register.
    """
    arguments = [
        *device.place,
        *("--json", "netlist.json", "--report", "timing.json"),
        *("--freq", str(mhz), "--seed", str(placement.seed)),
        *("--timing-allow-fail", *_UNCONSTRAINED.get(tool_family(tool), ())),
        *(() if placement.route else ("--no-route",)),
    ]
    said = _Said(note)
    run_tool(tool, arguments, folder, "place.log", said)
    report = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    clocks = [clock["achieved"] for clock in report["fmax"].values()] or said.estimates
    if not clocks:
        raise CheckFailed("synth: no path leads from a register to a register, so there is no Fmax")
    return {
        "fmax_mhz": round(min(clocks), 2),
        "stage": "routed" if placement.route else "placed",
        "seed": placement.seed,
        "path": named_path(_longest(report["critical_paths"])),
    }


_ESTIMATE = re.compile(r"Max frequency for clock .*: ([\d.]+) MHz")
_UNCONSTRAINED = {"ecp5": ("--lpf-allow-unconstrained",), "ice40": ("--pcf-allow-unconstrained",)}


def tool_family(tool: Tool) -> str:
    """Family of a nextpnr."""
    return tool.version.split()[0].removeprefix("nextpnr-")


def _longest(paths: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps of the longest path between registers."""
    inner = [path["path"] for path in paths if "async" not in path["from"] + path["to"]]
    return max(inner, key=lambda path: sum(step["delay"] for step in path), default=[])


class _Said:
    """What nextpnr is doing, from the lines that it prints, and the clocks that it estimates.

    Its report has those of a routed netlist alone.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._stage = note, "packing"
        self.estimates: list[float] = []

    def __call__(self, line: str) -> None:
        text = line.removeprefix("Info:").strip()
        if "laced" in text and ("Creating" in text or "Running" in text):
            self._stage = "placing"
        elif text.startswith("Routing"):
            self._stage = "routing"
        elif estimate := _ESTIMATE.match(text):
            self.estimates = [float(estimate[1])]
        if text.startswith("at iteration"):
            self._note(f"nextpnr: {self._stage}, {text.partition(',')[0]}")
        elif self._stage == "routing" and text.count("|") >= 3 and text[:1].isdigit():
            columns = text.split("|")
            self._note(f"nextpnr: routing, {columns[3].strip()} arcs left")
