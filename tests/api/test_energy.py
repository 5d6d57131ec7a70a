"""Energy: events counted by hand, times a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import pulsarray as pa
from pulsarray.errors import InputError
from pulsarray.isa import Instruction, Opcode
from pulsarray.report.energy import events_of
from pulsarray.report.energy_table import ENERGY_TABLES, load_table
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
    energies = load_table()
    assert energies.of("multiply", 8) == 0.2
    assert energies.of("multiply", 32) == pytest.approx(3.1)
    assert energies.of("sram", 32768) == pytest.approx(20.0)
    assert energies.of("sram", 16384) == pytest.approx(10 * 2**0.5)
    assert 0.2 < energies.of("multiply", 16) < 3.1
    assert "ISSCC 2014" in energies.source
    assert load_table("horowitz45") is energies


def test_tables_of_other_technologies() -> None:
    assert ENERGY_TABLES == ("horowitz45", "jouppi7", "stillmaker22")
    old, scaled, new = (load_table(name) for name in ("horowitz45", "stillmaker22", "jouppi7"))
    assert new.of("multiply", 8) + new.of("add", 32) == pytest.approx(0.10)
    assert new.of("sram", 32768) == pytest.approx(8.5)
    assert "ISCA 2021" in new.source

    def gate(volt: float, square: float, linear: float, rest: float) -> float:
        return square * volt**2 + linear * volt + rest

    before = gate(0.9, 1.103, -0.362, 0.2767)
    nm32, nm20 = gate(0.8, 0.9559, -0.7823, 0.471), gate(0.8, 0.373, -0.1582, 0.04104)
    factor = (nm20 + (nm32 - nm20) * (22 - 20) / (32 - 20)) / before
    for event, size in (("multiply", 8), ("add", 18), ("sram", 4096)):
        assert scaled.of(event, size) / old.of(event, size) == pytest.approx(factor, rel=1e-3)
    assert scaled.of("dram", 64) == old.of("dram", 64)


def test_label_tells_tables_of_one_name_apart(tmp_path: Path) -> None:
    first = load_table(table(tmp_path / "a.toml", sram=1.0))
    second = load_table(table(tmp_path / "b.toml", sram=2.0))
    assert first.name == second.name
    assert first.label != second.label
    assert first.label == load_table(table(tmp_path / "c.toml", sram=1.0)).label


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
    energy = pa.load("mnist-mlp").compile("tiny", batch=3, effort=0).energy()
    data = energy.to_dict()
    assert energy.total == pytest.approx(sum(data["parts_uj"].values()))
    assert energy.total == pytest.approx(sum(data["units_uj"].values()))
    assert list(energy.units["unit"]) == ["load", "weight", "stream", "vector", "store", "fetch"]
    assert data["units_uj"]["fetch"] == data["parts_uj"]["program"]
    layers = sum(row["uj"] for row in data["layers_uj"])
    assert layers == pytest.approx(energy.total - data["parts_uj"]["program"])
    assert list(energy.layers["name"]) == ["fc1", "fc2", "fc3"]


def test_report_has_the_estimate(tmp_path: Path) -> None:
    compiled = pa.load("gemm:16x16x16").compile("tiny")
    report = compiled.estimate(energy_table="jouppi7")
    assert report["energy_estimate"] == compiled.energy("jouppi7").to_dict()
    assert report.energy.total == compiled.energy("jouppi7").total
    report.save(tmp_path / "r.json")
    assert pa.Report.load(tmp_path / "r.json").energy.total == report.energy.total


def test_report_of_an_earlier_release(tmp_path: Path) -> None:
    plain = pa.load("gemm:4x4x4").estimate("tiny").to_dict()
    del plain["energy_estimate"]
    (tmp_path / "r.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match="of an earlier release"):
        _ = pa.Report.load(tmp_path / "r.json").energy


def test_compare(command: Command, tmp_path: Path) -> None:
    files = [tmp_path / "45.json", tmp_path / "7.json"]
    for path, name in zip(files, ("horowitz45", "jouppi7"), strict=True):
        command(
            *("estimate", "gemm:16x16x16", "-c", "tiny", "--energy-table", name),
            *("--report", path),
        )
    data = json.loads(command("compare", *files, "--json").out)
    rows = {row["figure"]: row["values"] for row in data["figures"]}
    estimates = [pa.Report.load(path)["energy_estimate"] for path in files]
    assert rows["energy, estimated (uJ)"] == [estimate["total_uj"] for estimate in estimates]
    for name in ("array", "program"):
        values = [estimate["parts_uj"][name] for estimate in estimates]
        assert rows[f"energy estimate {name}"] == values
    (layer,) = estimates[0]["layers_uj"]
    assert rows[f"energy estimate of layer {layer['name']}"][0] == layer["uj"]
    assert rows["cycles"][0] == rows["cycles"][1]
    assert data["differs"] == {"energy table": ["Horowitz 45 nm", "Jouppi 7 nm"]}


def test_info(command: Command, tmp_path: Path) -> None:
    path = table(tmp_path / "e.toml", multiply=2.0, sram=3.0, dram=4.0)
    done = command("info", "-c", "tiny", "--energy-table", path, "--json")
    pj = json.loads(done.out)["energy_estimate"]["pj"]
    assert pj["product"] == pytest.approx(2.0)
    assert pj["scratchpad_word"] == pytest.approx(3.0 * 32 / 64)
    assert pj["accumulator_word"] == pytest.approx(3.0 * 128 / 64)
    assert pj["memory_byte"] == pytest.approx(0.5)
    assert "Energy of events, estimated" in command("info", "-c", "tiny").out


def test_training_step(command: Command) -> None:
    done = command("estimate", "xor", "--training", "--energy-table", "jouppi7", "--json")
    step = json.loads(done.out)["step"]["energy_estimate"]
    assert step["table"] == "Jouppi 7 nm"
    assert step["total_uj"] == pytest.approx(sum(step["units_uj"].values()))


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
    assert row["energy_table"] == load_table(path).label
    parts = [float(row[f"energy_{part}_uj"]) for part in data["energy"]["parts_uj"]]
    assert parts == pytest.approx(list(data["energy"]["parts_uj"].values()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 3", "name must be a text, not 3"),
        ('name = "a"\nsource = "b"\n', "multiply: needs picojoule by size"),
        ('name = "a"\nsource = "b"\nclock = 1\n', "unknown entry 'clock'"),
        ('name = "a"\nsource = "b"\n[multiply]\n8 = -1\n', "must be positive picojoule by size"),
        ("name =", "nor a readable TOML file"),
        (
            'name = "a"\nsource = "b"\nscaled = "x"\nfactor = 1\n',
            "scaled must be one of horowitz45",
        ),
        ('name = "a"\nsource = "b"\nscaled = "jouppi7"\n', "factor must be a positive number"),
        (
            'name = "a"\nsource = "b"\nscaled = "jouppi7"\nfactor = 2\ndram = 1\n',
            "unknown entry 'dram'",
        ),
    ],
)
def test_tables_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_table(path)
    assert message in str(error.value)
