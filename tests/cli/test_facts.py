"""Verbs that print facts: info, doctor, generate, compile, disasm, estimate, --help, --version."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pulsarray import __version__
from pulsarray.cli import doctor
from pulsarray.config import PRESETS, load_config
from pulsarray.handoff.registers import register_map
from pulsarray.hw.emit import machine_text
from pulsarray.isa import Opcode, parse
from pulsarray.program import Program
from pulsarray.registers import COUNTERS, REGISTERS
from pulsarray.report.schema import check_report
from pulsarray.sim.tools import TOOLS
from tests.cli.conftest import Command, complaints

VERBS = (
    "generate",
    "compile",
    "check",
    "simulate",
    "estimate",
    "compare",
    "synth",
    "export",
    "disasm",
    "info",
    "doctor",
)


def test_version(command: Command) -> None:
    assert command("--version").out == f"pulsarray {__version__}\n"


def test_help_lists_every_verb(command: Command) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = command(*arguments)
        assert done.code == 0
        assert all(verb in done.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_and_the_same_options(command: Command, verb: str) -> None:
    text = command(verb, "--help").out
    assert "For example:" in text
    assert f"pulsarray {verb}" in text
    assert all(option in text for option in ("--config", "--set", "--json"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["info"], ["estimate", "gemm:4x4x4", "--config", "tiny"], ["simulate", "--help"]],
)
def test_simulation_packages_are_not_loaded_where_not_needed(arguments: list[str]) -> None:
    code = (
        "import sys; from pulsarray.cli.main import run; "
        f"code = run({arguments!r}); "
        "sys.exit(code or any(name in sys.modules for name in ('amaranth', 'cocotb')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_info(command: Command) -> None:
    data = json.loads(command("info", "--config", "base", "--json").out)
    assert data["config"] == PRESETS["base"].to_dict()
    assert data["derived"]["scratchpad_bytes"] == 256 * 1024
    assert data["derived"]["accumulator_bytes"] == 64 * 1024
    text = command("info", "--config", "base").out
    assert "262,144" in text
    assert "queue_depth" in text


def test_set_and_file_work_together(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('preset = "tiny"\noutstanding = 3\n')
    done = command("info", "-c", path, "--set", "dim=3", "--set", "trace=false", "--json")
    config = json.loads(done.out)["config"]
    assert (config["dim"], config["outstanding"], config["trace"]) == (3, 3, False)


def test_doctor(command: Command) -> None:
    done = command("doctor", "--json", "--config", "tiny")
    tools = {tool["name"]: tool for tool in json.loads(done.out)["tools"]}
    assert {"python", "iverilog", "g++", "verilator", "cocotb"} <= tools.keys()
    assert tools["python"]["version"].startswith("3.")
    missing = [name for name, tool in tools.items() if not tool["version"] and not tool["optional"]]
    assert done.code == (3 if missing else 0)


def test_doctor_says_how_to_get_what_is_missing(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("doctor")
    assert done.code == 3
    assert "apt-get install iverilog" in done.err
    assert len(complaints(done.err)) == 1


def test_doctor_without_what_is_optional(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(TOOLS[-1], package="no-such-package", try_out=_fails)
    monkeypatch.setattr(doctor, "TOOLS", [lacking])
    done = command("doctor")
    assert done.code == 0
    assert "missing: apt-get install no-such-package" in done.out


def _fails(_: Path) -> str:
    raise FileNotFoundError


def test_doctor_on_a_package_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cocotbext.axi", None)
    versions = {finding.name: finding.version for finding in doctor.findings()}
    assert versions["cocotbext-axi"] == ""
    assert versions["cocotb"]


def test_doctor_on_a_program_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "iverilog"
    broken.write_text("not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    by_name = {finding.name: finding for finding in doctor.findings()}
    assert by_name["iverilog"].version == ""


def test_compile_prints_facts(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "p.pulse"
    done = command(
        "compile", "gemm:6x9x5", "-c", "tiny", "-o", path, "--sums", "--seed", 7, "--json"
    )
    data = json.loads(done.out)
    program = Program.load(path, PRESETS["tiny"])
    assert data["instructions"] == len(program.instructions)
    assert data["macs"] == 6 * 9 * 5
    assert data["outputs"][0]["shape"] == [6, 5]
    assert data["outputs"][0]["element"] == "sum"


def test_disasm_is_the_program(command: Command, gemm: Path) -> None:
    program = Program.load(gemm)
    lines = [line for line in command("disasm", gemm).out.splitlines() if not line.startswith(";")]
    assert len(lines) == len(program.instructions)
    for line, instruction in zip(lines, program.instructions, strict=True):
        assert parse(line[line.index(instruction.op.name) :]) == instruction


def test_disasm_as_json(command: Command, gemm: Path) -> None:
    code = json.loads(command("disasm", gemm, "--json").out)["code"]
    assert code[-1]["op"] == Opcode.END.name
    assert [row["index"] for row in code] == list(range(len(code)))
    assert {row["op"] for row in code} >= {"LOAD", "WEIGHT", "STREAM", "VECTOR", "STORE"}


def test_estimate(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    done = command("estimate", "gemm:6x9x5", "-c", "tiny", "--json", "--report", path)
    report = json.loads(done.out)
    check_report(report)
    assert report == json.loads(path.read_text())
    assert report["source"] == "model"
    assert report["macs"] == 6 * 9 * 5
    slower = json.loads(
        command("estimate", "gemm:6x9x5", "-c", "tiny", "--json", "--memory-latency", 164).out
    )
    assert slower["cycles"] > report["cycles"] + 100
    text = command("estimate", "gemm:6x9x5", "-c", "tiny").out
    assert f"{report['cycles']:,} cycles" in text


def test_generate(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "rtl"
    done = command("generate", "-c", "tiny", "--set", "dim=2", "--set", "bus_bits=16", "-o", folder)
    assert done.code == 0, done.err
    assert "module pulsarray(" in (folder / "pulsarray.v").read_text()
    config = load_config(str(folder / "pulsarray.toml"))
    assert config.dim == 2
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["fingerprint"] == config.fingerprint
    lines = (folder / "pulsarray.v").read_text().count("\n")
    assert manifest["files"]["pulsarray.v"]["lines"] == lines
    assert json.loads((folder / "registers.json").read_text()) == register_map()


def test_generate_plain(command: Command, tmp_path: Path) -> None:
    done = command("generate", "-c", "tiny", "--plain", "-o", tmp_path)
    assert done.code == 0, done.err
    plain = machine_text(load_config("tiny"))
    text = (tmp_path / "pulsarray.v").read_text()
    text = text.replace("\n  /* verilator no_inline_module */", "")
    assert all(module in text for module in plain.modules)


def test_register_map_is_whole() -> None:
    data = register_map()
    assert [row["name"] for row in data["registers"]] == [register.name for register in REGISTERS]
    assert list(data["counters"]) == list(COUNTERS)
    assert data["errors"]["PORT_CONFLICT"] == 4
