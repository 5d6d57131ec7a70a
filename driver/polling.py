"""Waiting for a machine's end without its interrupt."""

from __future__ import annotations

import time
from collections.abc import Callable

from pulsarray.registers import REGISTERS, Status

__all__ = ["ended"]

_POLL_SECONDS = 1e-4
_STATUS = next(register.address for register in REGISTERS if register.name == "STATUS")


def ended(read: Callable[[int], int], seconds: float) -> bool:
    """Read STATUS until no program runs, at most about so long; whether none does."""
    deadline = time.monotonic() + seconds
    while read(_STATUS) & Status.RUNNING:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
