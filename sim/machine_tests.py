"""The cocotb bench of ``top.v``: runs every job of the folder given by ``+folder=``."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer

from pulsarray.registers import Control, ErrorCode, Status
from pulsarray.sim.driver import RegisterDriver

PERIOD_NS = 2
SLACK_CYCLES = 100_000
REPORT_SECONDS = 0.2
"""About how often the machine's cycles are reported."""


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Load, run and dump each job in turn; one failed job does not stop the others."""
    folder = Path(str(cocotb.plusargs["folder"]))
    jobs = json.loads((folder / "jobs.json").read_text(encoding="ascii"))
    driver = await prepare(dut)
    report = functools.partial(_write_cycles, folder / "progress")
    for number, job in enumerate(jobs):
        state = await run_job(dut, driver, number, job, report)
        (folder / f"{number}.json").write_text(json.dumps(state), encoding="ascii")


def _write_cycles(path: Path, cycles: int) -> None:
    path.write_text(str(cycles), encoding="ascii")


async def prepare(dut: Any) -> RegisterDriver:
    """Bring the machine to life: clock, inputs at rest, reset."""
    for name in ("load", "dump", "rst", "job", "size"):
        getattr(dut, name).value = 0
    dut.latency.value = dut.interval.value = 1
    driver = RegisterDriver(dut)
    Clock(dut.clk, PERIOD_NS, "ns", impl="gpi").start()
    await reset(dut)
    return driver


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


async def start_job(dut: Any, driver: RegisterDriver, job: dict[str, int]) -> None:
    """Load memory and start the program."""
    await pulse(dut, "load")
    await driver.start(
        job["program_address"], job["program_units"], job["cycle_limit"], job["base_address"]
    )


async def stop(dut: Any, driver: RegisterDriver) -> None:
    """STOP, and what it leaves."""
    await driver.write("CONTROL", Control.STOP)
    assert await interrupted(dut, 0), "no interrupt after STOP"
    assert await driver.read("STATUS") == Status.ERROR
    assert await driver.read("ERROR_CODE") == ErrorCode.STOPPED
    await driver.clear()
    await FallingEdge(dut.clk)
    assert dut.interrupt.value == 0


async def run_job(
    dut: Any,
    driver: RegisterDriver,
    number: int,
    job: dict[str, int],
    report: Callable[[int], None],
) -> dict[str, Any]:
    """One job from loading memory to dumping it: the content of its ``.json`` file.

    ``report`` gets the cycles so far, from time to time.
    """
    dut.job.value = number
    dut.size.value = job["size"]
    dut.latency.value = job["latency"]
    dut.interval.value = job["interval"]
    if job["reset"]:
        await reset(dut)
    if job["reset_after"]:
        await start_job(dut, driver, job)
        await Timer(job["reset_after"] * PERIOD_NS, "ns")
        await reset(dut)
    if job["stop_after"]:
        await start_job(dut, driver, job)
        await Timer(job["stop_after"] * PERIOD_NS, "ns")
        await stop(dut, driver)
    await start_job(dut, driver, job)
    hung = not await interrupted(dut, job["cycle_limit"], report)
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


async def interrupted(
    dut: Any, cycle_limit: int, report: Callable[[int], None] | None = None
) -> bool:
    """Wait for the interrupt; False if it is long overdue. ``report`` gets the cycles so far."""
    done, chunk = 0, 256
    while dut.interrupt.value == 0 and done < cycle_limit + SLACK_CYCLES:
        begin = time.monotonic()
        await First(RisingEdge(dut.interrupt), Timer(chunk * PERIOD_NS, "ns"))
        done += chunk
        if time.monotonic() - begin < REPORT_SECONDS:
            chunk *= 2
            continue
        chunk = max(256, chunk // 2)
        if report is not None:
            report(done)
    await FallingEdge(dut.clk)
    return bool(dut.interrupt.value == 1)
