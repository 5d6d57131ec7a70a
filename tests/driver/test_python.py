"""The driver in Python on a simulated machine, and on files in place of a board's devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.config import PRESETS, Config
from pulsarray.driver.accelerator import Accelerator
from pulsarray.driver.mapped import DevMem, Uio
from pulsarray.driver.pynq import Pynq
from pulsarray.errors import CheckFailed, InputError, ProgramError, ToolMissing
from pulsarray.isa import Instruction, Opcode, encode_all
from pulsarray.program import Program
from pulsarray.registers import REGISTERS, ErrorCode
from pulsarray.sim.bus import SimulatedBus
from pulsarray.sim.device import run_model
from pulsarray.zoo.networks import built_in
from tests.driver.conftest import BASE, Simulated

ADDRESSES = {register.name: register.address for register in REGISTERS}


def test_runs_equal_the_model(simulated: Simulated, product: Program) -> None:
    bus = simulated()
    machine = Accelerator(bus)
    assert machine.config() == product.config
    machine.load(product)
    first = product.with_role("input")[0]
    expected = run_model(product)
    for _ in range(2):
        assert machine.run() == expected.counters
        assert np.array_equal(bus.memory, expected.memory)
    other = np.arange(first.rows * first.columns).reshape(first.rows, first.columns)
    machine.write(first.name, other)
    machine.run()
    assert np.array_equal(machine.read(first.name), other)
    assert not np.array_equal(bus.memory, expected.memory)


def test_several_inputs_and_outputs(simulated: Simulated, several: Program) -> None:
    machine = Accelerator(simulated(size=several.memory.size))
    machine.load(several)
    assert machine.run() == run_model(several).counters
    before = machine.read("scores")
    machine.write("b", -machine.read("b").clip(-127))
    machine.run()
    assert not np.array_equal(machine.read("scores"), before)
    assert np.array_equal(machine.read("scores"), machine.read("answer"))
    assert machine.read("first").shape == (1, 4)
    with pytest.raises(InputError, match="no tensor 'c'; it has a, b, first, scores, answer"):
        machine.write("c", np.zeros((1, 3)))


def program_of(config: Config, *instructions: Instruction) -> Program:
    code = encode_all([*instructions, Instruction.make(Opcode.END)])
    memory = np.zeros(4096, np.uint8)
    memory[: len(code)] = np.frombuffer(code, np.uint8)
    return Program(config=config, code=code, code_address=0, memory=memory, tensors=[], layers=[])


def test_errors_of_programs(simulated: Simulated, small: Config, product: Program) -> None:
    machine = Accelerator(simulated())
    machine.load(program_of(small, Instruction.make(Opcode.LOAD, bank=99, run=1)))
    with pytest.raises(ProgramError, match="hardware: stopped by BAD_FIELD at instruction 0"):
        machine.run()
    machine.load(program_of(small, Instruction.make(Opcode.LOAD, wait=1, run=1)))
    with pytest.raises(CheckFailed, match="driver: no end after 0 seconds; stopped"):
        machine.run(seconds=0)
    with pytest.raises(ProgramError) as caught:
        machine.run(cycle_limit=500)
    assert caught.value.code == ErrorCode.CYCLE_LIMIT
    machine.load(product)
    assert machine.run() == run_model(product).counters


def test_wrong_hardware(simulated: Simulated, small: Config, product: Program) -> None:
    bus = simulated()
    machine = Accelerator(bus)
    other = replace(product, config=replace(small, queue_depth=5))
    with pytest.raises(InputError, match=f"for configuration {other.config.fingerprint}, the hard"):
        machine.load(other)
    with pytest.raises(InputError, match="driver: no program loaded"):
        machine.run()
    bus.base_address = 100
    with pytest.raises(InputError, match=r"begins at 0x64, no multiple of 4096"):
        machine.load(product)
    bus.base_address = 0xFFFF_F000
    with pytest.raises(InputError, match="beyond the 32 bits of the hardware's addresses"):
        machine.load(product)
    bus.base_address = 0x1_0000_0000
    with pytest.raises(InputError, match="beyond the 32 bits of the hardware's addresses"):
        machine.load(product)
    bus.memory = bus.memory[:4096]
    with pytest.raises(InputError, match=r"needs [0-9,]+ bytes, the buffer has 4,096"):
        machine.load(product)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A file with what the first registers hold and, a page on, zeros; and a u-dma-buf of it."""
    words = np.zeros(2048, "<u4")
    words[[0, 1]] = 0x534C5550, 2
    (tmp_path / "mem").write_bytes(words.tobytes())
    folder = tmp_path / "sys" / "udmabuf0"
    folder.mkdir(parents=True)
    for name, text in (("size", "4096"), ("phys_addr", "0x30000000")):
        (folder / name).write_text(text)
    (tmp_path / "udmabuf0").write_bytes(bytes(4096))
    return tmp_path


def test_dev_mem(devices: Path) -> None:
    bus = DevMem(0, 4096, 4096, devices / "mem")
    Accelerator(bus)
    assert bus.base_address == 4096
    bus.write(ADDRESSES["CYCLE_LIMIT"], 0xABCD1234)
    bus.memory[7] = 5
    assert bus.wait(1.0)
    bus.write(ADDRESSES["STATUS"], 1)
    assert not bus.wait(0.01)
    data = (devices / "mem").read_bytes()
    assert data[ADDRESSES["CYCLE_LIMIT"] :][:4] == bytes.fromhex("3412cdab")
    assert data[4096 + 7] == 5
    (devices / "mem").write_bytes(bytes(8192))
    with pytest.raises(InputError, match="ID reads 0x00000000, not 0x534c5550: no Pulsarray"):
        Accelerator(DevMem(0, 4096, 4096, devices / "mem"))
    with pytest.raises(InputError, match="cannot open: No such file or directory"):
        DevMem(0, 0, 4096, devices / "none")


def test_uio(devices: Path) -> None:
    folder = devices / "sys" / "udmabuf0"
    bus = Uio(devices / "mem", folder, devices)
    assert (bus.base_address, bus.memory.size) == (0x3000_0000, 4096)
    bus.memory[3] = 9
    bus.to_device()
    bus.from_device()
    assert (devices / "udmabuf0").read_bytes()[3] == 9
    assert {name: (folder / name).read_text() for name in ("sync_for_device", "sync_for_cpu")} == {
        "sync_for_device": "1",
        "sync_for_cpu": "1",
    }
    with pytest.raises(InputError, match="size: cannot read"):
        Uio(devices / "mem", devices / "sys" / "udmabuf7", devices)


def test_pynq_is_missing() -> None:
    with pytest.raises(ToolMissing, match="the package pynq is missing"):
        Pynq(0x4000_0000, 4096)


@pytest.mark.slow
def test_demo_network() -> None:
    config = PRESETS["small"]
    network, samples = built_in("mnist-mlp")
    program = compiler.compile(network, config, batch=4, calibration=samples, name="mnist-mlp")
    with SimulatedBus(config, "verilator", program.memory.size, BASE) as bus:
        machine = Accelerator(bus)
        machine.load(program)
        expected = run_model(program)
        assert machine.run() == expected.counters
        assert np.array_equal(bus.memory, expected.memory)
