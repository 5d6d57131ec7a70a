"""A machine on a board with PYNQ: its MMIO for registers, its allocator for memory."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.driver.mapped import REGISTER_BYTES
from pulsarray.driver.polling import ended
from pulsarray.errors import ToolMissing

__all__ = ["Pynq"]


class Pynq:
    """A machine in an overlay that is loaded.

    Parameters
    ----------
    registers
        Address of the registers, as ``overlay.ip_dict`` gives it.
    size
        Bytes of memory to allocate for programs.

    Raises
    ------
    ToolMissing
        If there is no package ``pynq``.
    """

    def __init__(self, registers: int, size: int) -> None:
        try:
            pynq: Any = importlib.import_module("pynq")
        except ImportError:
            raise ToolMissing("driver: the package pynq is missing: it is for boards") from None
        self._mmio = pynq.MMIO(registers, REGISTER_BYTES)
        self._buffer = pynq.allocate((size,), dtype=np.uint8)
        self.memory: npt.NDArray[np.uint8] = self._buffer
        self.base_address = int(self._buffer.physical_address)

    def read(self, address: int) -> int:
        """The register at a byte address."""
        return int(self._mmio.read(address))

    def write(self, address: int, value: int) -> None:
        """Write the register at a byte address."""
        self._mmio.write(address, int(value))

    def wait(self, seconds: float) -> bool:
        """Look at the status until the machine has ended."""
        return ended(self.read, seconds)

    def to_device(self) -> None:
        """Write back the processor's caches."""
        self._buffer.flush()

    def from_device(self) -> None:
        """Drop what they hold of the buffer."""
        self._buffer.invalidate()
