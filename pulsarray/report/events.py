"""What the trace tells beyond the counters: states of STREAM over time, and work by layer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, Unit
from pulsarray.program import Layer, Program
from pulsarray.registers import UNIT_STATES
from pulsarray.stages import scale_cycles, sum_cycles

__all__ = ["Segment", "layer_ends", "states_between", "stream_segments", "transfer_bytes", "work"]

VECTOR_LEVELS, STREAM_LEVELS = 4, 5
MEMORY_PAGE = 4096
"""A burst never crosses a multiple of this many bytes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Cycles ``first`` to ``after - 1``, in which STREAM's front or queue is in one state.

    ``work`` of a front's segment is the words read in it; its other cycles are stalls.
    """

    state: str
    first: int
    after: int
    work: int = 0


def work(instruction: Instruction, config: Config) -> int:
    """Cycles of work of an instruction's unit: what its ``busy`` counter gains by it."""
    match instruction.op:
        case Opcode.STREAM:
            return _loops(instruction, STREAM_LEVELS)
        case Opcode.WEIGHT:
            return _loops(instruction, 2) * config.dim
        case Opcode.VECTOR:
            return _loops(instruction, VECTOR_LEVELS) * config.word_cycles
        case Opcode.EXPONENT:
            return 1
        case Opcode.SCALE:
            return scale_cycles(config)
        case Opcode.LOAD:
            return sum(_bursts(*run, config) for run in _runs(instruction, config))
        case Opcode.STORE:
            return transfer_bytes(instruction, config) // config.bus_bytes
        case Opcode.END:
            return 0


def transfer_bytes(instruction: Instruction, config: Config) -> int:
    """Bytes that a LOAD or STORE moves."""
    words = _loops(instruction, 2) * instruction["run"]
    return words * _bank_word_bytes(instruction["bank"], config)


def _bank_word_bytes(bank: int, config: Config) -> int:
    wide = Bank.ACCUMULATOR <= bank < Bank.TABLE
    return config.acc_word_bytes if wide else config.word_bytes


def _loops(instruction: Instruction, levels: int) -> int:
    return prod(instruction[f"count{level}"] for level in range(levels))


def _runs(instruction: Instruction, config: Config) -> Iterator[tuple[int, int]]:
    """Address and bytes of each run."""
    size = instruction["run"] * _bank_word_bytes(instruction["bank"], config)
    for i in range(instruction["count0"]):
        for j in range(instruction["count1"]):
            step = i * instruction["memory_stride0"] + j * instruction["memory_stride1"]
            yield instruction["address"] + step * config.word_bytes, size


def _bursts(address: int, size: int, config: Config) -> int:
    """Bursts of one run: each page's part is cut on its own."""
    first = min(size, MEMORY_PAGE - address % MEMORY_PAGE)
    pages, rest = divmod(size - first, MEMORY_PAGE)
    longest = config.burst_bytes
    return -(-first // longest) + pages * -(-MEMORY_PAGE // longest) + -(-rest // longest)


def stream_end(instruction: Instruction, complete: int, config: Config) -> int:
    """Cycle of the last word that a STREAM reads, from the cycle of its completion."""
    transposed = instruction["flags"] & StreamFlag.TRANSPOSE
    delay = config.dim if transposed else 0
    return complete - (delay + sum_cycles(config))


def stream_segments(
    program: Program, events: npt.NDArray[np.int64], cycles: int, works: Sequence[int]
) -> Iterator[Segment]:
    """STREAM's states from cycle 0 to the end, in order (docs/machine.md, section 8).

    ``works`` is the work of each instruction.
    """
    now, complete = 0, -1
    for index, queue, start, completes in events.tolist():
        instruction = program.instructions[index]
        if instruction.op is not Opcode.STREAM:
            continue
        yield from _empty(now, queue + 1, complete)
        now = max(now, queue + 1)
        if start >= now:
            yield Segment("wait", now, start)
            yield Segment("start", start, start + 1)
            now = start + 1
        end = stream_end(instruction, completes, program.config)
        yield Segment("front", now, end + 1, works[index])
        now, complete = end + 1, completes
    yield from _empty(now, cycles, complete)


def _empty(first: int, after: int, complete: int) -> Iterator[Segment]:
    """No instruction at hand: the last one drains, then nothing."""
    middle = min(max(first, complete + 1), after)
    if first < middle:
        yield Segment("drain", first, middle)
    if middle < after:
        yield Segment("idle", middle, after)


def states_between(segments: Sequence[Segment], first: int, after: int) -> dict[str, int]:
    """STREAM's six figures over cycles ``first`` to ``after - 1``, which cut no front in two."""
    states = dict.fromkeys(UNIT_STATES, 0)
    begin = bisect_right(segments, first, key=lambda segment: segment.after)
    for place in range(begin, len(segments)):
        segment = segments[place]
        if segment.first >= after:
            break
        length = min(segment.after, after) - max(segment.first, first)
        if segment.state == "front":
            states["busy"] += segment.work
            states["stall"] += length - segment.work
        else:
            states[segment.state] += length
    return states


def layer_ends(program: Program, events: npt.NDArray[np.int64], cycles: int) -> list[int]:
    """For each layer the first cycle that no longer counts as its own.

    A layer ends with its last word streamed, or, if it streams none, with its last completion,
    but not after the front has begun to work on the next layer. The last layer ends with the run.
    """
    ends: list[int] = []
    for number, layer in enumerate(program.layers):
        end = _layer_end(program, layer, events)
        later = _first_front(program, layer.last, events, cycles)
        ends.append(max(ends[-1] if number else 0, min(end, later)))
    return [*ends[:-1], cycles] if ends else []


def _layer_end(program: Program, layer: Layer, events: npt.NDArray[np.int64]) -> int:
    code = program.instructions
    for index in reversed(range(layer.first, min(layer.last, len(events)))):
        if code[index].op is Opcode.STREAM:
            return stream_end(code[index], int(events[index, 3]), program.config) + 1
    rows = events[layer.first : layer.last, 3]
    return int(rows.max()) + 1 if rows.size else 0


def _first_front(program: Program, index: int, events: npt.NDArray[np.int64], cycles: int) -> int:
    """First cycle of STREAM's front in the instructions from one on: the one after a start."""
    for row in range(index, len(events)):
        if program.instructions[row].op is Opcode.STREAM:
            return int(events[row, 2]) + 1
    return cycles


def layer_work(program: Program, layer: Layer, works: Sequence[int]) -> dict[str, int]:
    """Cycles of work of a layer's instructions, by unit; ``works`` is that of each instruction."""
    totals = [0] * len(Unit)
    span = slice(layer.first, layer.last)
    for instruction, cycles in zip(program.instructions[span], works[span], strict=True):
        if instruction.format.unit is not None:
            totals[instruction.format.unit] += cycles
    return {unit.name.lower(): totals[unit] for unit in Unit}
