"""Random programs with flipped bits: whether the machine does what the model says of each.

A legal random program gets one to three of its bits flipped, anywhere or in its semaphores. The
machine runs it twice, each time after a program that fills every bank with other noise, and then a
legal program. What the model accepts must give the model's result both times; what stops the
machine, the model must refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import CheckFailed, ProgramError, UnknownResult
from pulsarray.isa import Bank, Instruction, Opcode, encode_all
from pulsarray.model.run import run
from pulsarray.model.uses import depth
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_jobs
from pulsarray.sim.jobs import Job, Outcome, cycle_bound
from pulsarray.sim.random.programs import random_program

__all__ = ["Flip", "Verdict", "flipped_program", "judge", "noise_program"]

CYCLE_LIMIT = 60_000
"""Cycles after which the machine stops: many flipped programs never end."""
LONGEST = 10 * CYCLE_LIMIT
"""Bound on the cycles of a flipped program, so that the model takes seconds."""
PAGE = 4096


@dataclass(frozen=True)
class Flip:
    """A program with flipped bits, its seed, and what the model makes of it."""

    seed: int
    program: Program
    expected: RunResult | ProgramError

    @classmethod
    def draw(cls, config: Config, seed: int) -> Flip:
        """Draw a program and run the model."""
        return cls.of(seed, flipped_program(config, seed))

    @classmethod
    def of(cls, seed: int, program: Program) -> Flip:
        """Run the model on a program."""
        try:
            return cls(seed, program, run(program))
        except ProgramError as error:
            return cls(seed, program, error)


@dataclass(frozen=True)
class Verdict:
    """How model and machine ended, and what is wrong with that, if anything.

    ``ahead`` tells that the machine stopped by another error or on another instruction than the one
    that the model saw ahead of the run.
    """

    flip: Flip
    model: str
    machine: str
    ahead: bool
    wrong: str


def flipped_program(config: Config, seed: int) -> Program:
    """A legal random program with one to three flipped bits that does not take too long."""
    random = np.random.default_rng(seed)
    while True:
        length = int(random.integers(1, 25))
        program = random_program(config, int(random.integers(1 << 30)), length)
        places = _semaphore_bits(program) if random.random() < 0.3 else None
        flipped = _with_flips(program, random, places)
        if cycle_bound(flipped, 64, 1) <= LONGEST:
            return flipped


def _semaphore_bits(program: Program) -> list[int]:
    """Numbers of the bits of ``wait`` and ``signal`` of every instruction."""
    places, offset = [], 0
    for instruction in program.instructions[:-1]:
        places += [8 * offset + bit for bit in range(16, 48)]
        offset += instruction.format.bytes
    return places


def _with_flips(
    program: Program, random: np.random.Generator, places: Sequence[int] | None
) -> Program:
    code = np.frombuffer(program.code, np.uint8).copy()
    for _ in range(int(random.integers(1, 4))):
        bit = int(random.integers(8 * code.size) if places is None else random.choice(places))
        code[bit // 8] ^= 1 << bit % 8
    memory = program.memory.copy()
    memory[program.code_address : program.code_address + code.size] = code
    return replace(program, code=code.tobytes(), memory=memory)


def noise_program(config: Config, seed: int) -> Program:
    """A program that fills every bank, and the array's weights, with noise."""
    random = np.random.default_rng(seed)
    banks = [*range(config.scratchpad_banks)]
    banks += [Bank.ACCUMULATOR + number for number in range(config.accumulator_banks)]
    banks += [int(Bank.PARAMETER), *([int(Bank.TABLE)] if config.tables else [])]
    make = Instruction.make
    loads = [make(Opcode.LOAD, bank=bank, run=depth(bank, config, 0)) for bank in banks]
    last = make(Opcode.LOAD, bank=banks[-1], run=depth(banks[-1], config, 0), signal=3)
    code = encode_all([
        *loads[:-1], last,
        make(Opcode.WEIGHT, bank=0, row_stride=1, wait=1),
        make(Opcode.STREAM, source_bank=1, target_bank=Bank.ACCUMULATOR, inner=1, wait=2),
        make(Opcode.END),
    ])  # fmt: skip
    deepest = max(depth(bank, config, 0) for bank in banks) * config.acc_word_bytes
    start = -(-deepest // PAGE) * PAGE
    memory = random.integers(0, 256, start + -(-len(code) // PAGE) * PAGE, np.uint8)
    memory[start : start + len(code)] = np.frombuffer(code, np.uint8)
    return Program(
        config=config, code=code, code_address=start, memory=memory, tensors=[], layers=[],
        network=f"noise:{seed}",
    )  # fmt: skip


def judge(config: Config, flips: Sequence[Flip], simulator: str) -> list[Verdict]:
    """Run programs for a configuration in one simulator process, each after noise.

    Raises
    ------
    CheckFailed
        If the machine does not come to an end.
    """
    good = random_program(config, seed=5, length=30)
    expected = run(good)
    jobs = []
    for flip in flips:
        job = Job(program=flip.program, cycle_limit=CYCLE_LIMIT)
        noise = [Job(program=noise_program(config, 2 * flip.seed + half)) for half in range(2)]
        jobs += [noise[0], job, noise[1], job, Job(program=good)]
    outcomes = run_jobs(jobs, config, simulator)
    verdicts = []
    for number, flip in enumerate(flips):
        one, other, after = (outcomes[5 * number + place] for place in (1, 3, 4))
        wrong = _wrong(flip, one) or _wrong(flip, other) or _wrong_after(expected, after, good)
        said, ended = _said(flip.expected), _ended(one, other)
        verdicts.append(Verdict(flip, said, ended, _differs(flip, one), wrong))
    return verdicts


def _differs(flip: Flip, got: Outcome) -> bool:
    """Whether both stop, in different ways."""
    error = flip.expected
    if not isinstance(error, ProgramError) or isinstance(error, UnknownResult) or not got.error:
        return False
    return (error.code, error.index) != (got.error, got.error_index)


def _said(expected: RunResult | ProgramError) -> str:
    if isinstance(expected, RunResult):
        return "runs" if expected.cycles <= CYCLE_LIMIT else "runs for long"
    return "unknown result" if isinstance(expected, UnknownResult) else _code(expected.code)


def _code(code: int) -> str:
    return ErrorCode(code).name


def _ended(one: Outcome, other: Outcome) -> str:
    if one.error:
        return _code(one.error)
    same = np.array_equal(_memory(one), _memory(other))
    return "ends" if same else "ends, depends on noise"


def _memory(outcome: Outcome) -> npt.NDArray[np.uint8]:
    memory = outcome.result.memory
    assert memory is not None
    return memory


def _wrong(flip: Flip, got: Outcome) -> str:
    """What is wrong with a run of a flipped program."""
    expected = flip.expected
    if got.violation:
        return f"breaks rule {got.violation} of the protocol"
    if isinstance(expected, RunResult):
        if expected.cycles > CYCLE_LIMIT and got.error == ErrorCode.CYCLE_LIMIT:
            return ""
        if got.error:
            return f"the machine stops by {_code(got.error)} at {got.error_index}"
        return "; ".join(compare(expected, got.result, flip.program))
    if isinstance(expected, UnknownResult):
        return ""
    if not got.error:
        return f"the machine ends well; the model: {expected}"
    if expected.ahead or not _differs(flip, got):
        return ""
    return f"the machine stops by {_code(got.error)} at {got.error_index}; the model: {expected}"


def _wrong_after(expected: RunResult, got: Outcome, good: Program) -> str:
    try:
        differences = compare(expected, got.checked(), good)
    except (CheckFailed, ProgramError) as error:
        differences = [str(error)]
    return f"a good program afterwards: {'; '.join(differences)}" if differences else ""
