"""cocotb bench of ``axi_checker.v``: each broken rule is named, and good traffic is not."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

INPUTS = [
    "awaddr",
    "awlen",
    "awvalid",
    "wdata",
    "wstrb",
    "wlast",
    "wvalid",
    "bvalid",
    "araddr",
    "arlen",
    "arvalid",
    "rlast",
    "rvalid",
]
Cycle = dict[str, int]

READ: Cycle = {"arvalid": 1, "araddr": 0x100, "arlen": 3}
WRITE: Cycle = {"awvalid": 1, "awaddr": 0x200, "awlen": 1}
BEAT: Cycle = {"wvalid": 1, "wdata": 5, "wstrb": 0xFF}
LAST: Cycle = {**BEAT, "wlast": 1}
ANSWER: Cycle = {"bvalid": 1}
DATA: Cycle = {"rvalid": 1, "rlast": 1}

CASES: dict[str, tuple[int, list[Cycle]]] = {
    "good": (0, [READ, WRITE, BEAT, LAST, ANSWER, DATA]),
    "held": (
        0,
        [{**READ, "arready": 0}, READ, {}, {**LAST, "wready": 0}, LAST, {**WRITE, "awlen": 0}],
    ),
    "data first": (0, [BEAT, LAST, WRITE, LAST, {**WRITE, "awlen": 0}]),
    "AR fell": (1, [{**READ, "arready": 0}, {}]),
    "AW changed": (2, [{**WRITE, "awready": 0}, {**WRITE, "awlen": 0}]),
    "W changed": (3, [WRITE, {**BEAT, "wready": 0}, {**BEAT, "wdata": 6}]),
    "AR size": (4, [{**READ, "arsize": 2}]),
    "AW address": (5, [{**WRITE, "awaddr": 0x204}]),
    "AR 4 KiB": (6, [{**READ, "araddr": 0xFE8}]),
    "AW 4 KiB": (7, [{**WRITE, "awaddr": 0xFF8}]),
    "early last": (8, [WRITE, LAST]),
    "late last": (8, [WRITE, BEAT, BEAT]),
    "late last, data first": (8, [BEAT, BEAT, LAST, WRITE, {}]),
    "reads": (9, [READ, READ, READ]),
    "writes": (10, [WRITE, BEAT, LAST, WRITE, WRITE]),
}


@cocotb.test()
@cocotb.parametrize(name=list(CASES))
async def rule(dut: Any, name: str) -> None:
    """The traffic of a case gives its number."""
    expected, cycles = CASES[name]
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    for ready in ("awready", "wready", "bready", "arready", "rready"):
        getattr(dut, ready).value = 1
    dut.arsize.value = dut.awsize.value = 3
    dut.arburst.value = dut.awburst.value = 1
    for number, cycle in enumerate([{}, {}, *cycles, {}]):
        await FallingEdge(dut.clk)
        for port in INPUTS:
            getattr(dut, port).value = 0
        for port in ("awready", "wready", "arready"):
            getattr(dut, port).value = 1
        for port, value in cycle.items():
            getattr(dut, port).value = value
        dut.rst.value = int(number < 2)
    await FallingEdge(dut.clk)
    assert int(dut.violation.value) == expected
