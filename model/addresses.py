"""Words that each instruction touches, in order, as arrays (docs/machine.md, section 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, StreamFlag
from pulsarray.model.loops import nest, wrapped

__all__ = [
    "is_wide",
    "parameter_rows",
    "stream_counts",
    "stream_fresh",
    "stream_inside",
    "stream_rows",
    "transfer_addresses",
    "vector_rows",
    "weight_rows",
]

Words = npt.NDArray[np.int64]


def is_wide(bank: int) -> bool:
    """Whether a bank's word in memory is an accumulator word."""
    return Bank.ACCUMULATOR <= bank < Bank.TABLE


def transfer_addresses(instruction: Instruction, config: Config) -> tuple[Words, Words]:
    """Rows of the bank and byte addresses in memory of every word of a LOAD or STORE."""
    counts = [instruction["count0"], instruction["count1"]]
    run = instruction["run"]
    size = config.acc_word_bytes if is_wide(instruction["bank"]) else config.word_bytes
    strides = [instruction["local_stride0"], instruction["local_stride1"]]
    rows = (instruction["local"] + nest([*counts, run], [*strides, 1])) & 0xFFFF
    steps = [config.word_bytes * instruction[f"memory_stride{level}"] for level in range(2)]
    addresses = instruction["address"] + nest([*counts, run], [*steps, size])
    return rows, addresses & 0xFFFF_FFFF


def weight_rows(instruction: Instruction, config: Config) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Rows of the bank of every row of every tile, and which of them are read."""
    counts = [instruction["count0"], instruction["count1"], config.dim]
    strides = [instruction["stride0"], instruction["stride1"], instruction["row_stride"]]
    rows = (instruction["local"] + nest(counts, strides)) & 0xFFFF
    steps = [instruction["row_step0"], instruction["row_step1"], 1]
    numbers = wrapped(instruction["row_start"] + nest(counts, steps))
    return rows, (numbers >= 0) & (numbers < instruction["row_limit"])


def stream_counts(instruction: Instruction) -> list[int]:
    """Counts of the five levels."""
    return [instruction[f"count{level}"] for level in range(5)]


def stream_inside(instruction: Instruction) -> npt.NDArray[np.bool_]:
    """The window test of every word."""
    counts = stream_counts(instruction)
    inside = np.ones(1, np.bool_)
    for axis in ("row", "column"):
        steps = [instruction[f"{axis}_step{level}"] for level in range(5)]
        place = wrapped(instruction[f"{axis}_start"] + nest(counts, steps))
        inside = inside & (place >= 0) & (place < instruction[f"{axis}_limit"])
    return inside


def stream_rows(instruction: Instruction, name: str) -> Words:
    """Rows of the ``source`` or ``target`` bank of every word."""
    strides = [instruction[f"{name}_stride{level}"] for level in range(5)]
    return (instruction[name] + nest(stream_counts(instruction), strides)) & 0xFFFF


def stream_fresh(instruction: Instruction) -> npt.NDArray[np.bool_]:
    """Which words overwrite: those whose index is 0 in all levels of ``fresh``."""
    counts = stream_counts(instruction)
    if instruction["flags"] & StreamFlag.ACCUMULATE:
        return np.zeros(int(np.prod(counts)), np.bool_)
    steps = [instruction["fresh"] >> level & 1 for level in range(5)]
    return np.asarray(nest(counts, steps) == 0)


def vector_counts(instruction: Instruction) -> list[int]:
    """Counts of the four levels."""
    return [instruction[f"count{level}"] for level in range(4)]


def vector_rows(instruction: Instruction, name: str) -> Words:
    """Rows of the bank of source ``a`` or ``b``, or destination ``target`` or ``acc``."""
    strides = "target" if name == "acc" else name
    steps = [instruction[f"{strides}_stride{level}"] for level in range(4)]
    return (instruction[name] + nest(vector_counts(instruction), steps)) & 0xFFFF


def parameter_rows(instruction: Instruction) -> Words:
    """Row of parameters of every word."""
    counts = vector_counts(instruction)
    return instruction["parameter"] + nest(counts, [instruction["parameter_step"], 0, 0, 0])
