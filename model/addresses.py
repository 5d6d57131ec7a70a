"""Words that each instruction touches, in order (docs/machine.md, section 5)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode, StreamFlag
from pulsarray.model.loops import Nest, nest, wrapped

__all__ = [
    "getter",
    "is_wide",
    "memory_addresses",
    "memory_words",
    "numbers_rows",
    "parameter_rows",
    "passes_of",
    "stream_counts",
    "stream_fresh",
    "stream_inside",
    "stream_words",
    "tiles_needed",
    "transfer_words",
    "vector_words",
    "weight_inside",
    "weight_words",
    "word_size",
]

Words = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def getter(op: Opcode, *names: str) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """What takes at least two fields from an instruction's values, as quickly as can be."""
    return itemgetter(*(FORMATS[op].index[name] for name in names))


def _levels(op: Opcode, *names: str) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """The fields of all levels, name by name."""
    return getter(op, *(f"{name}{level}" for name in names for level in range(FORMATS[op].levels)))


_ACCUMULATOR, _TABLE = int(Bank.ACCUMULATOR), int(Bank.TABLE)
_KEEP = int(StreamFlag.KEEP)
_MEMORY_STRIDES = "memory_stride0", "memory_stride1"
_TRANSFERS = {
    op: (
        getter(op, "local", "count0", "count1", "run", "local_stride0", "local_stride1"),
        getter(
            op, "bank", "address", "count0", "count1", "run", "memory_stride0", "memory_stride1"
        ),
    )
    for op in (Opcode.LOAD, Opcode.STORE)
}
_WEIGHT = getter(Opcode.WEIGHT, "local", "count0", "count1", "stride0", "stride1", "row_stride")
_NUMBERED = getter(Opcode.WEIGHT, "row_limit", "row_start", "row_step0", "row_step1")
_STREAM_COUNTS = _levels(Opcode.STREAM, "count")
_STREAM_STRIDES = {name: _levels(Opcode.STREAM, f"{name}_stride") for name in ("source", "target")}
_VECTOR_COUNTS = _levels(Opcode.VECTOR, "count")
_VECTOR_STRIDES = {name: _levels(Opcode.VECTOR, f"{name}_stride") for name in ("a", "b", "target")}


def is_wide(bank: int) -> bool:
    """Whether a bank's word in memory is an accumulator word."""
    return _ACCUMULATOR <= bank < _TABLE


def word_size(bank: int, config: Config) -> int:
    """Bytes of a bank's word in memory."""
    return config.acc_word_bytes if is_wide(bank) else config.word_bytes


def transfer_words(instruction: Instruction) -> Nest:
    """Words of the bank of a LOAD or STORE."""
    local, outer, inner, run, *strides = _TRANSFERS[instruction.op][0](instruction.values)
    return Nest(local, (outer, inner, run), (*strides, 1))


def memory_addresses(instruction: Instruction, config: Config) -> Words:
    """Byte address of every word of a LOAD or STORE."""
    counts = (instruction["count0"], instruction["count1"], instruction["run"])
    steps = (
        config.word_bytes * instruction["memory_stride0"],
        config.word_bytes * instruction["memory_stride1"],
        word_size(instruction["bank"], config),
    )
    return (instruction["address"] + nest(counts, steps)) & 0xFFFF_FFFF


def memory_words(instruction: Instruction, config: Config) -> Nest:
    """Operand words of memory of a LOAD or STORE."""
    fields = _TRANSFERS[instruction.op][1](instruction.values)
    bank, address, outer, inner, run, *strides = fields
    size = config.word_bytes
    counts = outer, inner, run * (word_size(bank, config) // size)
    return Nest(address // size, counts, (*strides, 1), 0xFFFF_FFFF // size)


def weight_words(instruction: Instruction, config: Config) -> Nest:
    """Words of every row of every tile."""
    local, outer, inner, *strides = _WEIGHT(instruction.values)
    return Nest(local, (outer, inner, config.dim), strides)


def weight_inside(instruction: Instruction, config: Config) -> Mask:
    """Which rows of the tiles are read; the others are zero."""
    counts = (instruction["count0"], instruction["count1"], config.dim)
    steps = (instruction["row_step0"], instruction["row_step1"], 1)
    numbers = wrapped(instruction["row_start"] + nest(counts, steps))
    return (numbers >= 0) & (numbers < instruction["row_limit"])


def numbers_rows(instruction: Instruction) -> bool:
    """Whether some row of a WEIGHT may be outside and so not read."""
    # Without an upper limit, numbers below zero are outside still.
    return _NUMBERED(instruction.values) != (_NO_LIMIT, 0, 0, 0)


_NO_LIMIT = 0xFFFF


def stream_counts(instruction: Instruction) -> tuple[int, ...]:
    """Counts of STREAM's five levels."""
    return _STREAM_COUNTS(instruction.values)


def passes_of(instruction: Instruction) -> int:
    """Passes of a STREAM."""
    return prod(stream_counts(instruction)[: 5 - instruction["inner"]])


def tiles_needed(instruction: Instruction) -> int:
    """Tiles that the passes of a STREAM take."""
    return 0 if instruction["flags"] & _KEEP else passes_of(instruction)


def stream_words(instruction: Instruction, name: str) -> Nest:
    """Words of the ``source`` or ``target`` bank."""
    strides = _STREAM_STRIDES[name](instruction.values)
    return Nest(instruction[name], stream_counts(instruction), strides)


def stream_inside(instruction: Instruction) -> Mask:
    """The window test of every word."""
    counts = stream_counts(instruction)
    inside = np.ones(1, np.bool_)
    for axis in ("row", "column"):
        steps = [instruction[f"{axis}_step{level}"] for level in range(5)]
        place = wrapped(instruction[f"{axis}_start"] + nest(counts, steps))
        inside = inside & (place >= 0) & (place < instruction[f"{axis}_limit"])
    return inside


def stream_fresh(instruction: Instruction) -> Mask:
    """Which words overwrite: those whose index is 0 in all levels of ``fresh``."""
    counts = stream_counts(instruction)
    if instruction["flags"] & StreamFlag.ACCUMULATE:
        return np.zeros(prod(counts), np.bool_)
    steps = [instruction["fresh"] >> level & 1 for level in range(5)]
    fresh: Mask = nest(counts, steps) == 0
    return fresh


def vector_words(instruction: Instruction, name: str) -> Nest:
    """Words of the bank of source ``a`` or ``b``, or of destination ``target`` or ``acc``."""
    strides = _VECTOR_STRIDES["target" if name == "acc" else name](instruction.values)
    return Nest(instruction[name], _VECTOR_COUNTS(instruction.values), strides)


def parameter_rows(instruction: Instruction) -> Nest:
    """Rows of parameters, one an iteration of level 0."""
    return Nest(
        instruction["parameter"], (instruction["count0"],), (instruction["parameter_step"],)
    )
