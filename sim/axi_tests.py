"""The cocotb bench of ``axi_top.v``: runs every job of the folder given by ``+folder=``."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotbext.axi import AxiBus, AxiRam

from pulsarray.sim.driver import RegisterDriver
from pulsarray.sim.machine_tests import PERIOD_NS, interrupted, reset

_LONGEST_PAUSE = 40


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Each job in turn on one memory, with back-pressure of its own seed."""
    folder = Path(str(cocotb.plusargs["folder"]))
    jobs = json.loads((folder / "jobs.json").read_text(encoding="ascii"))
    dut.rst.value = 1
    driver = RegisterDriver(dut)
    Clock(dut.clk, PERIOD_NS, "ns", impl="gpi").start()
    size = 1 << max(job["size"] for job in jobs).bit_length()
    for name in ("awready", "wready", "bvalid", "arready", "rvalid"):
        getattr(dut, f"m_axi_{name}").value = 0
    await reset(dut)
    bus = AxiBus.from_prefix(dut, "m_axi")
    memory = AxiRam(bus, dut.clk, dut.rst, size=size)
    for number, job in enumerate(jobs):
        await reset(dut)
        _set_pauses(memory, random.Random(job["seed"]), job["pause"])
        memory.write(0, (folder / f"{number}.in").read_bytes())
        state = await _run_job(dut, driver, job)
        (folder / f"{number}.out").write_bytes(memory.read(0, job["size"]))
        (folder / f"{number}.json").write_text(json.dumps(state), encoding="ascii")


def _set_pauses(memory: AxiRam, rng: random.Random, share: float) -> None:
    write, read = memory.write_if, memory.read_if
    for channel in (
        write.aw_channel,
        write.w_channel,
        write.b_channel,
        read.ar_channel,
        read.r_channel,
    ):
        channel.set_pause_generator(_pauses(random.Random(rng.random()), share))


def _pauses(rng: random.Random, share: float) -> Iterator[bool]:
    """Whether the channel pauses, cycle after cycle: single cycles and now and then long waits."""
    while True:
        length = rng.randint(2, _LONGEST_PAUSE) if rng.random() < 0.02 else 1
        paused = rng.random() < share
        for _ in range(length):
            yield paused


async def _run_job(dut: Any, driver: RegisterDriver, job: dict[str, Any]) -> dict[str, Any]:
    await driver.start(job["program_address"], job["program_units"], job["cycle_limit"])
    hung = not await interrupted(dut, job["cycle_limit"])
    state = {
        "hung": hung,
        "error_code": await driver.read("ERROR_CODE"),
        "error_index": await driver.read("ERROR_INDEX"),
        "violation": int(dut.violation.value),
    }
    await driver.clear()
    return state
