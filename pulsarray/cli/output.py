"""What verbs print: JSON, tables, and signs of life while something takes long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pulsarray.errors import InputError

__all__ = ["facts", "make_folder", "print_json", "show", "working"]

PATIENCE = 2.0
"""Seconds without a sign of life."""
_PLAIN_WIDTH = 160


def print_json(data: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(data, indent=2))


def show(content: RenderableType) -> None:
    """Print text or a table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    console.print(content)


def facts(rows: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    return table


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is going on: a spinner on a terminal, else a line once it takes long."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(what)
            yield
        return
    timer = Timer(PATIENCE, lambda: typer.echo(f"{what} ...", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def make_folder(path: Path) -> None:
    """Create a folder with its parents.

    Raises
    ------
    InputError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot create: {error.strerror}") from None
