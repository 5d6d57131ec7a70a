"""The cocotb bench of ``top.v`` that serves jobs: one line of JSON for each, one in answer.

The lines go through the socket that ``+session=`` names by its file descriptor, memory and events
through the folder of ``+folder=``. The bench ends when the other side of the socket is closed.
"""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import socket
from typing import Any

import cocotb

from pulsarray.sim.machine_tests import prepare, run_job


@cocotb.test()
async def serve(dut: Any) -> None:
    """Run jobs until there are no more; waiting for the next one takes no simulated time."""
    with (
        contextlib.suppress(ConnectionError),
        socket.socket(fileno=int(str(cocotb.plusargs["session"]))) as channel,
    ):
        await _serve(dut, channel)
    # A caller that closes the session ends this process; one that was killed leaves the folder.
    shutil.rmtree(str(cocotb.plusargs["folder"]), ignore_errors=True)


async def _serve(dut: Any, channel: socket.socket) -> None:
    def require_caller(cycles: int) -> None:
        """While a job runs, only the end of the other side makes the socket readable."""
        if select.select([channel], [], [], 0)[0]:
            raise ConnectionError(f"the caller went away after {cycles} cycles of a job")

    driver = await prepare(dut)
    with channel.makefile("r", encoding="ascii") as lines:
        for line in lines:
            state = await run_job(dut, driver, 0, json.loads(line), require_caller)
            channel.sendall(json.dumps(state).encode("ascii") + b"\n")
