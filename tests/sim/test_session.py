"""Devices that keep one simulator process alive between their runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config
from pulsarray.errors import CheckFailed, InputError, ProgramError, UnknownResult
from pulsarray.isa import Bank, Instruction, Opcode, encode_all
from pulsarray.model.functional import execute
from pulsarray.program import Program, Tensor
from pulsarray.registers import ErrorCode
from pulsarray.sim.compare import compare
from pulsarray.sim.device import PLACES, Device, run_model
from pulsarray.sim.jobs import Job
from pulsarray.sim.pages import PAGE_BYTES, all_pages, apply_pages, changed_pages, pack_pages
from pulsarray.sim.prepared import Prepared
from pulsarray.sim.served import Served
from pulsarray.sim.session import Session
from pulsarray.sim.toolchain import SIMULATORS

CONFIG = Config(
    dim=2, bus_bits=8, burst_beats=32, scratchpad_depth=64, accumulator_depth=32, parameter_depth=4
)
M, K, N = 5, 3, 4
make = Instruction.make


def extended(program: Program) -> Program:
    """The program with a page more, which holds the tensor ``copy``."""
    x = program.tensor("x")
    copy = replace(x, name="copy", address=program.memory.size)
    memory = np.concatenate([program.memory, np.zeros(2 * PAGE_BYTES, np.uint8)])
    return replace(program, memory=memory, tensors=[*program.tensors, copy])


def second(program: Program, *, stored: int | None = None) -> tuple[Program, Program]:
    """The program, and one in its last page that copies x; they share one memory image."""
    x, copy = program.tensor("x"), program.tensor("copy")
    words = x.bytes(CONFIG) // CONFIG.word_bytes
    bank = int(Bank.SCRATCHPAD)
    stored = copy.address if stored is None else stored
    code = encode_all(
        [
            make(Opcode.LOAD, bank=bank, run=words, address=x.address, signal=1),
            make(Opcode.STORE, bank=bank, run=words, address=stored, wait=1),
            make(Opcode.END),
        ]
    )
    memory = program.memory.copy()
    first = memory.size - PAGE_BYTES
    memory[first : first + len(code)] = np.frombuffer(code, np.uint8)
    both = replace(program, memory=memory)
    return both, replace(both, code=code, code_address=first)


@pytest.fixture(scope="module")
def program() -> Program:
    return extended(compile_gemm(M, K, N, CONFIG, seed=3, effort=0))


@pytest.fixture(scope="module", params=SIMULATORS)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with Device(request.param, check=True) as opened:
        yield opened


def codes(seed: int, tensor: Tensor) -> npt.NDArray[np.int64]:
    shape = (tensor.rows, tensor.columns)
    return np.random.default_rng(seed).integers(-128, 128, shape)


def test_changed_inputs(program: Program, device: Device) -> None:
    device.load(program)
    memory = program.memory
    for seed in range(4):
        changed = codes(seed, program.tensor("x"))
        device.write("x", changed)
        result = device.run()
        with Device("model") as model:
            model.load(replace(program, memory=memory))
            model.write("x", changed)
            expected = model.run()
            assert np.array_equal(device.read("y"), model.read("y"))
        assert compare(expected, result, program) == []
        assert device.counters() == dict(expected.counters)
        assert device.result is result
        memory = result.memory
        assert memory is not None


def test_two_programs_on_one_memory(program: Program, device: Device) -> None:
    product, copy = second(program)
    device.load(product)
    for seed in (5, 6):
        changed = codes(seed, product.tensor("x"))
        device.write("x", changed)
        y = device.run() and device.read("y")
        short = device.run(copy)
        assert np.array_equal(device.read("copy"), changed)
        assert np.array_equal(device.read("y"), y)
        assert short.cycles < device.run().cycles


def test_usable_after_an_error(program: Program, device: Device) -> None:
    product, beyond = second(program, stored=program.memory.size)
    device.load(product)
    device.run()
    expected = device.read("y")
    with pytest.raises(ProgramError) as caught:
        device.run(beyond)
    assert caught.value.code == ErrorCode.AXI_WRITE
    assert np.array_equal(device.read("y"), expected)
    device.write("y", np.zeros((M, N)))
    device.run()
    assert np.array_equal(device.read("y"), expected)


def test_an_unknown_result_is_not_compared(program: Program, device: Device) -> None:
    """The machine ends well, but what it stores nobody has loaded."""
    store = make(Opcode.STORE, run=1, address=program.tensor("y").address)
    code = encode_all([store, make(Opcode.END)])
    memory = program.memory.copy()
    memory[program.code_address :][: len(code)] = np.frombuffer(code, np.uint8)
    device.load(replace(program, code=code, memory=memory))
    with pytest.raises(UnknownResult, match="reads word 0 of SCRATCHPAD0"):
        device.run()
    device.load(program)
    device.run()


def test_a_difference_is_found(
    program: Program, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.load(program)
    before = device.read("y")
    run, place = Prepared.run, program.tensor("y").address

    def altered(self: Prepared, memory: npt.NDArray[np.uint8]) -> object:
        result = run(self, memory)
        assert result.memory is not None
        result.memory[place] ^= 1
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "run", altered)
        with pytest.raises(CheckFailed, match=r"1 bytes differ, first .* y\[0, 0\] byte 0"):
            device.run()
    assert np.array_equal(device.read("y"), before)
    device.run()


def test_an_interrupt(program: Program, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.load(program)
    expected = device.run()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Served, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            device.run()
    device.load(program)
    assert compare(expected, device.run(), program) == []


def runs(number: int) -> bool:
    """Whether there is such a process; this process has waited for all that ended."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_close_ends_the_process(program: Program, simulator: str) -> None:
    session = Session(CONFIG, simulator, program.memory.size)
    assert session.serves(CONFIG, program.memory.size)
    assert not session.serves(CONFIG, program.memory.size + PAGE_BYTES)
    assert runs(session.process_id)
    session.close()
    session.close()
    assert not runs(session.process_id)
    assert not session.serves(CONFIG, program.memory.size)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_simulator_that_dies(program: Program, simulator: str) -> None:
    session = Session(CONFIG, simulator, program.memory.size)
    os.kill(session.process_id, 9)
    with pytest.raises(CheckFailed, match=f"{simulator}: .* ended early"):
        session.run(Job(program=program))
    assert not runs(session.process_id)


