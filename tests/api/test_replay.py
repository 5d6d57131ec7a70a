"""Bursts of a run, and a DRAM's times, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pulsarray as pa
from pulsarray.errors import InputError
from pulsarray.isa import Opcode
from pulsarray.model.timing import simulate_timing
from pulsarray.model.transfers import traced
from pulsarray.report.dram import MEMORIES, Dram, load_memory
from pulsarray.report.events import transfer_bytes
from tests.cli.conftest import Command

DDR3 = load_memory("ddr3-1600")
ROW = DDR3.row_bytes
FOREVER = replace(DDR3, refresh_interval=1e8)
"""Without a refresh in any test."""


@pytest.mark.parametrize(("latency", "interval"), [(64, 1), (1, 3), (200, 2)])
def test_bursts_keep_to_the_memory_interface(latency: int, interval: int) -> None:
    """docs/machine.md, section 4: f[k] = max(a[k] + L, last[k-1] + I)."""
    program = pa.load("gemm:40x64x24").compile("base").program
    times = {"memory_latency": latency, "memory_interval": interval}
    result, transfers = traced(program, **times)
    plain = simulate_timing(program, **times)
    assert (result.counters, result.cycles) == (plain.counters, plain.cycles)
    assert np.array_equal(result.events, plain.events)
    last = -(1 << 40)
    for burst in (t for t in transfers if not t.write):
        beats = burst.size // program.config.bus_bytes
        assert burst.first == max(burst.asked + latency, last + interval)
        last = burst.first + (beats - 1) * interval
        assert burst.last == last
    for burst in (t for t in transfers if t.write):
        assert burst.last > burst.asked


def test_bursts_are_those_of_the_instructions() -> None:
    program = pa.load("mnist-mlp").compile("tiny", batch=3).program
    _, transfers = traced(program, memory_latency=20, memory_interval=1)
    config, code = program.config, program.instructions[:-1]  # without END
    moved = {
        op: sum(transfer_bytes(x, config) for x in code if x.op is op)
        for op in (Opcode.LOAD, Opcode.STORE)
    }
    written = [t for t in transfers if t.write]
    assert sum(t.size for t in written) == moved[Opcode.STORE]
    fetches = range(program.code_address, program.code_address + len(program.code))
    read = [t for t in transfers if not t.write and t.address not in fetches]
    assert sum(t.size for t in read) == moved[Opcode.LOAD]
    (output,) = program.with_role("output")
    assert {t.address for t in written} >= {output.address}
    weights = [t for t in program.tensors if t.role == "weight"]
    assert all(any(t.address == w.address for t in read) for w in weights)
    assert all(t.address // 4096 == (t.address + t.size - 1) // 4096 for t in transfers)


def test_rows_open_and_closed() -> None:
    dram = Dram(FOREVER)
    (miss,) = dram.request(0.0, 0, 64, write=False)
    assert miss.begin == pytest.approx(13.75 + 13.75)  # activate, CL
    assert miss.end - miss.begin == pytest.approx(4 * 5.0)  # four accesses of eight transfers
    (hit,) = dram.request(100.0, 64, 16, write=False)
    assert hit.begin == pytest.approx(100.0 + 13.75)
    (conflict,) = dram.request(200.0, ROW * DDR3.banks, 16, write=False)
    assert conflict.begin == pytest.approx(200.0 + 13.75 + 13.75 + 13.75)  # precharge too
    assert (dram.hits, dram.misses, dram.conflicts, dram.refreshes) == (1, 1, 1, 0)
    assert dram.busy == pytest.approx(30.0)


def test_row_is_not_closed_too_early() -> None:
    dram = Dram(FOREVER)
    dram.request(0.0, 0, 16, write=False)
    (conflict,) = dram.request(0.0, ROW * DDR3.banks, 16, write=False)
    assert conflict.begin == pytest.approx(35.0 + 13.75 + 13.75 + 13.75)  # tRAS first
    dram = Dram(FOREVER)
    (write,) = dram.request(0.0, 0, 16, write=True)
    (conflict,) = dram.request(0.0, ROW * DDR3.banks, 16, write=True)
    assert conflict.begin == pytest.approx(write.end + 13.75 + 13.75 + 13.75 + 10.0)  # tWR


def test_bus_turns_and_four_activates() -> None:
    dram = Dram(FOREVER)
    (write,) = dram.request(0.0, 0, 16, write=True)
    (read,) = dram.request(0.0, 16, 16, write=False)
    assert read.begin == pytest.approx(write.end + 7.5 + 13.75)  # tWTR, CL
    (write,) = dram.request(0.0, 32, 16, write=True)
    assert write.begin == pytest.approx(read.end + 2.5)  # two clocks
    dram = Dram(FOREVER)
    begins = [dram.request(0.0, bank * ROW, 16, write=False)[0].begin for bank in range(5)]
    assert np.diff(begins) == pytest.approx([6.0, 6.0, 6.0, 40.0 - 18.0])  # tRRD, then tFAW


def test_refresh_closes_rows() -> None:
    dram = Dram(DDR3)
    dram.request(0.0, 0, 16, write=False)
    (after,) = dram.request(7812.5, 16, 16, write=False)
    assert after.begin == pytest.approx(7812.5 + 13.75 + 200.0 + 13.75 + 13.75)
    assert (dram.misses, dram.refreshes) == (2, 1)
    dram.request(10 * 7812.5, 16, 16, write=False)
    assert dram.refreshes == 10


def test_request_over_rows() -> None:
    first, second = Dram(FOREVER).request(0.0, ROW - 32, 64, write=False)
    assert (first.size, second.size) == (32, 32)
    assert second.begin == first.end


def test_times_that_a_dram_keeps() -> None:
    compiled = pa.load("gemm:64x64x64").compile("base")
    data = compiled.replay("ddr3-1600", clock_mhz=100, memory_latency=2).to_dict()
    assert data["asked"]["late"] > 0
    assert data["asked"]["cycles"] == compiled.estimate(memory_latency=2).cycles
    kept = data["sufficient"]
    assert (kept["late"], kept["lateness_ns"]) == (0, 0.0)
    assert kept["cycles"] == compiled.estimate(memory_latency=kept["latency"]).cycles
    one_less = compiled.replay(clock_mhz=100, memory_latency=kept["latency"] - 1).to_dict()
    assert one_less["asked"]["late"] > 0
    assert 0 < kept["bus_share"] < 1
    assert kept["latency"] >= 4  # activate, CL and the first access take 32.5 ns


def test_a_slow_dram_takes_longer_beats() -> None:
    compiled = pa.load("gemm:32x32x32").compile("base")
    kept = compiled.replay("ddr3-1600", clock_mhz=400).to_dict()["sufficient"]
    assert kept["interval"] == 2  # 16 bytes each 2.5 ns are twice what it moves
    assert compiled.replay("ddr3-1600", clock_mhz=400).cycles == kept["cycles"]


def test_command(command: Command) -> None:
    done = command("estimate", "gemm:16x16x16", "-c", "tiny", "--memory", "ddr4-2400", "--json")
    data = json.loads(done.out)
    assert data["replay"]["memory"] == load_memory("ddr4-2400").name
    assert data["report"]["cycles"] == data["replay"]["asked"]["cycles"]
    shown = command("estimate", "gemm:16x16x16", "-c", "tiny", "--memory", "ddr3-1600").out
    assert "replay" in shown
    assert "kept by the DRAM" in shown
    assert MEMORIES == ("ddr3-1600", "ddr4-2400")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name must be a text, not None"),
        ("speed = 3", "unknown entry 'speed'"),
        ("name =", "nor a readable TOML file"),
        ("bus_bits", "bus_bits must be a positive int, not 0.5"),
        ("banks", "banks must be a power of two, not 3"),
        ("refresh", "refresh must be a positive float, not -1"),
    ],
)
def test_memories_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.toml"
    values = {"bus_bits": 0.5, "banks": 3, "refresh": -1}
    if text in values:
        fields = {**vars(DDR3), text: values[text]}
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_memory(path)
    assert message in str(error.value)


def test_clock_wrong() -> None:
    with pytest.raises(InputError, match="clock: must be megahertz above 0"):
        pa.load("gemm:4x4x4").compile("tiny").replay(clock_mhz=0)
