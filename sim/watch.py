"""How far a running simulation is: the bench writes it to a file, a thread reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

__all__ = ["watched"]

_SECONDS = 0.2


@contextlib.contextmanager
def watched(path: Path, progress: Callable[[int], None] | None) -> Iterator[None]:
    """Give the machine's cycles so far, as the bench writes them to ``path``, to ``progress``."""
    if progress is None:
        yield
        return
    ended = Event()
    thread = Thread(target=_watch, args=(path, progress, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(path: Path, progress: Callable[[int], None], ended: Event) -> None:
    while not ended.wait(_SECONDS):
        # Not there yet, or just being written.
        with contextlib.suppress(OSError, ValueError):
            progress(int(path.read_text(encoding="ascii")))
