"""A row of a sweep: what was asked, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from pulsarray import __version__
from pulsarray.api.sweeps.space import Point
from pulsarray.api.sweeps.works import Work, programs_of
from pulsarray.config import Config
from pulsarray.errors import PulsarrayError
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.report import build_report
from pulsarray.report.energy import PARTS
from pulsarray.report.energy_table import EnergyTable
from pulsarray.report.hardware import AMOUNTS, hardware_of

__all__ = ["COLUMNS", "KEYS", "key_of", "measured", "point_keys"]

PARAMETERS = tuple(field.name for field in fields(Config))
KEYS = (
    *("network", "digest", "batch", "by_layer", "effort", "memory_latency", "memory_interval"),
    *("version", "energy_table", *PARAMETERS),
)
"""Columns that say what was asked: two rows with the same are the same."""
SUMS = ("cycles", "macs", "bound_cycles", "bytes_read", "bytes_written", "instructions")
ENERGY = {part: f"energy_{part}_uj" for part in PARTS}
"""Columns of the estimate of energy by part."""
COLUMNS = (
    *KEYS,
    *("fingerprint", "refused", *SUMS, "mac_utilization", "array_utilization", "bound_ratio"),
    *("macs_per_byte", "multipliers", "chip_bytes", "energy_uj", *ENERGY.values()),
    *("target", *AMOUNTS, "seconds"),
)
"""All columns."""

Row = dict[str, Any]


def point_keys(
    point: Point, work: Work, effort: int, by_layer: bool, energies: EnergyTable
) -> list[Row]:
    """What is asked at a point, a row a memory."""
    return [
        {
            "network": point.work,
            "digest": work.digest,
            "batch": point.batch,
            "by_layer": by_layer,
            "effort": effort,
            "memory_latency": latency,
            "memory_interval": interval,
            "version": __version__,
            "energy_table": energies.label,
            **point.design.settings,
        }
        for latency, interval in point.memories
    ]


def key_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a row was asked, as text, so that rows of a file compare with new ones."""
    return tuple(str(row[name]) for name in KEYS)


def measured(
    point: Point, work: Work, effort: int, asked: list[Row], energies: EnergyTable
) -> list[Row]:
    """Rows of a point with their costs, or why there are none."""
    begin = time.perf_counter()
    config = point.design.config
    if config is None:
        return [_refused(row, point.design.refusal) for row in asked]
    try:
        programs = programs_of(work, config, point.batch, effort)
        return [_costs(row, config, programs, energies, begin) for row in asked]
    except PulsarrayError as error:
        return [_refused(row, str(error), config.fingerprint) for row in asked]


def _refused(row: Row, reason: str, fingerprint: str = "") -> Row:
    return {
        **dict.fromkeys(COLUMNS, ""), **row, "fingerprint": fingerprint, "refused": reason
    }  # fmt: skip


def _costs(
    row: Row,
    config: Config,
    programs: Iterable[tuple[Program, int]],
    energies: EnergyTable,
    begin: float,
) -> Row:
    sums, busy, spent = dict.fromkeys(SUMS, 0), 0.0, dict.fromkeys(PARTS, 0.0)
    for program, count in programs:
        result = simulate_timing(
            program,
            memory_latency=row["memory_latency"],
            memory_interval=row["memory_interval"],
        )
        report = build_report(program, result, energies)
        for name in SUMS:
            sums[name] += count * report[name]
        busy += count * report["units"]["stream"]["busy"]
        for part, uj in report["energy_estimate"]["parts_uj"].items():
            spent[part] += count * uj
    moved = sums["bytes_read"] + sums["bytes_written"]
    return {
        **row,
        "fingerprint": config.fingerprint,
        "refused": "",
        **sums,
        "mac_utilization": sums["macs"] / (sums["cycles"] * config.dim**2),
        "array_utilization": busy / sums["cycles"],
        "bound_ratio": sums["cycles"] / sums["bound_cycles"] if sums["bound_cycles"] else "",
        "macs_per_byte": sums["macs"] / moved if moved else "",
        "multipliers": config.dim**2,
        "chip_bytes": _chip_bytes(config),
        "energy_uj": sum(spent.values()),
        **{ENERGY[part]: uj for part, uj in spent.items()},
        **_hardware(config),
        "seconds": round(time.perf_counter() - begin, 3),
    }


def _hardware(config: Config) -> Row:
    """What the machine takes on the first target for which it was synthesized."""
    measured_on = next(iter(hardware_of(config)), {})
    amounts = {name: measured_on.get(name) for name in ("target", *AMOUNTS)}
    return {name: "" if value is None else value for name, value in amounts.items()}


def _chip_bytes(config: Config) -> int:
    """Bytes of scratchpad and accumulator banks."""
    scratchpad = config.scratchpad_banks * config.scratchpad_depth * config.dim
    sums = config.accumulator_banks * config.accumulator_depth * config.dim * config.acc_bits
    return scratchpad * config.operand_bytes + sums // 8
