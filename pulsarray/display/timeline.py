"""A timeline as a page, or as a trace that Chrome and Perfetto open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulsarray.display.plotly_page import LAYOUT, chart_html, charts, write_page
from pulsarray.errors import InputError
from pulsarray.files import write_atomically
from pulsarray.isa import Unit
from pulsarray.program import Program
from pulsarray.report.timeline import Span, chrome_trace, spans
from pulsarray.run import RunResult

__all__ = ["require_timeline", "write_timeline"]

MOST_SPANS = 20_000
"""Spans that a page takes."""
_ENDINGS = (".html", ".json")
_COLOURS = ("#2a6fb5", "#2e8b57", "#8e44ad", "#c77b1f", "#2a9fb5", "#b5475f", "#5d6d1f", "#5b5fc7")
_SHADES = {"input gradient": 0.75, "weight gradient": 0.5, "backward": 0.6, "update": 0.35}
_WAIT = "#d5dadf"


def require_timeline(path: Path | None, program: Program | None = None) -> None:
    """Check that a timeline can be written in the form that its name asks for.

    Raises
    ------
    InputError
        If not, or the machine of the program has no trace.
    ToolMissing
        If it is a page, and Plotly is not installed.
    """
    if path is None:
        return
    if path.suffix not in _ENDINGS:
        raise InputError(f"--timeline: must end in {' or '.join(_ENDINGS)}, not {path.name!r}")
    if path.suffix == ".html":
        charts()
    if program is not None and not program.config.trace:
        raise InputError("--timeline: the configuration has trace = false; set it to true")


def write_timeline(path: Path, program: Program, result: RunResult) -> None:
    """Write when each unit worked on what: ``.html``, or ``.json`` for Perfetto.

    Raises
    ------
    InputError
        If the name ends in something else, the machine has no trace, or there is too much for a
        page.
    """
    require_timeline(path, program)
    if path.suffix == ".json":
        write_atomically(path, json.dumps(chrome_trace(program, result)).encode())
        return
    drawn = spans(program, result)
    if len(drawn) > MOST_SPANS:
        raise InputError(
            f"{path}: {len(drawn):,} spans are too many for a page (at most {MOST_SPANS:,}); "
            "write .json and open it in Perfetto"
        )
    values = {
        "title": f"{program.network}, batch {program.batch}",
        "cycles": f"{result.cycles:,}",
        "source": result.source,
        "config": program.config.label,
        "chart": chart_html(_chart(drawn), zooms=True),
    }
    write_page(path, "timeline.html", values)


def _chart(drawn: Sequence[Span]) -> Any:
    """A lane for each unit, a colour for each layer, a shade for each phase."""
    graph_objects = charts()

    figure, groups = graph_objects.Figure(), dict[tuple[str, str], list[Span]]()
    for span in drawn:
        groups.setdefault(("", "wait") if span.waits else (span.layer, span.phase), []).append(span)
    layers = list(dict.fromkeys(_layer(span.layer) for span in drawn))
    for (layer, phase), members in groups.items():
        waits = phase == "wait" and not layer
        place = layers.index(_layer(layer)) if not waits else 0
        colour = _WAIT if waits else _shaded(_COLOURS[place % len(_COLOURS)], phase)
        figure.add_bar(
            y=[span.unit for span in members],
            x=[span.after - span.first for span in members],
            base=[span.first for span in members],
            orientation="h",
            name="wait" if waits else " ".join(filter(None, (_layer(layer), phase))) or "program",
            marker={"color": colour, "line": {"width": 0}},
            width=0.35 if waits else 0.8,
            hovertext=[_told(span) for span in members],
            hoverinfo="text",
        )
    figure.update_layout(
        LAYOUT,
        barmode="overlay",
        dragmode="pan",
        xaxis={"title": "cycle"},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [unit.name for unit in reversed(Unit)],
            "fixedrange": True,
        },
    )
    return figure


def _layer(name: str) -> str:
    """A layer without the kind of its phase, which training has behind it."""
    return name.removesuffix(" forward").removesuffix(" backward")


def _shaded(colour: str, phase: str) -> str:
    """A colour, lighter for phases after the forward one."""
    share = _SHADES.get(phase, 1.0)
    parts = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)


def _told(span: Span) -> str:
    """What is said of a span under the mouse."""
    cycles = f"cycles {span.first:,} to {span.after - 1:,} ({span.after - span.first:,})"
    name, *fields = span.text.split()
    lines = [f"<b>{span.index}: {name}</b> {span.layer} {span.phase}".rstrip(), cycles]
    lines += [" ".join(fields[k : k + 4]) for k in range(0, len(fields), 4)]
    lines += [f"tensor {span.tensor}"] * bool(span.tensor)
    lines += [f"waits for {span.waits}" if span.waits else f"complete in {span.complete:,}"]
    return "<br>".join(lines)
