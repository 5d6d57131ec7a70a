"""How far something is that takes long: who calls decides how that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

__all__ = ["Progress", "Working", "quiet"]


class Progress(Protocol):
    """Takes what is to be told."""

    def advance(self, done: int, whole: int, note: str = "") -> None:
        """So much of the whole is done."""

    def note(self, note: str) -> None:
        """What is being done, where the whole is not known."""


Working: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""Tells that something goes on, named by its argument, for as long as the block lasts."""


class _Quiet:
    """Tells nothing."""

    def advance(self, done: int, whole: int, note: str = "") -> None:
        """Nothing."""

    def note(self, note: str) -> None:
        """Nothing."""


@contextmanager
def quiet(what: str) -> Iterator[Progress]:  # noqa: ARG001 (nobody is told)
    """Tell nothing."""
    yield _Quiet()
