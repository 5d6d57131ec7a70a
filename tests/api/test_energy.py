"""Energy: events counted by hand, times a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import pulsarray as pa
from pulsarray.errors import InputError
from pulsarray.isa import Instruction, Opcode
from pulsarray.report.energy import default_table, events_of, load_table
from tests.cli.conftest import Command

CONFIG = pa.PRESETS["tiny"]  # D = 4, banks of 512 words of 32 bits, sums of 128 words of 128 bits


def table(path: Path, multiply: float = 0.0, sram: float = 0.0, dram: float = 0.0) -> Path:
    """Energies that are the same at every size; what is not asked for costs next to nothing."""
    tiny = 1e-12
    path.write_text(
        'name = "test"\nsource = "made up"\n'
        f"[multiply]\n8 = {multiply or tiny}\n[add]\n8 = {tiny}\n"
        f"[sram]\n64 = {sram or tiny}\n[dram]\n64 = {dram or tiny}\n"
    )
    return path


def test_the_table_of_45_nm() -> None:
    energies = default_table()
    assert energies.of("multiply", 8) == 0.2
    assert energies.of("multiply", 32) == pytest.approx(3.1)
    assert energies.of("sram", 32768) == pytest.approx(20.0)
    assert energies.of("sram", 16384) == pytest.approx(10 * 2**0.5)
    assert 0.2 < energies.of("multiply", 16) < 3.1
    assert "ISSCC 2014" in energies.source


def test_events_of_instructions() -> None:
    stream = Instruction.make(Opcode.STREAM, count3=5, count4=7, target_bank=0x40)
    assert list(events_of(stream, CONFIG)) == [
        ("array", "multiply", 8, 35 * 16),
        ("array", "add", 18, 35 * 16),
        ("banks", "sram", 512 * 4, 35 * 32 / 64),
        ("banks", "sram", 128 * 16, 35 * 128 / 64),
    ]
    accumulating = Instruction.make(Opcode.STREAM, count4=7, target_bank=0x40, flags=4)
    assert list(events_of(accumulating, CONFIG))[3] == ("banks", "sram", 128 * 16, 2 * 7 * 2)
    fresh = Instruction.make(Opcode.STREAM, count3=5, count4=7, target_bank=0x40, fresh=0b1000)
    assert list(events_of(fresh, CONFIG))[3][3] == (35 + 28) * 2
    load = Instruction.make(Opcode.LOAD, count0=3, run=10)
    assert list(events_of(load, CONFIG)) == [
        ("banks", "sram", 512 * 4, 30 * 32 / 64),
        ("memory", "dram", 64, 30 * 4 / 8),
    ]


def test_products_and_memory_of_a_program(tmp_path: Path) -> None:
    compiled = pa.load("gemm:32x32x32").compile("tiny")
    report = compiled.estimate()
    busy = report["units"]["stream"]["busy"]
    only = compiled.energy(table(tmp_path / "m.toml", multiply=1.0)).to_dict()
    assert only["parts_uj"]["array"] * 1e6 == pytest.approx(busy * 16)
    only = compiled.energy(table(tmp_path / "d.toml", dram=1.0)).to_dict()
    moved = report["bytes_read"] + report["bytes_written"]
    assert only["total_uj"] * 1e6 == pytest.approx(moved / 8)


def test_parts_and_layers_sum_up() -> None:
    energy = pa.load("mnist-mlp").compile("tiny", batch=3).energy()
    data = energy.to_dict()
    assert energy.total == pytest.approx(sum(data["parts_uj"].values()))
    layers = sum(row["uj"] for row in data["layers_uj"])
    assert layers == pytest.approx(energy.total - data["parts_uj"]["program"])
    assert list(energy.layers["name"]) == ["fc1", "fc2", "fc3"]


def test_command(command: Command, tmp_path: Path) -> None:
    done = command("estimate", "gemm:8x8x8", "-c", "tiny", "--energy")
    assert "Energy, estimated: " in done.out
    assert "Horowitz 45 nm" in done.out
    path = table(tmp_path / "e.toml", multiply=1.0)
    data = json.loads(
        command("estimate", "gemm:8x8x8", "-c", "tiny", "--energy-table", path, "--json").out
    )
    assert data["energy"]["table"] == "test"
    assert data["report"]["cycles"] == pa.load("gemm:8x8x8").estimate("tiny").cycles
    output = tmp_path / "r.csv"
    command(
        *("sweep", "gemm:8x8x8", "-c", "tiny", "--workers", 1, "-o", output),
        *("--energy-table", path),
    )
    with output.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["energy_uj"]) == pytest.approx(data["energy"]["total_uj"])
    assert row["energy_table"] == "test"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 3", "name must be a text, not 3"),
        ('name = "a"\nsource = "b"\n', "multiply: needs picojoule by size"),
        ('name = "a"\nsource = "b"\nclock = 1\n', "unknown entry 'clock'"),
        ('name = "a"\nsource = "b"\n[multiply]\n8 = -1\n', "must be positive picojoule by size"),
        ("name =", "not a readable TOML file"),
    ],
)
def test_tables_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_table(path)
    assert message in str(error.value)
