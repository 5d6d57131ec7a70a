"""check: a program is accepted or refused without being run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pulsarray.isa import Opcode, encode_all
from pulsarray.program import Program
from tests.cli.conftest import Command


def without_waits(path: Path, folder: Path) -> Path:
    """The program with no STORE that waits."""
    program, code = Program.load(path), b""
    for instruction in program.instructions:
        values = list(instruction.values)
        if instruction.op is Opcode.STORE:
            values[instruction.format.index["wait"]] = 0
        code += encode_all([replace(instruction, values=tuple(values))])
    program.memory[program.code_address :][: len(code)] = np.frombuffer(code, np.uint8)
    result = folder / "racing.pulse"
    replace(program, code=code).save(result)
    return result


def test_compiled_program_is_accepted(command: Command, gemm: Path) -> None:
    done = command("check", gemm)
    assert (done.code, done.out) == (0, f"{gemm}: in order\n")
    assert json.loads(command("check", gemm, "--json").out) == {"accepted": True}


def test_race_is_refused(command: Command, gemm: Path, tmp_path: Path) -> None:
    racing = without_waits(gemm, tmp_path)
    done = command("check", racing)
    assert (done.code, done.out) == (1, "")
    assert f"check: {racing}: instruction " in done.err
    assert "no semaphore makes STORE wait until that VECTOR" in done.err
    facts = json.loads(command("check", racing, "--json").out)
    index = facts["instruction"]
    assert Program.load(racing).instructions[index].op is Opcode.STORE
    assert (facts["accepted"], facts["reason"]) == (False, "UNKNOWN_RESULT")
    assert command("simulate", racing).code == 2
