"""Memory macros of a process take the place of described memories; a stub is tried."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pulsarray.cli.main import run
from pulsarray.errors import InputError
from pulsarray.handoff.macros import load_macros, with_macros
from tests.handoff.conftest import SMALLEST

NAMES = {
    "clk": "CLK",
    "write_enable": "~WEB",
    "write_address": "AW",
    "write_data": "D",
    "read_enable": "REN",
    "read_address": "AR",
    "read_data": "Q",
}
PORTS = "{" + ", ".join(f'{role} = "{port}"' for role, port in NAMES.items()) + "}"
SRAM = f"""\
[[macro]]
module = "sram_512x12"
rows = 512
bits = 12
ports = {PORTS}
ties = {{ TEST = 0 }}

[[macro]]
module = "sram_128x64"
rows = 128
bits = 64
ports = {PORTS}
"""
MEMORY = """\
module memory1r1w_{bits}_512(input clk, write_enable, read_enable,
  input [8:0] write_address, read_address,
  input [{top}:0] write_data, output reg [{top}:0] read_data);
  reg [{top}:0] rows [0:511];
endmodule
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "srams.toml"
    path.write_text(SRAM)
    return path


@pytest.mark.slow
def test_machine_of_macros_runs(table: Path, tmp_path: Path) -> None:
    """Its testbench compares all of a run, with macros whose rows begin as X."""
    folder = tmp_path / "machine"
    assert run(["generate", *SMALLEST, "--macros", str(table), "-o", str(folder)]) == 0
    verilog = (folder / "pulsarray.v").read_text()
    assert set(re.findall(r"^  (sram\w+) column", verilog, re.M)) == {"sram_512x12", "sram_128x64"}
    assert not re.search(r"rows \[0:(511|127)\]", verilog)
    done = subprocess.run(
        ["make", "icarus"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout


def test_macros_side_by_side(table: Path) -> None:
    macros = load_macros(table)[:1]
    text = with_macros(MEMORY.format(bits=30, top=29), macros)
    assert text == (
        "module memory1r1w_30_512(input clk, write_enable, read_enable,\n"
        "  input [8:0] write_address, read_address,\n"
        "  input [29:0] write_data, output [29:0] read_data);\n"
        + "".join(
            f"  wire [11:0] column{n}_data;\n"
            f"  sram_512x12 column{n} (.CLK(clk), .WEB(~write_enable), .AW(write_address), "
            f".D({data}), .REN(read_enable), .AR(read_address), .Q(column{n}_data), .TEST(0));\n"
            f"  assign read_data[{place}] = column{n}_data[{kept}:0];\n"
            for n, data, place, kept in (
                (0, "write_data[11:0]", "11:0", 11),
                (1, "write_data[23:12]", "23:12", 11),
                (2, "{6'd0, write_data[29:24]}", "29:24", 5),
            )
        )
        + "endmodule\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[macro]]", "[[macros]]", r"must be \[\[macro\]\] entries and nothing else"),
        ("rows = 512", "row = 512", r"macro 1: unknown key 'row'; did you mean 'rows'\?"),
        ("rows = 512\n", "", r"macro 1: rows missing"),
        ("rows = 512", "rows = 1", r"macro 1: rows must be a number from 2 on, not 1"),
        ("bits = 12", "bits = true", r"macro 1: bits must be a number from 1 on, not True"),
        ('clk = "CLK", ', "", r"macro 1: ports must name clk, write_enable, .*, each once"),
        ('"CLK"', '"~CLK"', r"macro 1: clk is no name in Verilog: '~CLK'"),
        ('"sram_512x12"', '"sram 1"', r"macro 1: module is no name in Verilog: 'sram 1'"),
        ("TEST = 0", "TEST = -1", r"macro 1: TEST must be tied to a number, not -1"),
        ("TEST = 0", "TEST = ", r"cannot read .*srams.toml: Invalid value"),
    ],
)
def test_table_wrong(table: Path, old: str, new: str, message: str) -> None:
    table.write_text(SRAM.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_macros(table)


def test_macro_of_no_memory(table: Path) -> None:
    verilog = MEMORY.format(bits=30, top=29)
    with pytest.raises(
        InputError, match=r"sram_128x64: the machine has no memory of 128 rows; .*: 512 x 30"
    ):
        with_macros(verilog, load_macros(table))
