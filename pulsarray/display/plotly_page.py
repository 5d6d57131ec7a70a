"""Pages with charts that share one copy of the script that draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pulsarray.display.table import figure_text
from pulsarray.extras import require
from pulsarray.files import write_atomically

__all__ = ["LAYOUT", "chart_html", "charts", "render", "titles", "write_page"]

LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "margin": {"l": 60, "r": 16, "t": 48, "b": 56},
    "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0},
    "autosize": True,
}
"""What all charts have."""
_CONFIG = {"responsive": True, "displayModeBar": False}


def charts() -> Any:
    """What figures are made with: ``plotly.graph_objects``.

    Raises
    ------
    ToolMissing
        If Plotly is not installed.
    """
    require("a page with charts", "plotly")
    from plotly import graph_objects

    return graph_objects


def chart_html(figure: Any, *, zooms: bool = False) -> str:
    """A chart as a part of a page that has the script already; the wheel ``zooms`` it or not."""
    config = {**_CONFIG, "scrollZoom": zooms}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=config))


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> None:
    """Write a page, and beside it the script if it is not there yet.

    Raises
    ------
    InputError
        If one of them cannot be written.
    """
    import plotly
    from plotly.offline import get_plotlyjs

    script = f"plotly-{plotly.__version__}.min.js"
    beside = path.parent / script
    if not beside.exists():
        write_atomically(beside, get_plotlyjs().encode())
    write_atomically(path, render(template, {**values, "script": script}).encode())


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page of this folder with its values."""
    from jinja2 import Environment, StrictUndefined

    text = files("pulsarray.display").joinpath(template).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = figure_text
    return environment.from_string(text).render(values)


def titles(names: Sequence[str]) -> list[str]:
    """Names as headings."""
    return [name.replace("_", " ") for name in names]
