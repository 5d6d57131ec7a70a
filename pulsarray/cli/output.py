"""What verbs print: JSON, tables, and signs of life while something takes long."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Timer
from typing import Self

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from pulsarray.errors import InputError

__all__ = ["make_folder", "print_json", "require_writable", "show", "wave_files", "working"]

PATIENCE = 2.0
"""Seconds without a sign of life."""
BETWEEN_LINES = 10.0
"""Seconds between lines that say how far something is."""
_PLAIN_WIDTH = 160


def print_json(data: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(data, indent=2))


def show(content: RenderableType) -> None:
    """Print text or a table."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(content)
        return
    plain = Console(highlight=False, width=_PLAIN_WIDTH)
    with plain.capture() as capture:
        plain.print(content)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


class Work:
    """Something that takes long, and how far it is.

    On a terminal a spinner, with a bar once the whole is known; elsewhere a line now and then.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _BarOfWhole(),
            TimeElapsedColumn(),
        )
        self._bar = Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=None)
        self._next_line = time.monotonic() + PATIENCE
        self._timer = Timer(PATIENCE, self._say)
        self._timer.daemon = True

    def advance(self, done: int, whole: int, note: str = "") -> None:
        """Show that ``done`` of ``whole`` is done, and what is to be said about it."""
        text = f"{self._what}, {note}" if note else self._what
        self._bar.update(self._task, completed=done, total=whole, description=text)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            how_far = f" {min(done, whole) / max(whole, 1):.0%}"
            self._say(f", {note},{how_far}" if note else how_far)

    def note(self, note: str) -> None:
        """Say what is being done now, where the whole is not known."""
        self._bar.update(self._task, description=f"{self._what}: {note}")
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._say(f": {note}")

    def _say(self, how_far: str = " ...") -> None:
        self._next_line = time.monotonic() + BETWEEN_LINES
        with contextlib.suppress(OSError):  # a full or closed place for messages stops no work
            typer.echo(f"{self._what}{how_far}", err=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._console.is_terminal:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._bar.stop()


class _BarOfWhole(BarColumn):
    """A bar where the whole is known."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]
        return Text() if task.total is None else super().render(task)


def working(what: str) -> Work:
    """Show that something is going on for as long as the block lasts."""
    return Work(what)


def require_writable(*files: Path | None, read: Iterable[Path | str | None] = ()) -> None:
    """Check before any work that the files to write can be written, and beside one another.

    Raises
    ------
    InputError
        If one has no folder to be in, is one, or is the same as another or as one that is ``read``.
    """
    taken = {_place(path): "that is read" for path in read if path and Path(path).exists()}
    for path in files:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot write: no folder {path.parent}")
        if path.is_dir():
            raise InputError(f"{path}: cannot write: is a folder")
        if not os.access(path.parent, os.W_OK) and not path.exists():
            raise InputError(f"{path}: cannot write: nothing may be written into {path.parent}")
        if path.is_file() or not path.exists():
            if _place(path) in taken:
                raise InputError(f"{path}: cannot write: is also the file {taken[_place(path)]}")
            taken[_place(path)] = "of another option"


def wave_files(waves: Path | None) -> list[Path]:
    """The file of ``--waves``, and those that are written beside it."""
    if waves is None:
        return []
    from pulsarray.sim.saves import save_files

    return [waves, *save_files(waves)]


def _place(path: Path | str) -> Path:
    return Path(path).resolve()


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
