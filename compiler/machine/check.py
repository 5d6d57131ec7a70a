"""Static checks of a finished program, and a run of the timing model, before it is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES, Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, Unit
from pulsarray.model.addresses import stream_inside, stream_words
from pulsarray.model.plan import bits
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program, Tensor
from pulsarray.registers import ErrorCode
from pulsarray.run import RunResult

__all__ = ["check", "check_semaphores"]

_READABLE = ("input", "weight", "constant", "intermediate", "state")
_WRITABLE = ("output", "intermediate", "state")


def check(program: Program, memory_latency: int = 64) -> RunResult:
    """Refuse a program that the machine would stop on, or that leaves its tensors.

    Checked: every transfer inside one tensor of the right role, every word inside its bank,
    semaphores waited for by one unit, in balance at the end and never above their limit; then the
    timing model finds deadlocks and port conflicts.

    Raises
    ------
    ProgramError
        With the index of the instruction to blame.
    """
    tensors = sorted(program.tensors, key=lambda tensor: tensor.address)
    for index, instruction in enumerate(program.instructions):
        _check_words(index, instruction, program.config)
        if instruction.op in (Opcode.LOAD, Opcode.STORE):
            _check_transfer(index, instruction, tensors, program.config)
    check_semaphores(program.instructions, program.config)
    return simulate_timing(program, memory_latency=memory_latency)


@dataclass(frozen=True)
class _Region:
    """Words ``low .. high`` of a bank."""

    bank: int
    low: int
    high: int


def _region(bank: int, base: int, loops: Sequence[tuple[int, int]]) -> _Region:
    """All words of a loop nest of (count, stride) pairs."""
    steps = [(count - 1) * stride for count, stride in loops]
    return _Region(
        bank, base + sum(s for s in steps if s < 0), base + sum(s for s in steps if s > 0)
    )


def _transfer_regions(i: Instruction, _config: Config) -> list[_Region]:
    loops = [(i["run"], 1), *((i[f"count{k}"], i[f"local_stride{k}"]) for k in (0, 1))]
    return [_region(i["bank"], i["local"], loops)]


def _weight_regions(i: Instruction, config: Config) -> list[_Region]:
    """The rows that are read: of the last tile no more than the window lets through."""
    rows = config.dim if i["row_limit"] == 0xFFFF else min(config.dim, i["row_limit"])
    tiles = [(i[f"count{k}"], i[f"stride{k}"]) for k in (0, 1)]
    region = _region(i["bank"], i["local"], tiles)
    if not i["row_stride"]:
        return [region]
    limit = i["row_limit"] - i["row_start"]
    last = rows - 1
    if i["row_limit"] != 0xFFFF and i["row_step0"] > 0:
        last = min(config.dim, limit - (i["count0"] - 1) * i["row_step0"]) - 1
    return [_Region(region.bank, region.low, region.high + last * i["row_stride"])]


def _stream_regions(i: Instruction, config: Config) -> list[_Region]:
    """All words; of those outside a bank, only the ones inside the window."""
    found = []
    for side, flag in (("source", StreamFlag.WINDOW_READ), ("target", StreamFlag.WINDOW_WRITE)):
        loops = [(i[f"count{k}"], i[f"{side}_stride{k}"]) for k in range(5)]
        region = _region(i[f"{side}_bank"], i[side], loops)
        depth = _depth(region.bank, config)
        if i["flags"] & flag and not (region.low >= 0 and region.high < depth):
            words = stream_words(i, side).rows()[stream_inside(i)]
            if not words.size:
                continue
            region = _Region(region.bank, int(words.min()), int(words.max()))
        found.append(region)
    return found


def _vector_regions(i: Instruction, _config: Config) -> list[_Region]:
    sides = (("a_bank", "a", "a"), ("b_bank", "b", "b"), ("target_bank", "target", "target"),
             ("acc_bank", "acc", "target"))  # fmt: skip
    return [
        _region(i[bank], i[base], [(i[f"count{k}"], i[f"{step}_stride{k}"]) for k in range(4)])
        for bank, base, step in sides
        if i[bank] != Bank.NONE
    ]


def _scale_regions(i: Instruction, _config: Config) -> list[_Region]:
    return [_region(i["bank"], i["word"], ())]


_REGIONS: dict[Opcode, Callable[[Instruction, Config], list[_Region]]] = {
    Opcode.LOAD: _transfer_regions,
    Opcode.STORE: _transfer_regions,
    Opcode.WEIGHT: _weight_regions,
    Opcode.STREAM: _stream_regions,
    Opcode.VECTOR: _vector_regions,
    Opcode.SCALE: _scale_regions,
}


def _check_words(index: int, instruction: Instruction, config: Config) -> None:
    regions = _REGIONS.get(instruction.op)
    for region in regions(instruction, config) if regions else []:
        depth = _depth(region.bank, config)
        if region.low < 0 or region.high >= depth:
            raise ProgramError(
                ErrorCode.ADDRESS,
                index,
                f"instruction {index}: words {region.low}..{region.high} of bank "
                f"{region.bank:#04x}, which has {depth}: {instruction.text()}",
            )


def _depth(bank: int, config: Config) -> int:
    """Words of a bank; 0 if there is no such bank."""
    if bank < config.scratchpad_banks:
        return config.scratchpad_depth
    if 0 <= bank - Bank.ACCUMULATOR < config.accumulator_banks:
        return config.accumulator_depth
    if bank == Bank.PARAMETER:
        return 4 * config.parameter_depth
    return config.tables * config.table_planes * config.table_words if bank == Bank.TABLE else 0


def _check_transfer(
    index: int, instruction: Instruction, tensors: Sequence[Tensor], config: Config
) -> None:
    wide = Bank.ACCUMULATOR <= instruction["bank"] <= Bank.PARAMETER
    word = config.acc_word_bytes if wide else config.word_bytes
    loops = [
        (instruction[f"count{k}"], config.word_bytes * instruction[f"memory_stride{k}"])
        for k in (0, 1)
    ]
    span = _region(0, instruction["address"], loops)
    low, high = span.low, span.high + instruction["run"] * word
    roles = _READABLE if instruction.op is Opcode.LOAD else _WRITABLE
    for tensor in tensors:
        inside = tensor.address <= low and high <= tensor.address + tensor.bytes(config)
        if inside and tensor.role in roles:
            return
    raise ProgramError(
        ErrorCode.ADDRESS,
        index,
        f"instruction {index}: bytes {low:#x}..{high - 1:#x} are not inside one tensor that "
        f"{instruction.op.name} may use: {instruction.text()}",
    )


def check_semaphores(instructions: Sequence[Instruction], config: Config) -> None:
    """Refuse semaphores that two units wait for, that may overflow, or that do not end at zero.

    The bound on a count holds whatever the memory's speed: when an instruction has been
    dispatched, all but the last few before it in each unit (those in queue and IR) have started,
    so a semaphore counts at most the signals of everything dispatched less what those have taken.

    Raises
    ------
    ProgramError
        SEMAPHORE, with the index of the instruction to blame.
    """
    lag = config.queue_depth + 1
    waiting: dict[Unit, deque[int]] = {unit: deque() for unit in Unit}
    waiter: dict[int, Unit] = {}
    counts = [0] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        unit, wait, signal = instruction.format.unit, *instruction.values[2:4]
        if unit is None:
            continue
        for k in bits(wait):
            if waiter.setdefault(k, unit) != unit:
                _refuse(index, f"semaphore {k} is waited for by two units")
        queue = waiting[unit]
        queue.append(wait)
        if len(queue) > lag:
            for k in bits(queue.popleft()):
                counts[k] -= 1
        for k in bits(signal):
            counts[k] += 1
            if counts[k] > SEMAPHORE_MAX:
                _refuse(index, f"semaphore {k} may count more than {SEMAPHORE_MAX}")
    for wait in (wait for queue in waiting.values() for wait in queue):
        for k in bits(wait):
            counts[k] -= 1
    for k, count in enumerate(counts):
        if count:
            _refuse(len(instructions) - 1, f"semaphore {k} ends at {count} instead of 0")


def _refuse(index: int, text: str) -> None:
    raise ProgramError(ErrorCode.SEMAPHORE, index, f"instruction {index}: {text}")
