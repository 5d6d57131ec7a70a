"""cocotb tests for the toolchain's own test: one that passes, one that fails when asked."""

from __future__ import annotations

import os
from typing import Any

import cocotb
from cocotb.triggers import Timer


@cocotb.test()
async def doubles(dut: Any) -> None:
    dut.value.value = 21
    await Timer(1, unit="ns")
    expected = int(os.environ.get("EXPECTED", "42"))
    got = int(dut.result.value)
    assert got == expected, f"expected {expected}, got {got}"
