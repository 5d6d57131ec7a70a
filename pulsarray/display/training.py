"""The course of a training as people read it: tables, curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulsarray.display.facts import facts
from pulsarray.display.plotly_page import LAYOUT, chart_html, charts, write_page
from pulsarray.errors import InputError
from pulsarray.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pulsarray.trainer.history import Epoch, History

__all__ = ["require_curve", "training_view", "write_curve"]

_CURVES = (".csv", ".html")
_MOST_ROWS = 20
_MOST_POINTS = 4000
"""Steps that a page shows."""
_COLUMNS = (
    *("epoch", "rate", "loss", "accuracy", "test_loss", "test_accuracy"),
    *("steps", "cycles", "seconds"),
)


def require_curve(path: Path | None) -> None:
    """Check that a curve can be written in the format that its name asks for.

    Raises
    ------
    InputError
        If not.
    ToolMissing
        If it is a page, and Plotly is not installed.
    """
    if path is not None and path.suffix not in _CURVES:
        raise InputError(f"--curve: the file must end in {' or '.join(_CURVES)}, not {path.name!r}")
    if path is not None and path.suffix == ".html":
        charts()


def write_curve(path: Path, title: str, history: History) -> None:
    """Write the epochs' figures as CSV, or a page with their curves, its script beside it."""
    if path.suffix == ".csv":
        write_atomically(path, _csv(history).encode())
        return
    values = {
        "title": title,
        "steps": f"{len(history.losses):,}",
        "epochs": f"{len(history.epochs):,}",
        "cycles": f"{history.cycles:,}",
        "charts": [chart_html(chart) for chart in _charts(history)],
    }
    write_page(path, "curve.html", values)


def _csv(history: History) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for epoch in history.epochs:
        values = [getattr(epoch, name) for name in _COLUMNS]
        writer.writerow(["" if value is None else value for value in values])
    return buffer.getvalue()


def _charts(history: History) -> Iterator[Any]:
    """Losses over steps, and accuracies, where there are any."""
    graph_objects = charts()

    ends = list(accumulate(epoch.steps for epoch in history.epochs))
    losses, accuracies = graph_objects.Figure(), graph_objects.Figure()
    xs, ys = _thinned(history.losses)
    losses.add_scatter(x=xs, y=ys, name="loss of a step", line={"width": 1, "color": "#c3ccd4"})
    for name in ("loss", "test_loss", "accuracy", "test_accuracy"):
        values = [getattr(epoch, name) for epoch in history.epochs]
        if None in values:
            continue
        figure = accuracies if name.endswith("accuracy") else losses
        figure.add_scatter(x=ends, y=values, name=name.replace("_", " "), mode="lines+markers")
    losses.update_layout(
        LAYOUT, title="Loss", xaxis={"title": "training step"}, yaxis={"rangemode": "tozero"}
    )
    yield losses
    if accuracies.data:
        percent = {"range": [0, 1.02], "dtick": 0.2, "tickformat": ".0%"}
        accuracies.update_layout(
            LAYOUT, title="Accuracy", xaxis={"title": "training step"}, yaxis=percent
        )
        yield accuracies


def _thinned(losses: Sequence[float]) -> tuple[list[int], list[float]]:
    """Steps and losses; of many only some, evenly spaced, and the last."""
    every = -(-len(losses) // _MOST_POINTS) or 1
    steps = [n for n in range(1, len(losses) + 1) if n % every == 1 % every or n == len(losses)]
    return steps, [float(f"{losses[n - 1]:.6g}") for n in steps]


def _epoch_table(history: History) -> Table:
    """Epochs in rows; of many only some, evenly spaced, and the last."""
    table = Table(box=None, padding=(0, 1))
    headings = ("epoch", "rate", "loss", "accuracy", "test loss", "test accuracy", "cycles", "s")
    for heading in headings:
        table.add_column(heading, justify="right")
    epochs = history.epochs
    every = -(-len(epochs) // _MOST_ROWS)
    for place, epoch in enumerate(epochs, 1):
        if place == 1 or place % every == 0 or place == len(epochs):
            table.add_row(*_cells(epoch))
    return table


def _cells(epoch: Epoch) -> tuple[str, ...]:
    return (
        str(epoch.epoch),
        f"{epoch.rate:.3g}",
        _number(epoch.loss),
        _share(epoch.accuracy),
        _number(epoch.test_loss),
        _share(epoch.test_accuracy),
        f"{epoch.cycles:,}",
        f"{epoch.seconds:.1f}",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def training_view(setting: Mapping[str, Any], history: History) -> RenderableType:
    """Epochs, and what they cost."""
    last = history.epochs[-1]
    rows: dict[str, Any] = {
        "network": f"{setting['network']}, loss {setting['loss']['name']}",
        "ran on": setting["source"],
        "steps": len(history.losses),
        "cycles": history.cycles,
        "cycles a step": round(last.step_cycles),
    }
    if setting["compared_with_model"]:
        rows["compared with the model"] = "every run identical: values, cycles, counters, events"
    if history.stopped:
        rows["stopped"] = history.stopped
    for overflow in history.overflows:
        rows[f"overflow of {overflow.tensor}"] = (
            f"{overflow.steps} steps in a row from step {overflow.first}"
        )
    return Group(_epoch_table(history), Text(), facts(rows))
