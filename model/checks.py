"""What would stop the machine, found without running a program: each instruction by itself."""

from __future__ import annotations

from collections.abc import Sequence

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES, Config
from pulsarray.errors import InputError, ProgramError
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode, ScaleAction, StreamFlag, Unit
from pulsarray.model.addresses import (
    memory_addresses,
    parameter_rows,
    stream_inside,
    stream_words,
    transfer_words,
    vector_words,
    weight_inside,
    weight_words,
    word_size,
)
from pulsarray.model.fields import wrong_fields
from pulsarray.model.loops import Nest
from pulsarray.model.plan import bits
from pulsarray.model.vector import PARAMETER_FLAGS
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["check"]


def check(program: Program, memory_bytes: int) -> Sequence[Instruction]:
    """Check every instruction before END.

    Semaphores: who waits for each, and whether one that nobody waits for overflows; the others'
    counts depend on time.

    Parameters
    ----------
    program
        The program.
    memory_bytes
        Size of memory.

    Returns
    -------
    The instructions before END.

    Raises
    ------
    ProgramError
        Of the first instruction that the machine would stop on, with its index and text, the
        field, the rule and the value.
    """
    instructions = _instructions(program)
    for index, instruction in enumerate(instructions):
        for field, rule in wrong_fields(instruction, program.config):
            text = f"{field} must be {rule}, not {instruction[field]}"
            raise _error(ErrorCode.BAD_FIELD, index, instruction, text)
        _check_words(index, instruction, program.config)
        if instruction.op in (Opcode.LOAD, Opcode.STORE):
            _check_memory(index, instruction, memory_bytes, program.config)
    _check_semaphores(instructions)
    return instructions


def _error(code: ErrorCode, index: int, instruction: Instruction, text: str) -> ProgramError:
    return ProgramError(code, index, f"instruction {index} ({instruction.text()}): {text}")


def _instructions(program: Program) -> Sequence[Instruction]:
    """Everything before END."""
    try:
        instructions = program.instructions
    except InputError:
        raise _undecodable(program.code) from None
    end = next(i for i, found in enumerate(instructions) if found.op is Opcode.END)
    return instructions[:end]


def _undecodable(code: bytes) -> ProgramError:
    forms = {int(op): form for op, form in FORMATS.items()}
    offset = index = 0
    while offset < len(code):
        form = forms.get(code[offset])
        units = code[offset + 1] if offset + 1 < len(code) else 0
        if form is None or units != form.units:
            text = f"instruction {index}: no operation {code[offset]:#04x} of {units} units"
            return ProgramError(ErrorCode.ILLEGAL_OPCODE, index, text)
        offset += form.bytes
        index += 1
    return ProgramError(ErrorCode.PROGRAM_END, -1, f"{len(code)} bytes of program without END")


def _check_words(index: int, instruction: Instruction, config: Config) -> None:
    """Every word of a bank that the instruction touches is in it."""
    for field, bank, words in _touched(instruction, config):
        depth = _depth(bank, config)
        if words.within(depth):
            continue
        rows = words.rows()
        if instruction.op is Opcode.WEIGHT:
            rows = rows[weight_inside(instruction, config)]
        elif instruction.op is Opcode.STREAM and instruction["flags"] & _WINDOWS[field]:
            rows = rows[stream_inside(instruction)]
        if rows.max(initial=0) >= depth:
            first = rows[rows >= depth][0]
            text = f"{field} must stay within the bank's words 0 to {depth - 1}, not reach {first}"
            raise _error(ErrorCode.ADDRESS, index, instruction, text)


_WINDOWS = {"source": StreamFlag.WINDOW_READ, "target": StreamFlag.WINDOW_WRITE}


def _touched(instruction: Instruction, config: Config) -> list[tuple[str, int, Nest]]:
    """Field that gives the first word, bank, and words of each range."""
    match instruction.op:
        case Opcode.LOAD | Opcode.STORE:
            return [("local", instruction["bank"], transfer_words(instruction))]
        case Opcode.WEIGHT:
            return [("local", instruction["bank"], weight_words(instruction, config))]
        case Opcode.STREAM:
            names = ("source", "target")
            return [(n, instruction[f"{n}_bank"], stream_words(instruction, n)) for n in names]
        case Opcode.VECTOR:
            return _touched_by_vector(instruction)
        case Opcode.SCALE if instruction["action"] != ScaleAction.ADAPT:
            return [("word", instruction["bank"], Nest(instruction["word"], (), ()))]
    return []


def _touched_by_vector(instruction: Instruction) -> list[tuple[str, int, Nest]]:
    touched = [
        (name, instruction[f"{name}_bank"], vector_words(instruction, name))
        for name in ("a", "b", "target", "acc")
        if instruction[f"{name}_bank"] != Bank.NONE
    ]
    if instruction["flags"] & PARAMETER_FLAGS:
        touched.append(("parameter", _PARAMETER_ROWS, parameter_rows(instruction)))
    return touched


_PARAMETER_ROWS = -1
"""Stands for the parameter bank where rows are meant, not its words."""


def _depth(bank: int, config: Config) -> int:
    if bank == _PARAMETER_ROWS:
        return config.parameter_depth
    if bank < Bank.ACCUMULATOR:
        return config.scratchpad_depth
    if bank < Bank.PARAMETER:
        return config.accumulator_depth
    if bank == Bank.PARAMETER:
        return 4 * config.parameter_depth
    return config.tables * config.table_planes * config.table_words


def _check_memory(index: int, instruction: Instruction, memory_bytes: int, config: Config) -> None:
    last = int(memory_addresses(instruction, config).max())
    last += word_size(instruction["bank"], config) - 1
    if last >= memory_bytes:
        code = ErrorCode.AXI_READ if instruction.op is Opcode.LOAD else ErrorCode.AXI_WRITE
        text = f"address must stay within memory's {memory_bytes} bytes, not reach {last:#x}"
        raise _error(code, index, instruction, text)


def _check_semaphores(instructions: Sequence[Instruction]) -> None:
    waiter: list[Unit | None] = [None] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        unit = instruction.format.unit
        assert unit is not None
        for k in bits(instruction["wait"]):
            other, waiter[k] = waiter[k], unit
            if other not in (None, unit):
                assert other is not None
                text = f"wait must name semaphores of one unit, not {k}, which {other.name} takes"
                raise _error(ErrorCode.SEMAPHORE, index, instruction, text)
    counts = [0] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        for k in bits(instruction["signal"]):
            counts[k] += waiter[k] is None
            if counts[k] > SEMAPHORE_MAX:
                text = f"semaphore {k} must count at most {SEMAPHORE_MAX}, and nobody waits for it"
                raise _error(ErrorCode.SEMAPHORE, index, instruction, text)
