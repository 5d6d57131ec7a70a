"""Whether a design fits a device, and what would make it smaller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulsarray.synth.targets import find_device

__all__ = ["misfit", "shares"]

_TITLES = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "multiplier blocks",
    "block_ram": "block RAMs",
}
_HELP = {
    "vector": "vector_lanes or vector_multiply = false",
    "banks": "scratchpad_banks, accumulator_banks or dim",
    "stream": "dim, or transposer = false",
    "weight": "dim, or transposer = false",
    "counters": "counters = false",
    "registers": "counters = false",
}
_HELP_OF_RESOURCE = {
    "dsp": "dim (dim x dim multipliers), vector_lanes or vector_multiply = false",
    "block_ram": "scratchpad_depth, scratchpad_banks, accumulator_depth, parameter_depth or tables",
}


def misfit(report: Mapping[str, Any]) -> str:
    """Why a design does not fit the device that its report names; empty if it fits, or none is.

    The text says how much too much there is, and which parameter would help most.
    """
    if not report["device"]:
        return ""
    there_is = find_device(report["target"], report["device"]).capacity
    for resource, needed in _needs(report).items():
        there = there_is[resource]
        if needed > there:
            return (
                f"does not fit {report['device']}: {needed:,} {_TITLES[resource]}, "
                f"{needed - there:,} more than its {there:,}; "
                f"less of this would help: {_help(report, resource)}"
            )
    return ""


def shares(report: Mapping[str, Any]) -> dict[str, float]:
    """How much of each resource of its device a design takes; nothing where none is named."""
    if not report["device"]:
        return {}
    there = find_device(report["target"], report["device"]).capacity
    return {
        resource: needed / there[resource]
        for resource, needed in _needs(report).items()
        if there[resource]
    }


def _needs(report: Mapping[str, Any]) -> dict[str, int]:
    """How much of what its device counts a design needs."""
    whole = report["flat"] or report["total"]
    capacity = find_device(report["target"], report["device"]).capacity
    return {name: whole["lut_equivalents" if name == "lut" else name] for name in capacity}


def _help(report: Mapping[str, Any], resource: str) -> str:
    if resource in _HELP_OF_RESOURCE:
        return _HELP_OF_RESOURCE[resource]
    counted = "lut_equivalents" if resource == "lut" else resource
    largest = max(report["units"], key=lambda unit: unit[counted])
    name = largest["name"]
    if name.endswith("_queue"):
        return f"queue_depth ({name} takes {largest[counted]:,})"
    return f"{_HELP.get(name, 'dim')} ({name} takes {largest[counted]:,})"
