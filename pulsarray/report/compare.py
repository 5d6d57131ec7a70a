"""Reports side by side: their figures, and what changed between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulsarray.errors import CheckFailed, InputError
from pulsarray.registers import UNIT_STATES
from pulsarray.report.compare_synthesis import synthesis_rows, synthesis_settings, synthesis_size
from pulsarray.report.hardware import AMOUNTS
from pulsarray.report.synthesis import KIND

__all__ = ["check_regression", "comparison", "is_synthesis"]

Report = Mapping[str, Any]

_FIGURES = (
    "cycles",
    "bound_cycles",
    "bound_ratio",
    "array_utilization",
    "mac_utilization",
    "macs",
    "bytes_read",
    "bytes_written",
    "instructions",
)


def comparison(names: Sequence[str], reports: Sequence[Report]) -> dict[str, Any]:
    """Figures of each report, their change against the first in percent, and what else differs.

    Raises
    ------
    InputError
        If there are fewer than two reports, or reports of runs and of syntheses.
    """
    if len(reports) < 2:
        raise InputError(f"compare: needs two reports or more, not {len(reports)}")
    for name, report in zip(names, reports, strict=True):
        if is_synthesis(report) != is_synthesis(reports[0]):
            kinds = ["a run", "a synthesis"]
            raise InputError(
                f"compare: {name} is the report of {kinds[is_synthesis(report)]}, "
                f"{names[0]} of {kinds[is_synthesis(reports[0])]}"
            )
    rows = [
        {"figure": figure, "values": values, "change": [_change(values[0], v) for v in values[1:]]}
        for figure, values in _rows(reports)
    ]
    return {"reports": list(names), "differs": _settings(reports), "figures": rows}


def is_synthesis(report: Report) -> bool:
    """Whether a report is of a synthesis, not of a run."""
    return report.get("kind") == KIND


def _rows(reports: Sequence[Report]) -> list[tuple[str, list[float | None]]]:
    if is_synthesis(reports[0]):
        return synthesis_rows(reports)
    rows = [(figure, [report[figure] for report in reports]) for figure in _FIGURES]
    for state in UNIT_STATES:
        rows.append((f"stream {state}", [r["units"]["stream"][state] for r in reports]))
    cycles = [{layer["name"]: layer["cycles"] for layer in r["layers"]} for r in reports]
    rows += _by_name("layer {}", cycles)
    rows += _by_name("{}", [_hardware(report) for report in reports])
    return [*rows, *_energy_rows([report.get("energy_estimate", {}) for report in reports])]


def _hardware(report: Report) -> dict[str, float]:
    """Figures of the machine on targets; reports of earlier releases have none."""
    return {
        f"{row['target']} {text}": row[name]
        for row in report.get("hardware", ())
        for name, text in AMOUNTS.items()
        if row[name] is not None
    }


def _by_name(
    text: str, tables: Sequence[Mapping[str, float]]
) -> Iterator[tuple[str, list[float | None]]]:
    """A row for each name that a table has."""
    for name in dict.fromkeys(name for table in tables for name in table):
        yield text.format(name), [table.get(name) for table in tables]


def _energy_rows(
    estimates: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[float | None]]]:
    """Microjoule, estimated; nothing where no report has them."""
    if any(estimates):
        yield "energy, estimated (uJ)", [estimate.get("total_uj") for estimate in estimates]
    for field in ("parts_uj", "units_uj"):
        yield from _by_name("energy estimate {}", [e.get(field, {}) for e in estimates])
    layers = [{row["name"]: row["uj"] for row in e.get("layers_uj", ())} for e in estimates]
    yield from _by_name("energy estimate of layer {}", layers)


def _change(first: float | None, value: float | None) -> float | None:
    if first is None or value is None or (not first and value):
        return None
    return 100.0 * (value - first) / first if first else 0.0


def _settings(reports: Sequence[Report]) -> dict[str, list[Any]]:
    """What was set differently: parameters by name, and what else a report was made for."""
    made_for = synthesis_settings if is_synthesis(reports[0]) else _run_settings
    flat = [made_for(report) for report in reports]
    names = dict.fromkeys(name for settings in flat for name in settings)
    table = {name: [settings.get(name) for settings in flat] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _run_settings(report: Report) -> dict[str, Any]:
    return {
        "source": report["source"],
        "network": report["network"],
        "batch": report["batch"],
        **{f"memory {name}": value for name, value in report["memory"].items()},
        "energy table": report.get("energy_estimate", {}).get("table"),
        **report["config"],
    }


def check_regression(names: Sequence[str], reports: Sequence[Report], percent: float) -> None:
    """Check that no report takes over ``percent`` more than the first.

    Runs are compared in cycles, syntheses in look-up tables or gates.

    Raises
    ------
    CheckFailed
        If one does.
    """
    (first, unit), *others = [_size(report) for report in reports]
    for name, (size, _) in zip(names[1:], others, strict=True):
        change = _change(first, size)
        if change is None or change > percent:
            raise CheckFailed(
                f"compare: {name} takes {size:,} {unit}, {names[0]} {first:,}: "
                f"{change or 0.0:+.2f} %, limit {percent:+g} %"
            )


def _size(report: Report) -> tuple[int, str]:
    """What a regression is measured in."""
    return synthesis_size(report) if is_synthesis(report) else (report["cycles"], "cycles")
