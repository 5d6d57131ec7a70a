"""The operators of a network as people read them, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from pulsarray.compiler.importers.inspection import End, Inspection, Row, Shape

__all__ = ["inspection_facts", "inspection_view"]


def inspection_view(inspection: Inspection) -> RenderableType:
    """Operators in rows, what they are together, and the network's ends."""
    parts: list[RenderableType] = [_table(inspection), _summary(inspection)]
    if inspection.inputs:
        ends = (_ends("input", inspection.inputs), _ends("output", inspection.outputs))
        parts.append("; ".join(ends))
    return Group(*parts)


def _table(inspection: Inspection) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("layer", "total", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("input")
    table.add_column("output")
    table.add_column("MACs", f"{inspection.macs:,}", justify="right", no_wrap=True)
    table.add_column("parameters", f"{inspection.parameters:,}", justify="right", no_wrap=True)
    table.add_column("supported")
    table.add_column("where", overflow="fold")
    for row in inspection.rows:
        table.add_row(
            escape(row.name),
            escape(row.operator),
            _shapes(row.inputs),
            _shapes((row.output,)),
            "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
            f"{row.parameters:,}" if row.parameters else "",
            "yes" if row.supported else "[bold red]no[/bold red]",
            escape(row.place),
        )
    return table


def _shapes(shapes: Sequence[Shape]) -> str:
    """Shapes in a few characters; a size that is not known is a question mark."""
    known = ["x".join(str(size) if size > 0 else "?" for size in shape) for shape in shapes]
    if len(known) > 2 and len(set(known)) == 1:
        return f"{len(known)} of {known[0]}"
    return ", ".join(known)


def _summary(inspection: Inspection) -> str:
    bad, unknown = len(inspection.unsupported), any(row.macs is None for row in inspection.rows)
    state = f"{bad} not supported" if bad else "all supported"
    if inspection.problem:
        state = "cannot be compiled"
    return (
        f"{escape(inspection.network)} ({escape(inspection.form)}): {_count(inspection)}, {state}; "
        f"{'at least ' * unknown}{inspection.macs:,} MACs a sample, "
        f"{inspection.parameters:,} parameters"
    )


def _ends(what: str, ends: Sequence[End]) -> str:
    """Inputs or outputs with the shapes of a sample."""
    told = ", ".join(f"{end.name} {_shapes((end.shape,))}" for end in ends)
    return f"{what}{'s' if len(ends) > 1 else ''} {escape(told)}"


def _count(inspection: Inspection) -> str:
    return f"{len(inspection.rows)} operator{'s' if len(inspection.rows) > 1 else ''}"


def inspection_facts(inspection: Inspection) -> dict[str, Any]:
    """Everything of an inspection as plain data."""
    return {
        "network": inspection.network,
        "form": inspection.form,
        "macs": inspection.macs,
        "parameters": inspection.parameters,
        "supported": not inspection.unsupported and not inspection.problem,
        "problem": inspection.problem,
        "inputs": [{"name": end.name, "shape": list(end.shape)} for end in inspection.inputs],
        "outputs": [{"name": end.name, "shape": list(end.shape)} for end in inspection.outputs],
        "layers": [_plain_row(row) for row in inspection.rows],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "operator": row.operator,
        "inputs": [list(shape) for shape in row.inputs],
        "output": list(row.output),
        "macs": row.macs,
        "parameters": row.parameters,
        "supported": row.supported,
        "place": row.place,
    }
