"""How a driver reaches a machine: its registers, its interrupt, and memory that both see."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Bus"]


class Bus(Protocol):
    """One machine on a board, or in a simulator.

    Members
    -------
    memory
        uint8 array: the buffer of programs as the host sees it.
    base_address
        The same buffer's first byte as the machine sees it, a multiple of 4096.
    """

    memory: npt.NDArray[np.uint8]
    base_address: int

    def read(self, address: int) -> int:
        """The 32 bits of the register at a byte address."""
        ...

    def write(self, address: int, value: int) -> None:
        """Write 32 bits to the register at a byte address."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for the interrupt, at most about so long; whether it is there."""
        ...

    def to_device(self) -> None:
        """Let the machine see what the host wrote to ``memory``."""
        ...

    def from_device(self) -> None:
        """Let the host see what the machine wrote to ``memory``."""
        ...
