"""Python's search for cycles among objects, less often in processes that are ours alone."""

from __future__ import annotations

import gc

__all__ = ["collect_rarely"]

_OBJECTS = 50_000
"""New objects between two searches; with Python's 700 a ninth of an estimate's time goes there."""


def collect_rarely() -> None:
    """Search this process for cycles less often: programs are many objects, and none is in one."""
    gc.set_threshold(_OBJECTS)
