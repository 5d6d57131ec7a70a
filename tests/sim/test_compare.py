"""Comparison of runs: identical ones, and the first difference of each kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pulsarray.config import Config
from pulsarray.errors import CheckFailed
from pulsarray.isa import Instruction, Opcode, encode_all
from pulsarray.program import Program, Tensor
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare, place_of, require_identical

CONFIG = Config(dim=3, bus_bits=32)
PROGRAM = Program(
    config=CONFIG,
    code=encode_all([Instruction.make(Opcode.LOAD, run=5), Instruction.make(Opcode.END)]),
    code_address=0,
    memory=np.zeros(4096, np.uint8),
    tensors=[
        Tensor(name="x", role="input", address=64, rows=4, columns=5),
        Tensor(name="y", role="output", address=128, rows=2, columns=3, element="sum"),
    ],
    layers=[],
)
RUN = RunResult(
    source="model",
    counters={"cycles": 90, "load_busy": 7},
    events=np.array([[0, 70, 71, 88]]),
    memory=np.zeros(4096, np.uint8),
    memory_latency=64,
    memory_interval=1,
)


def altered(byte: int) -> RunResult:
    memory = np.zeros(4096, np.uint8)
    memory[byte] = 0x1F
    return replace(RUN, source="icarus", memory=memory)


def test_identical() -> None:
    assert compare(RUN, replace(RUN, source="icarus"), PROGRAM) == []


def test_values() -> None:
    assert compare(RUN, altered(64 + 4 * 4 + 4 + 1), PROGRAM) == [
        "values: 1 bytes differ, first at 0x55, x[1, 4] byte 0: expected 0x00, got 0x1f from icarus"
    ]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (67, "at 0x43, padding of x[0], block 0, lane 3, byte 0"),
        (64 + 16 + 2, "at 0x52, padding of x[0], block 1, lane 2, byte 0"),
        (128 + 16 + 9, "at 0x99, y[1, 2] byte 1"),
        (4000, "at 0xfa0, in no tensor"),
    ],
)
def test_place(address: int, place: str) -> None:
    assert place_of(address, PROGRAM) == place


def test_events_and_counters() -> None:
    got = replace(
        RUN,
        source="verilator",
        counters={"cycles": 91, "load_busy": 8},
        events=np.array([[0, 70, 72, 89]]),
    )
    assert compare(RUN, got, PROGRAM) == [
        "cycles: expected 90, got 91 from verilator",
        "counters: 2 differ, first cycles: expected 90, got 91 from verilator",
        "events: 2 differ, first start of instruction 0 (LOAD run=5): "
        "expected cycle 71, got 72 from verilator",
    ]


def test_require_identical() -> None:
    require_identical(RUN, RUN, PROGRAM)
    with pytest.raises(CheckFailed, match="first at 0x0, in no tensor"):
        require_identical(RUN, altered(0), PROGRAM)
