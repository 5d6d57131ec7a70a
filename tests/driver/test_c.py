"""The driver in C, compiled for this machine, on a simulated machine through pipes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.config import PRESETS, Config
from pulsarray.driver.bus import Bus
from pulsarray.handoff.images import c_source
from pulsarray.handoff.registers import c_header
from pulsarray.program import Program
from pulsarray.sim.bus import SimulatedBus
from pulsarray.sim.device import run_model
from pulsarray.zoo.networks import built_in
from tests.driver.conftest import BASE, Simulated

HERE = Path(__file__).parent
DRIVER = HERE.parents[1] / "driver/c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def built(folder: Path, program: Program) -> Path:
    """The host with a program, as an executable."""
    (folder / "net.c").write_text(c_source(program, program.memory, "net"))
    (folder / "pulsarray_registers.h").write_text(c_header(program.config))
    sources = [str(HERE / "host.c"), str(DRIVER / "pulsarray.c"), str(folder / "net.c")]
    includes = [f"-I{DRIVER}", f"-I{folder}"]
    line = ["gcc", "-std=c99", "-O1", *includes, *sources, "-o", str(folder / "host")]
    subprocess.run(line, check=True)
    return folder / "host"


def ran(
    host: Path, bus: Bus, size: int, base: int | None = None, looks: int = 99
) -> tuple[int, list[str]]:
    """Exit code of the host, and its lines but for accesses, which go to the bus."""
    file = host.with_name("buffer")
    address = bus.base_address if base is None else base
    arguments = [str(host), str(file), str(address), str(size), str(looks)]
    lines = []
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            what, *numbers = line.split()
            if what in ("output", "cycles", "failed"):
                lines.append(line.strip())
                continue
            print(access(bus, file, what, *map(int, numbers)), file=process.stdin, flush=True)
    return process.returncode, lines


def access(bus: Bus, file: Path, what: str, address: int, value: int) -> int:
    """Do on the bus what the host asks for."""
    if what == "read":
        return bus.read(address)
    if what == "write":
        bus.write(address, value)
    elif what == "wait":
        bus.wait(0)
    elif what == "to_device":
        data = np.frombuffer(file.read_bytes(), np.uint8)
        bus.memory[: data.size] = data
        bus.to_device()
    else:
        bus.from_device()
        file.write_bytes(bus.memory.tobytes())
    return 0


def expected_lines(program: Program) -> list[str]:
    """Outputs and cycles as the model gives them."""
    from pulsarray.program import unpack

    result = run_model(program)
    assert result.memory is not None
    values = [
        int(value)
        for tensor in program.with_role("output")
        for value in unpack(result.memory, tensor, program.config).reshape(-1)
    ]
    return [*(f"output {value}" for value in values), f"cycles {result.cycles}"]


def test_driver_is_strict_freestanding_c99(tmp_path: Path, small: Config) -> None:
    (tmp_path / "pulsarray_registers.h").write_text(c_header(small))
    line = ["gcc", *STRICT, "-ffreestanding", "-c", str(DRIVER / "pulsarray.c"), f"-I{tmp_path}"]
    done = subprocess.run(
        [*line, "-o", str(tmp_path / "pulsarray.o")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    needs = ["nm", "-u", str(tmp_path / "pulsarray.o")]
    wanted = subprocess.run(needs, capture_output=True, text=True, check=True).stdout.split()
    assert set(wanted) - {"U"} <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"}


def test_runs_equal_the_model(simulated: Simulated, product: Program, tmp_path: Path) -> None:
    bus = simulated()
    code, lines = ran(built(tmp_path, product), bus, product.memory.size)
    assert (code, lines) == (0, expected_lines(product))
    assert np.array_equal(bus.memory, run_model(product).memory)


def test_several_inputs_and_outputs(simulated: Simulated, several: Program, tmp_path: Path) -> None:
    bus = simulated(size=several.memory.size)
    code, lines = ran(built(tmp_path, several), bus, several.memory.size)
    assert (code, lines) == (0, expected_lines(several))
    assert len(lines) == 4 + 3 + 3 + 1


def test_refusals(simulated: Simulated, product: Program, small: Config, tmp_path: Path) -> None:
    bus, size = simulated(), product.memory.size
    host = built(tmp_path, product)
    for arguments, complaint in (
        ((size, BASE + 4), "the buffer does not begin at a multiple of 4096"),
        ((size, 0xFFFF_F000), "the buffer ends beyond the hardware's addresses"),
        ((size, 1 << 33), "the buffer ends beyond the hardware's addresses"),
        ((4096, BASE), "the buffer is smaller than the program's memory"),
        ((size, BASE, 0), "no end in time; the machine was stopped"),
    ):
        assert ran(host, bus, *arguments) == (1, [f"failed {complaint}"])
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    other = built(wrong, replace(product, config=replace(small, queue_depth=5)))
    complaint = "failed the program is for another configuration than the hardware"
    assert ran(other, bus, size) == (1, [complaint])


@pytest.mark.slow
def test_demo_network(tmp_path: Path) -> None:
    config = PRESETS["small"]
    network, samples = built_in("mnist-mlp")
    program = compiler.compile(network, config, batch=4, calibration=samples, name="mnist-mlp")
    with SimulatedBus(config, "verilator", program.memory.size, BASE) as bus:
        code, lines = ran(built(tmp_path, program), bus, program.memory.size)
    assert (code, lines) == (0, expected_lines(program))