CALLER = """
import os, pathlib, sys
from pulsarray.program import Program
from pulsarray.sim.jobs import Job
from pulsarray.sim.served import Served
from pulsarray.sim.session import Session
program = Program.load(pathlib.Path(sys.argv[1]))
session = Session(program.config, sys.argv[2], program.memory.size)
session.run(Job(program=program))
print(session.process_id, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_killed_caller(program: Program, simulator: str, tmp_path: Path) -> None:
    program.save(tmp_path / "p.pulse")
    line = [sys.executable, "-c", CALLER, str(tmp_path / "p.pulse"), simulator]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9
    number = int(done.stdout)
    end = time.monotonic() + 20
    while not ended(number) and time.monotonic() < end:
        time.sleep(0.05)
    assert ended(number)
    assert not list(tmp_path.glob("pulsarray-session-*"))


def ended(number: int) -> bool:
    """Whether a process has gone, or waits only for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_values_alone(program: Program) -> None:
    with Device("model", timing=False) as device:
        device.load(program)
        result = device.run()
    expected = execute(program)
    assert result.memory is not None
    assert np.array_equal(result.memory, expected)
    assert result.counters == {}
    assert len(result.events) == 0


def test_time_is_the_same_in_every_run(program: Program) -> None:
    """What a device works out once is what the model works out for other data."""
    with Device("model", memory_latency=9, memory_interval=2) as device:
        device.load(program)
        device.run()
        device.write("x", codes(9, program.tensor("x")))
        device.run()
    fresh = run_model(program, memory_latency=9, memory_interval=2)
    assert compare(replace(fresh, memory=None), device.result, program) == []


@pytest.mark.parametrize("on", PLACES)
def test_what_is_refused(program: Program, on: str) -> None:
    product, copy = second(program)
    with Device(on) as device:
        with pytest.raises(InputError, match="no program loaded"):
            device.run()
        device.load(program)
        with pytest.raises(InputError, match="no run yet"):
            device.counters()
        with pytest.raises(InputError, match="does not hold the program's code"):
            device.run(copy)
        with pytest.raises(InputError, match=r"memory has .* bytes, the program needs"):
            device.run(replace(product, memory=product.memory[:PAGE_BYTES]))
        other = replace(CONFIG, outstanding=4)
        with pytest.raises(InputError, match="configuration"):
            device.run(replace(product, config=other))


@pytest.mark.parametrize("beat", [1, 2, 8, 32])
def test_pages(beat: int) -> None:
    rng = np.random.default_rng(beat)
    old = rng.integers(0, 256, 3 * PAGE_BYTES, np.uint8)
    new = old.copy()
    new[PAGE_BYTES + 5] ^= 1
    assert changed_pages(old, new) == [1]
    assert changed_pages(old, old) == []
    packed = pack_pages(new, [1], beat)
    assert packed[:4] == bytes([0, 0, 0, 1])
    assert packed[4:][:beat] == new[PAGE_BYTES : PAGE_BYTES + beat].tobytes()[::-1]
    written = np.zeros((PAGE_BYTES // beat, max(4, beat)), np.uint8)
    written[:, :beat] = new[PAGE_BYTES : 2 * PAGE_BYTES].reshape(-1, beat)
    apply_pages(bytes([1, 0, 0, 0]) + written.tobytes(), old, beat)
    assert np.array_equal(old, new)


def test_a_memory_that_ends_within_a_page() -> None:
    memory = np.arange(PAGE_BYTES + 64).astype(np.uint8)
    assert list(all_pages(memory)) == [0, 1]
    apply_pages(bytes([1, 0, 0, 0]) + bytes([7]) * PAGE_BYTES, memory, 8)
    assert memory.size == PAGE_BYTES + 64
    assert set(memory[PAGE_BYTES:]) == {7}
