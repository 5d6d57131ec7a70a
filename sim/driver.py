"""Register access over AXI4-Lite, for cocotb benches of the whole machine."""

from __future__ import annotations

from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly

from pulsarray.registers import COUNTER_BASE, COUNTERS, REGISTERS, Control

__all__ = ["RegisterDriver"]

_ADDRESSES = {register.name: register.address for register in REGISTERS}
_RESPONSE_CYCLES = 64


class RegisterDriver:
    """One AXI4-Lite master on the ``s_axil_*`` ports; signals change at falling clock edges.

    Parameters
    ----------
    dut
        Handle of the top, with ``clk`` and the slave's ports.
    """

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        for name in ("awvalid", "wvalid", "arvalid", "awprot", "arprot"):
            self._port(name).value = 0
        for name in ("bready", "rready"):
            self._port(name).value = 1
        self._port("wstrb").value = 0xF

    def _port(self, name: str) -> Any:
        return getattr(self._dut, f"s_axil_{name}")

    async def _offer(self, *channels: str) -> None:
        waiting = set(channels)
        for channel in channels:
            self._port(f"{channel}valid").value = 1
        while waiting:
            await ReadOnly()
            taken = {name for name in waiting if self._port(f"{name}ready").value == 1}
            await FallingEdge(self._dut.clk)
            for channel in taken:
                self._port(f"{channel}valid").value = 0
            waiting -= taken

    async def _response(self, channel: str, address: int) -> None:
        for _ in range(_RESPONSE_CYCLES):
            if self._port(f"{channel}valid").value == 1:
                break
            await FallingEdge(self._dut.clk)
        else:
            raise AssertionError(f"AXI4-Lite: no response for address {address:#x}")
        code = int(self._port(f"{channel}resp").value)
        if code:
            raise AssertionError(f"AXI4-Lite: response {code} for address {address:#x}")

    async def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        await self.write_address(_ADDRESSES[name], value)

    async def write_address(self, address: int, value: int) -> None:
        """Write 32 bits at a byte address."""
        self._port("awaddr").value = address
        self._port("wdata").value = value
        await self._offer("aw", "w")
        await self._response("b", address)
        await FallingEdge(self._dut.clk)

    async def read_address(self, address: int) -> int:
        """Read 32 bits at a byte address."""
        self._port("araddr").value = address
        await self._offer("ar")
        await self._response("r", address)
        value = int(self._port("rdata").value)
        await FallingEdge(self._dut.clk)
        return value

    async def read(self, name: str) -> int:
        """Read a register by name."""
        return await self.read_address(_ADDRESSES[name])

    async def counters(self) -> list[int]:
        """Every performance counter, in the order of ``COUNTERS``."""
        return [await self.read_address(COUNTER_BASE + 4 * i) for i in range(len(COUNTERS))]

    async def start(
        self, program_address: int, program_units: int, cycle_limit: int, base_address: int = 0
    ) -> None:
        """Point the machine to a program and start it."""
        await self.write("BASE_ADDRESS", base_address)
        await self.write("PROGRAM_ADDRESS", program_address)
        await self.write("PROGRAM_UNITS", program_units)
        await self.write("CYCLE_LIMIT", cycle_limit)
        await self.write("CONTROL", Control.START)

    async def clear(self) -> None:
        """Take back done, error and the interrupt."""
        await self.write("CONTROL", Control.CLEAR)
