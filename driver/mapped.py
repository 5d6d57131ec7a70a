"""Registers and buffers that Linux maps into a process: ``/dev/mem``, and UIO with u-dma-buf."""

from __future__ import annotations

import mmap
import os
import select
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulsarray.driver.polling import ended
from pulsarray.errors import InputError

__all__ = ["DevMem", "Uio"]

REGISTER_BYTES = 4096
"""What a machine's registers take of the address space."""


def _map(path: Path, offset: int, size: int) -> mmap.mmap:
    try:
        handle = os.open(path, os.O_RDWR | os.O_SYNC)
    except OSError as error:
        raise InputError(f"{path}: cannot open: {error.strerror}") from None
    try:
        return mmap.mmap(handle, size, offset=offset)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot map {size} bytes at {offset:#x}: {error}") from None
    finally:
        os.close(handle)


class _Registers:
    """Registers in a mapping, each read and written by one access of 32 bits."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._words = memoryview(mapping).cast("I")

    def read(self, address: int) -> int:
        """The register at a byte address."""
        return self._words[address // 4]

    def write(self, address: int, value: int) -> None:
        """Write the register at a byte address."""
        self._words[address // 4] = value


class DevMem:
    """A machine whose registers and reserved memory are reached through ``/dev/mem``.

    The memory must be kept from Linux (``reserved-memory`` with ``no-map``); with O_SYNC it is not
    cached. The interrupt is not used: the status is looked at.

    Parameters
    ----------
    registers
        Physical address of the registers.
    memory, size
        Physical address and bytes of the reserved memory.
    path
        The file that maps physical addresses.

    Raises
    ------
    InputError
        If it cannot be opened or mapped.
    """

    def __init__(
        self, registers: int, memory: int, size: int, path: Path = Path("/dev/mem")
    ) -> None:
        self._registers = _Registers(_map(path, registers, REGISTER_BYTES))
        self.memory: npt.NDArray[np.uint8] = np.frombuffer(_map(path, memory, size), np.uint8)
        self.base_address = memory
        self.read, self.write = self._registers.read, self._registers.write

    def wait(self, seconds: float) -> bool:
        """Look at the status until the machine has ended."""
        return ended(self.read, seconds)

    def to_device(self) -> None:
        """Nothing: what is not cached is seen."""

    def from_device(self) -> None:
        """Nothing, likewise."""


class Uio:
    """A machine behind UIO (``generic-uio``), with a buffer of u-dma-buf.

    Parameters
    ----------
    device
        ``/dev/uioN``, whose map 0 is the registers.
    buffer
        Folder of the buffer in ``/sys/class/u-dma-buf``, whose name is that of its device.
    devices
        Folder of the devices.

    Raises
    ------
    InputError
        If one of them cannot be opened or mapped.
    """

    def __init__(self, device: Path, buffer: Path, devices: Path = Path("/dev")) -> None:
        self._registers = _Registers(_map(device, 0, REGISTER_BYTES))
        self._interrupt = os.open(device, os.O_RDWR)
        self._buffer = buffer
        size = int(self._attribute("size"), 0)
        self.base_address = int(self._attribute("phys_addr"), 0)
        self.memory: npt.NDArray[np.uint8] = np.frombuffer(
            _map(devices / buffer.name, 0, size), np.uint8
        )
        self.read, self.write = self._registers.read, self._registers.write

    def _attribute(self, name: str) -> str:
        path = self._buffer / name
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise InputError(f"{path}: cannot read: {error.strerror}") from None

    def wait(self, seconds: float) -> bool:
        """Let the interrupt through once, and wait for it."""
        os.write(self._interrupt, struct.pack("=i", 1))
        if not select.select([self._interrupt], [], [], seconds)[0]:
            return False
        os.read(self._interrupt, 4)
        return True

    def to_device(self) -> None:
        """Write back the processor's caches."""
        self._sync("sync_for_device")

    def from_device(self) -> None:
        """Drop what they hold of the buffer."""
        self._sync("sync_for_cpu")

    def _sync(self, name: str) -> None:
        (self._buffer / name).write_text("1", encoding="ascii")
