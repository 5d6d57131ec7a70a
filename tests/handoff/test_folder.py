"""The folder stands by itself: its testbench, its lists, its registers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pulsarray.cli.main import run
from pulsarray.config import load_config
from pulsarray.files import cache_folder
from pulsarray.hw.ports import machine_ports
from pulsarray.registers import COUNTERS, REGISTERS, ErrorCode, counter_address
from pulsarray.sim import toolchain, verilator
from tests.handoff.conftest import SMALLEST, Make


def test_make_compares_all_of_a_run(make: Make) -> None:
    done = make("icarus")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^PASS: \d+ bytes of memory and {len(COUNTERS)} counters", done.stdout, re.M)


@pytest.mark.slow
def test_make_under_verilator(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.require("verilator")
    root = verilator.private_root(cache_folder(), toolchain._version("verilator") or "")
    monkeypatch.setenv("VERILATOR_ROOT", str(root))
    done = make("verilator", f"VERILATOR={root}/bin/verilator_bin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("expected.hex", 7, "memory at 0x0000000e: "),
        ("run.hex", 8, "counter cycles: "),
        ("run.hex", 0, "FAIL: the program is for another configuration"),
    ],
)
def test_make_sees_what_is_wrong(
    make: Make, folder: Path, tmp_path: Path, file: str, line: int, complaint: str
) -> None:
    program = tmp_path / "program"
    shutil.copytree(folder / "sim/program", program)
    lines = (program / file).read_text().splitlines()
    lines[line] = f"{int(lines[line].partition(' ')[0], 16) ^ 1:x}"
    (program / file).write_text("\n".join(lines))
    done = make("icarus", f"PROGRAM={program}")
    assert done.returncode != 0
    assert complaint in done.stdout
    assert "FAIL" in done.stdout


def test_make_without_a_simulator(make: Make) -> None:
    done = make("-B", "icarus", "IVERILOG=no-such-program")
    assert done.returncode != 0
    assert "no-such-program not found: install Icarus Verilog" in done.stderr


def test_exported_program_runs(make: Make, folder: Path, tmp_path: Path) -> None:
    program, machine = tmp_path / "gemm.pulse", str(folder / "pulsarray.toml")
    assert run(["compile", "gemm:5x3x4", "-c", machine, "-o", str(program)]) == 0
    exported = ["--hex", "--memory-latency", "9", "-o", str(tmp_path / "gemm")]
    assert run(["export", str(program), *exported]) == 0
    done = make("icarus", f"PROGRAM={tmp_path / 'gemm'}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifest_and_lists_name_files_that_are_there(folder: Path) -> None:
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert listed.keys() >= {name for name in there - {"manifest.json"} if "build/" not in name}
    in_core = re.findall(
        r"^ +- ([\w./]+\.(?:v|hex))", (folder / "pulsarray.core").read_text(), re.M
    )
    assert len(in_core) == 9
    assert set(in_core) <= there


def test_ports_are_those_of_the_verilog(folder: Path) -> None:
    config = load_config(str(folder / "pulsarray.toml"))
    text = (folder / "pulsarray.v").read_text()
    declared, now = {}, ("", 1)
    for item in text.partition("module pulsarray(")[2].partition(");")[0].split(","):
        words = item.partition("=")[0].replace("reg ", "").split()
        if words[0] in ("input", "output"):
            now = (words[0], int(words[1][1:].partition(":")[0]) + 1 if len(words) > 2 else 1)
        declared[words[-1]] = now
    ports = machine_ports(config)
    assert {port.name: (port.direction, port.width) for port in ports} == declared
    readme = (folder / "README.md").read_text()
    assert all(f"| `{port.name}` | {port.direction} | {port.width} |" in readme for port in ports)


def test_c_header_has_every_register(folder: Path) -> None:
    header = folder / "registers/pulsarray_registers.h"
    line = ["gcc", "-std=c99", "-Werror", "-dM", "-E", str(header)]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    macros = dict(re.findall(r"^#define PULSARRAY_(\w+) (\w+)$", text, re.M))
    values = {name: int(value.removesuffix("u"), 0) for name, value in macros.items()}
    config = load_config(str(folder / "pulsarray.toml"))
    assert {r.name: values[f"REGISTER_{r.name}"] for r in REGISTERS} == {
        r.name: r.address for r in REGISTERS
    }
    assert [values[f"COUNTER_{name.upper()}"] for name in COUNTERS] == [
        counter_address(name) for name in COUNTERS
    ]
    assert all(values[f"ERROR_{code.name}"] == code for code in ErrorCode)
    fingerprint = values["FINGERPRINT_HIGH"] << 32 | values["FINGERPRINT_LOW"]
    assert f"{fingerprint:016x}" == config.fingerprint
    assert values["CONFIG_DIM"] == 2


def test_system_rdl_is_read_by_a_compiler_of_it(folder: Path) -> None:
    systemrdl = pytest.importorskip("systemrdl")
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(folder / "registers/pulsarray.rdl"))
    by_name = {r.inst_name: r for r in compiler.elaborate().top.registers()}
    for register in REGISTERS:
        entry = by_name[register.name]
        assert entry.absolute_address == register.address
        assert entry.has_sw_writable == register.writable
        if register.bits:
            places = {field.inst_name: 1 << field.low for field in entry.fields()}
            assert places == {bit.name: bit.value for bit in register.bits}
    assert len(by_name) == len(REGISTERS) + len(COUNTERS)
    assert (folder / "registers/html/index.html").is_file()
    assert (folder / "registers/pulsarray.ipxact.xml").is_file()


def test_machine_without_counters_has_one(tmp_path: Path) -> None:
    path = tmp_path / "machine"
    assert run(["generate", *SMALLEST, "--set", "counters=false", "-o", str(path)]) == 0
    done = subprocess.run(["make", "icarus"], cwd=path, capture_output=True, text=True, check=False)
    assert "and 1 counters as expected" in done.stdout, done.stdout + done.stderr
    assert (path / "registers/pulsarray.rdl").read_text().count("performance counter") == 1


OPTIONS = {
    "usual": [],
    "other": ["reset=active-high", "reset_style=asynchronous", "address_bits=64", "id_bits=5"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_wrapper_for_vendors_runs_the_same(tmp_path: Path, options: list[str]) -> None:
    """The simulation top with the wrapper in the machine's place: no warning, the same result."""
    path = tmp_path / "machine"
    chosen = [text for option in options for text in ("--interface", option)]
    assert run(["generate", *SMALLEST, "--set", "trace=false", *chosen, "-o", str(path)]) == 0
    reset = ".areset(rst)" if options else ".aresetn(!rst)"
    text = (path / "sim/top.v").read_text()
    swapped = text.replace("    pulsarray machine (", "    pulsarray_axi machine (").replace(
        ".clk(clk), .rst(rst), .interrupt(interrupt),\n        .m_axi",
        f".aclk(clk), {reset}, .interrupt(interrupt),\n        .m_axi",
    )
    assert swapped.count("aclk") == 1
    (path / "sim/top.v").write_text(swapped)
    done = subprocess.run(
        ["make", "icarus", "SOURCES=sim/testbench.v sim/top.v sim/memory.v sim/axi_checker.v "
         "pulsarray.v pulsarray_axi.v"], cwd=path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "PASS" in done.stdout, done.stdout + done.stderr
    wrapped = (path / "pulsarray_axi.v").read_text()
    assert wrapped.count("X_INTERFACE_INFO") == wrapped.count("input wire") + wrapped.count(
        "output wire"
    )
    assert ("output wire [63:0] m_axi_awaddr" in wrapped) == bool(options)


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("reset", "--interface: expected key=value, not 'reset'"),
        ("rest=active-low", "--interface: unknown option 'rest'; known: reset, reset_style"),
        ("reset=low", "--interface: reset must be active-low or active-high, not 'low'"),
        ("address_bits=48", "--interface: address_bits must be 32 or 64, not 48"),
        ("id_bits=0", "--interface: id_bits must be 1 to 16, not 0"),
        ("cache=full", "--interface: cache must be 0 to 15, not 'full'"),
    ],
)
def test_interface_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, complaint: str
) -> None:
    arguments = ["generate", *SMALLEST, "--interface", option, "-o", str(tmp_path / "machine")]
    assert run(arguments) == 2
    assert complaint in capsys.readouterr().err
