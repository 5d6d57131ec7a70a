"""The cocotb bench of ``top.v``: runs every job of the folder given by ``+folder=``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer

from pulsarray.sim.driver import RegisterDriver

PERIOD_NS = 2
SLACK_CYCLES = 100_000
REPORT_SECONDS = 0.2
"""About how often the file ``progress`` tells the machine's cycles."""


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Load, run and dump each job in turn; one failed job does not stop the others."""
    folder = Path(str(cocotb.plusargs["folder"]))
    jobs = json.loads((folder / "jobs.json").read_text(encoding="ascii"))
    for name in ("load", "dump", "rst", "job", "size"):
        getattr(dut, name).value = 0
    dut.latency.value = dut.interval.value = 1
    driver = RegisterDriver(dut)
    Clock(dut.clk, PERIOD_NS, "ns", impl="gpi").start()
    await reset(dut)
    for number, job in enumerate(jobs):
        state = await run_job(dut, driver, number, job, folder / "progress")
        (folder / f"{number}.json").write_text(json.dumps(state), encoding="ascii")


async def reset(dut: Any) -> None:
    """Reset machine and memory for two cycles."""
    await FallingEdge(dut.clk)
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


async def pulse(dut: Any, name: str) -> None:
    """Give ``load`` or ``dump`` for one cycle."""
    signal = getattr(dut, name)
    await FallingEdge(dut.clk)
    signal.value = 1
    await FallingEdge(dut.clk)
    signal.value = 0


async def run_job(
    dut: Any, driver: RegisterDriver, number: int, job: dict[str, int], progress: Path
) -> dict[str, Any]:
    """One job from loading memory to dumping it: the content of its ``.json`` file."""
    dut.job.value = number
    dut.size.value = job["size"]
    dut.latency.value = job["latency"]
    dut.interval.value = job["interval"]
    if job["reset"]:
        await reset(dut)
    if job["reset_after"]:
        await pulse(dut, "load")
        await driver.start(job["program_address"], job["program_units"], job["cycle_limit"])
        await Timer(job["reset_after"] * PERIOD_NS, "ns")
        await reset(dut)
    await pulse(dut, "load")
    await driver.start(job["program_address"], job["program_units"], job["cycle_limit"])
    hung = not await interrupted(dut, job["cycle_limit"], progress)
    if hung:
        await reset(dut)
    state = {
        "hung": hung,
        "status": await driver.read("STATUS"),
        "error_code": await driver.read("ERROR_CODE"),
        "error_index": await driver.read("ERROR_INDEX"),
        "counters": await driver.counters(),
        "violation": int(dut.violation.value),
    }
    await driver.clear()
    await pulse(dut, "dump")
    await FallingEdge(dut.clk)
    return state


async def interrupted(dut: Any, cycle_limit: int, progress: Path | None = None) -> bool:
    """Wait for the interrupt; False if it is long overdue. ``progress`` gets the cycles so far."""
    done, chunk = 0, 256
    while dut.interrupt.value == 0 and done < cycle_limit + SLACK_CYCLES:
        begin = time.monotonic()
        await First(RisingEdge(dut.interrupt), Timer(chunk * PERIOD_NS, "ns"))
        done += chunk
        if time.monotonic() - begin < REPORT_SECONDS:
            chunk *= 2
            continue
        chunk = max(256, chunk // 2)
        if progress is not None:
            progress.write_text(str(done), encoding="ascii")
    await FallingEdge(dut.clk)
    return bool(dut.interrupt.value == 1)
