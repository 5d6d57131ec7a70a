"""A run as people read it: its report, and what was compared with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from pulsarray.display.facts import facts
from pulsarray.display.view import view
from pulsarray.program import Program
from pulsarray.run import RunResult

__all__ = ["run_view"]


def run_view(
    program: Program,
    result: RunResult,
    report: Mapping[str, Any] | None,
    differences: Sequence[str] | None,
) -> RenderableType:
    """Report and comparison, as far as there are any."""
    parts: list[RenderableType] = [] if report is None else [view(report), Text()]
    if differences:
        text = "; ".join(map(escape, differences))
        parts.append(facts({"[red]DIFFERENT[/red] from the model": text}))
    elif differences is not None:
        parts.append(facts(_identities(program, result)))
    return Group(*parts)


def _identities(program: Program, got: RunResult) -> dict[str, str]:
    """What was compared with the model and is equal."""
    size = 0 if got.memory is None else got.memory.size
    rows = {"values": f"identical: {size:,} bytes of memory"}
    if program.config.counters:
        rows["cycles"] = f"identical: {got.cycles:,}"
        rows["counters"] = f"identical: {len(got.counters)}"
        rows["report"] = "identical, field by field"
    if program.config.trace:
        rows["events"] = (
            f"identical: {got.events.size:,} figures of {len(got.events):,} instructions"
        )
    return {f"{name}, model and {got.source}": text for name, text in rows.items()}
