"""The Verilog writer: shared modules once, plain Verilog 2005, no lint warnings."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import pulsarray
from pulsarray.config import load_config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.emit import emit, generate
from pulsarray.hw.naming import names_from_source
from pulsarray.hw.units.array import Array
from pulsarray.hw.units.transposer import Transposer
from pulsarray.sim.toolchain import lint

BLOCKS = {
    "array": lambda: Array(3, 8, 18),
    "transposer": lambda: Transposer(3, 8),
    "addressing": lambda: AddressGenerator(3, 2, window=True),
    "memory": lambda: Memory1R1W(24, 12),
}


class Inverter(Shared):
    """Shared logic without a clock."""

    def __init__(self, bits: int) -> None:
        super().__init__({"value": In(bits), "inverse": Out(bits)}, bits=bits)

    def body(self, platform: Any) -> Elaboratable:
        m = Module()
        m.d.comb += self.inverse.eq(~self.value)
        return m


class Pairs(wiring.Component):
    """Two inverters of one width and one of another, and two memories of one size."""

    def __init__(self) -> None:
        super().__init__({"value": In(8), "inverse": Out(8), "word": Out(8)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.first = first = Inverter(8)
        m.submodules.second = second = Inverter(8)
        m.submodules.narrow = narrow = Inverter(4)
        m.submodules.rows = rows = Memory1R1W(8, 1000)
        m.submodules.more_rows = more_rows = Memory1R1W(8, 1000)
        m.d.comb += [
            first.value.eq(self.value),
            second.value.eq(first.inverse),
            narrow.value.eq(second.inverse),
            self.inverse.eq(second.inverse ^ narrow.inverse),
            rows.read_enable.eq(1),
            rows.read_address.eq(self.value),
            more_rows.read_enable.eq(1),
            more_rows.read_address.eq(rows.read_data),
            self.word.eq(more_rows.read_data),
        ]
        return m


@pytest.fixture(scope="module")
def pairs() -> str:
    return emit(Pairs(), "pairs")


def modules(verilog: str) -> list[str]:
    return [line.split()[1].split("(")[0] for line in verilog.splitlines() if line[:7] == "module "]


def test_each_variant_once(pairs: str) -> None:
    assert sorted(modules(pairs)) == ["inverter_4", "inverter_8", "memory1r1w_8_1000", "pairs"]
    assert pairs.count("  inverter_8 ") == 2


def test_ports_that_are_needed(pairs: str) -> None:
    inverter = pairs[pairs.index("module inverter_8(") :].partition("endmodule")[0]
    assert "clk" not in inverter
    assert ".rst(" not in pairs


def test_memory_cleared_by_a_loop(pairs: str) -> None:
    assert len(pairs.splitlines()) < 100
    assert "for (row = 0; row <= 999; row = row + 1)" in pairs


def test_same_text_every_time(pairs: str) -> None:
    assert emit(Pairs(), "pairs") == pairs


def test_rows_of_the_array() -> None:
    verilog = emit(Array(5, 8, 19), "array")
    assert sorted(modules(verilog)) == ["array", "array_row_5_8_19", "processing_element_8_19"]
    row = verilog[verilog.index("module array_row_5_8_19(") :]
    assert row.partition(");\n")[2].startswith("  /* verilator no_inline_module */\n")
    assert verilog.count("no_inline_module") == 1


def test_size_of_the_array() -> None:
    assert len(emit(Array(16, 8, 20), "array").splitlines()) < 400


@pytest.mark.parametrize("name", BLOCKS)
def test_verilog_2005(name: str, tmp_path: Path) -> None:
    source = tmp_path / "block.v"
    source.write_text(emit(BLOCKS[name](), name), encoding="utf-8")
    assert "always @*" not in source.read_text(encoding="utf-8")
    result = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-o", str(tmp_path / "out"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", BLOCKS)
def test_no_lint_warnings(name: str, tmp_path: Path) -> None:
    source = tmp_path / "block.v"
    source.write_text(emit(BLOCKS[name](), name), encoding="utf-8")
    assert lint([source], name) == []


ODD_NAMES = """\
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Odd(wiring.Component):
    def __init__(self):
        super().__init__({"a": In(8), "q": Out(8)})
        self._first, self.second = Signal(8), Signal(8)

    def elaborate(self, platform):
        m = Module()
        used = Signal(8); third, fourth = Signal(8), Signal(8)
        fifth: object = Signal(8)
        m.d.sync += [used.eq(self.a), third.eq(used * self._first), fourth.eq(third * used)]
        m.d.sync += [fifth.eq(fourth * used), self._first.eq(used), self.second.eq(fifth * third)]
        m.d.comb += self.q.eq(self.second * used)
        return m


def make():
    return Odd()
"""


def test_names_are_those_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "odd_names.py"
    path.write_text(ODD_NAMES, encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "odd_names"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)
    with names_from_source():
        component = scope["make"]()
    registers = set(re.findall(r"(\w+) <=", emit(component, "odd")))
    assert registers == {"_first", "second", "used", "third", "fourth", "fifth"}


_HASH = """\
import hashlib
from pulsarray.config import load_config
from pulsarray.hw.emit import generate
print(hashlib.sha256(generate(load_config("tiny")).encode()).hexdigest())
"""


def _hash_in_a_new_process(python: str, *options: str, seed: str = "0") -> str:
    """SHA-256 of the Verilog of ``tiny``, or what went wrong; the packages are this Python's."""
    packages = [str(Path(pulsarray.__file__).parents[1]), sysconfig.get_path("purelib")]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(packages),
    }
    result = subprocess.run(
        [python, *options, "-c", _HASH],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or result.stderr


def test_same_text_under_any_hash_seed() -> None:
    first, second = (_hash_in_a_new_process(sys.executable, seed=seed) for seed in "12")
    assert len(first) == 64
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_same_text_under_any_python(python: str) -> None:
    if not shutil.which(python) or subprocess.run([python, "-V"], check=False).returncode:
        pytest.skip(f"no {python}")
    text = generate(load_config("tiny"))
    assert _hash_in_a_new_process(python) == hashlib.sha256(text.encode()).hexdigest()


def test_source_positions_are_needed() -> None:
    message = _hash_in_a_new_process(sys.executable, "-X", "no_debug_ranges")
    assert "PYTHONNODEBUGRANGES" in message.splitlines()[-1]
