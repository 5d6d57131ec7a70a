"""The report as people read it: a bar for each unit, the bound, the layers, the causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pulsarray.registers import FETCH_STATES, UNIT_STATES
from pulsarray.report.hardware import hardware_text

__all__ = ["bar", "view"]

BAR_CELLS = 56
"""Widest bar."""
_LEAST_CELLS = 24
_BESIDE_BAR = 52
"""Columns that the rest of a unit's line needs."""
_WIDE = 100
"""Columns from which the layers' bytes are shown."""
_LOOK = {
    "busy": ("█", "green"),
    "stall": ("▓", "red"),
    "wait": ("▒", "yellow"),
    "start": ("|", "magenta"),
    "drain": ("~", "cyan"),
    "idle": ("·", "bright_black"),
    "queue": ("▒", "yellow"),
    "memory": ("▓", "red"),
}


def view(report: Mapping[str, Any]) -> RenderableType:
    """Everything of a report but the raw counters."""
    parts: list[RenderableType] = [_headline(report), _bound(report), *_hardware(report)]
    parts += [Text(), _Units(report)]
    if report["explanation"]:
        parts += [Text(), _explanation(report)]
    if len(report["layers"]) > 1:
        parts += [Text(), _Layers(report["layers"])]
    return Group(*parts)


def _headline(report: Mapping[str, Any]) -> Text:
    name = report["network"] or "program"
    cycles, memory = report["cycles"], report["memory"]
    return Text.assemble(
        (f"{name}, batch {report['batch']}", "bold"),
        f" on D = {report['config']['dim']} ({report['fingerprint']}), {report['source']}, ",
        f"memory latency {memory['latency']}, interval {memory['interval']}: ",
        (f"{cycles:,} cycles", "bold"),
        f", {report['macs']:,} MACs, array busy {report['array_utilization']:.2%}, "
        f"multipliers {report['mac_utilization']:.2%}, ",
        f"{report['bytes_read']:,} bytes read, {report['bytes_written']:,} written",
        _energy(report),
    )


def _energy(report: Mapping[str, Any]) -> str:
    """The estimate of energy in a few words; reports of earlier releases have none."""
    if "energy_estimate" not in report:
        return ""
    estimate = report["energy_estimate"]
    return f"; energy estimate {estimate['total_uj']:,.4g} microjoule ({estimate['table']})"


def _hardware(report: Mapping[str, Any]) -> Iterator[Text]:
    """What the machine takes where it was synthesized; reports of earlier releases say nothing."""
    for target, figures in hardware_text(report.get("hardware", ())):
        yield Text(f"On hardware, without trace: {target} {figures}")


def _bound(report: Mapping[str, Any]) -> Text:
    bound, ratio = report["bound"], report["bound_ratio"]
    if ratio is None:
        return Text("No bound: the program has no products and no tables of layers.")
    limit = "array" if bound["compute"] >= bound["memory"] else "memory bus"
    return Text(
        f"No program can take fewer than {report['bound_cycles']:,} cycles (limit: {limit}; array "
        f"{bound['compute']:,}, bus {bound['memory']:,}): this one takes {ratio:.3f} times that."
    )


def bar(parts: Sequence[tuple[str, int]], cells: int = BAR_CELLS) -> Text:
    """A stacked bar of named parts, rounded by largest remainder so that the cells add up."""
    total = sum(value for _, value in parts)
    text = Text()
    for (name, _), width in zip(parts, _widths([v for _, v in parts], total, cells), strict=True):
        character, style = _LOOK[name]
        text.append(character * width, style)
    return text


def _widths(values: Sequence[int], total: int, cells: int) -> list[int]:
    if not total:
        return [0] * len(values)
    widths = [value * cells // total for value in values]
    order = sorted(range(len(values)), key=lambda i: -(values[i] * cells % total))
    for i in order[: cells - sum(widths)]:
        widths[i] += 1
    return widths


class _Units:
    """The units' bars, as wide as there is room."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = min(BAR_CELLS, max(_LEAST_CELLS, options.max_width - _BESIDE_BAR))
        yield _legend()
        yield _units(self._report, cells)


class _Layers:
    """The layers, with their bytes where there is room."""

    def __init__(self, layers: Sequence[Mapping[str, Any]]) -> None:
        self._layers = layers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _layers(self._layers, options.max_width >= _WIDE)


def _units(report: Mapping[str, Any], cells: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("unit")
    table.add_column("cycles", width=cells, no_wrap=True)
    table.add_column("busy", justify="right")
    table.add_column("waits for", overflow="fold")
    for name, unit in report["units"].items():
        states = FETCH_STATES if name == "fetch" else UNIT_STATES
        share = unit["busy"] / report["cycles"] if report["cycles"] else 0.0
        waits = ", ".join(
            f"{'/'.join(w['signalled_by']).upper()} {w['cycles']:,}" for w in unit.get("waits", ())
        )
        row = bar([(state, unit[state]) for state in states], cells)
        table.add_row(name.upper(), row, f"{share:.1%}", waits)
    return table


def _legend() -> Text:
    text = Text()
    for state in UNIT_STATES:
        character, style = _LOOK[state]
        text.append(f"{character} {state}  ", style)
    return text


def _explanation(report: Mapping[str, Any]) -> Table:
    above = report["cycles"] - report["bound_cycles"]
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("cycles", justify="right")
    table.add_column("above the bound, by cause")
    for row in report["explanation"]:
        table.add_row(f"{row['cycles']:,}", f"{row['cause']}: {row['text']}")
    table.add_row(f"{above:,}", "all cycles above the bound", style="bold")
    return table


def _layers(layers: Sequence[Mapping[str, Any]], with_bytes: bool) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("layer")
    table.add_column("M x K x N")
    moved = ("bytes read", "written") if with_bytes else ()
    for name in ("cycles", "array busy", "bound", "ratio", *moved):
        table.add_column(name, justify="right")
    for layer in layers:
        ratio = layer["bound_ratio"]
        table.add_row(
            f"{layer['name']} ({layer['kind']})",
            f"{layer['m']}x{layer['k']}x{layer['n']}" if layer["m"] else "",
            f"{layer['cycles']:,}",
            f"{layer['array_utilization']:.1%}",
            f"{layer['bound_cycles']:,}",
            "" if ratio is None else f"{ratio:.2f}",
            *([f"{layer['bytes_read']:,}", f"{layer['bytes_written']:,}"] if moved else []),
        )
    return table
