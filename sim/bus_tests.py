"""The cocotb bench of ``top.v`` behind :class:`pulsarray.sim.bus.SimulatedBus`.

One line of JSON for each access to registers or memory, one in answer, through the socket that
``+session=`` names by its file descriptor; memory goes through the folder of ``+folder=``. The
bench ends when the other side of the socket is closed.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer

from pulsarray.sim.driver import RegisterDriver
from pulsarray.sim.machine_tests import PERIOD_NS, prepare, pulse


@cocotb.test()
async def serve(dut: Any) -> None:
    """Do what is asked; waiting for the next line takes no simulated time."""
    with (
        contextlib.suppress(ConnectionError),
        socket.socket(fileno=int(str(cocotb.plusargs["session"]))) as channel,
        channel.makefile("r", encoding="ascii") as lines,
    ):
        driver = await prepare(dut)
        for line in lines:
            answer = await _do(dut, driver, **json.loads(line))
            channel.sendall(json.dumps(answer).encode("ascii") + b"\n")


async def _do(dut: Any, driver: RegisterDriver, do: str, address: int = 0, value: int = 0) -> int:
    if do == "read":
        return await driver.read_address(address)
    if do == "write":
        await driver.write_address(address, value)
    elif do == "wait":
        if dut.interrupt.value == 0:
            await First(RisingEdge(dut.interrupt), Timer(value * PERIOD_NS, "ns"))
            await FallingEdge(dut.clk)
        return int(dut.interrupt.value)
    elif do == "violation":
        return int(dut.violation.value)
    elif do in ("size", "latency", "interval"):
        getattr(dut, do).value = value
    else:
        await pulse(dut, do)
        await FallingEdge(dut.clk)
    return 0
