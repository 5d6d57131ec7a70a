"""A path through a netlist in the words of the design.

Yosys names what it makes after what was there: ``count_TRELLIS_FF_Q_3_DI_LUT4_Z`` is logic at the
signal ``count``. Of a path we keep where it goes from one signal to another.
"""

from __future__ import annotations

import re
from typing import Any

from pulsarray.synth.wrapper import INSTANCE

__all__ = ["named_path"]

_LOGIC = "logic at "
_MADE = re.compile(
    r"_(?:LUT\d|PFUMX|L6MUX21|CCU2C|ALU|MUX2_LUT\d|TRELLIS_\w+?|MULT18X18D|DP16KD|SB_\w+?|DFF\w*?)"
    r"_.*|\$\w*CCU2\w*.*|\$(?:abc|auto|techmap|flatten|glbnet|nextpnr)\b.*"
)


def named_path(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The report's ``path``, from nextpnr's list of delays."""
    path: list[dict[str, Any]] = []
    arrival, levels = 0.0, 0
    for step in steps:
        if "net" in step:
            where, signal = _name(step["net"])
            if not path or (where, signal) != (path[-1]["where"], path[-1]["signal"]):
                path.append(_step(where, signal, arrival, levels))
                levels = 0
        arrival += step["delay"]
        levels += step.get("type") == "logic"
    if steps:
        where, signal = _name(steps[-1]["to"]["cell"])
        path.append(_step(where, f"{signal.removeprefix(_LOGIC)} (register)", arrival, levels))
    return path


def _step(where: str, signal: str, arrival: float, levels: int) -> dict[str, Any]:
    return {
        "where": where,
        "signal": signal,
        "arrival_ns": round(arrival, 3),
        "levels": levels,
    }


def _name(net: str) -> tuple[str, str]:
    """Instance and signal; a signal made by synthesis as ``logic at`` the one it is named after."""
    where, _, signal = net.removeprefix(f"{INSTANCE}.").rpartition(".")
    plain = _MADE.sub("", signal)
    if plain == signal:
        return where, signal
    return where, f"{_LOGIC}{plain}" if plain else "logic"
