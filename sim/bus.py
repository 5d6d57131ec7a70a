"""A simulated machine behind the drivers' :class:`pulsarray.driver.bus.Bus`."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import CheckFailed
from pulsarray.sim.pages import PAGE_BYTES, all_pages, apply_pages, pack_pages
from pulsarray.sim.protocol import violation_text
from pulsarray.sim.served import Served

__all__ = ["SimulatedBus"]

_BENCH = "pulsarray.sim.bus_tests"
_WAIT_CYCLES = 1 << 12


class SimulatedBus:
    """Registers and memory of one machine in one simulator process.

    Simulated time passes with accesses and in :meth:`wait` alone.

    Parameters
    ----------
    config, simulator
        The machine, ``"icarus"`` or ``"verilator"``.
    memory_bytes, base_address
        Size of the buffer and its place in the simulated memory, multiples of 4096.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.

    Raises
    ------
    ToolMissing
        If the simulator is not installed.
    CheckFailed
        If it does not build.
    """

    def __init__(
        self,
        config: Config,
        simulator: str,
        memory_bytes: int,
        base_address: int = 0,
        *,
        memory_latency: int = 64,
        memory_interval: int = 1,
    ) -> None:
        size = base_address + memory_bytes
        self.memory: npt.NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.base_address = base_address
        self._bus_bytes = config.bus_bytes
        self._served = Served(config, simulator, size, _BENCH)
        self.close = self._served.close
        """End the process; harmless if that has happened."""
        times = {"latency": memory_latency, "interval": memory_interval}
        for name, value in {"size": size, **times}.items():
            self._ask(name, value=value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, address: int) -> int:
        """The register at a byte address."""
        return self._ask("read", address)

    def write(self, address: int, value: int) -> None:
        """Write the register at a byte address."""
        self._ask("write", address, value)

    def wait(self, seconds: float) -> bool:
        """Let simulated time pass until the interrupt, at most some 4,000 cycles.

        Raises
        ------
        CheckFailed
            If the machine breaks the AXI protocol.
        """
        del seconds
        came = bool(self._ask("wait", value=_WAIT_CYCLES))
        if broken := self._ask("violation"):
            raise CheckFailed(violation_text(broken))
        return came

    def to_device(self) -> None:
        """Load the buffer into the simulated memory."""
        pages = all_pages(self.memory)
        first = self.base_address // PAGE_BYTES
        data = pack_pages(self.memory, pages, self._bus_bytes, first)
        (self._served.folder / "0.in").write_bytes(data)
        self._ask("load")

    def from_device(self) -> None:
        """Take what the machine wrote from the simulated memory."""
        self._ask("dump")
        pages = (self._served.folder / "0.out").read_bytes()
        first = self.base_address // PAGE_BYTES
        apply_pages(pages, self.memory, self._bus_bytes, first)

    def _ask(self, do: str, address: int = 0, value: int = 0) -> int:
        return int(self._served.ask({"do": do, "address": address, "value": int(value)}))
