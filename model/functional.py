"""What a program leaves in memory, to the bit: whole instructions at a time, without time.

Instructions run in an order that their units' queues and the semaphores allow. A program whose
semaphores order every two instructions that touch the same words (as the compiler's do) gives one
result in any such order, so one is enough.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Instruction, Opcode, StreamFlag, WeightFlag
from pulsarray.model.addresses import (
    is_wide,
    stream_counts,
    stream_fresh,
    stream_inside,
    stream_rows,
    transfer_addresses,
    weight_rows,
)
from pulsarray.model.checks import check
from pulsarray.model.order import in_order
from pulsarray.model.state import State
from pulsarray.model.vector import run_vector
from pulsarray.program import Program

__all__ = ["execute"]

Words = npt.NDArray[np.int64]


def execute(program: Program, memory: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """Run a program.

    Parameters
    ----------
    program
        The program.
    memory
        uint8 memory before the run; None for the program's own image. It is not changed.

    Returns
    -------
    uint8 memory after the run.

    Raises
    ------
    ProgramError
        If the machine would stop with an error, or wait for ever.
    """
    image = (program.memory if memory is None else memory).copy()
    state = State(program.config, image)
    check(program, image.size)
    for instruction in in_order(program):
        _RUN[instruction.op](state, instruction)
    return image


def _load(state: State, instruction: Instruction) -> None:
    rows, addresses = transfer_addresses(instruction, state.config)
    size = _word_size(state, instruction)
    state.write(instruction["bank"], rows, state.memory.reshape(-1, size)[addresses // size])


def _store(state: State, instruction: Instruction) -> None:
    rows, addresses = transfer_addresses(instruction, state.config)
    size = _word_size(state, instruction)
    state.memory.reshape(-1, size)[addresses // size] = state.read(instruction["bank"], rows)


def _word_size(state: State, instruction: Instruction) -> int:
    config = state.config
    return config.acc_word_bytes if is_wide(instruction["bank"]) else config.word_bytes


def _weight(state: State, instruction: Instruction) -> None:
    dim = state.config.dim
    rows, inside = weight_rows(instruction, state.config)
    words = np.zeros((rows.size, dim))
    words[inside] = state.bank(instruction["bank"])[rows[inside]]
    tiles = words.reshape(-1, dim, dim)
    if instruction["flags"] & WeightFlag.TRANSPOSE:
        tiles = tiles.swapaxes(1, 2)
    state.tiles.extend(tiles)


def _stream(state: State, instruction: Instruction) -> None:
    """All passes, each with its tile, then all sums in order."""
    dim, flags = state.config.dim, StreamFlag(instruction["flags"])
    counts = stream_counts(instruction)
    windowed = flags & (StreamFlag.WINDOW_READ | StreamFlag.WINDOW_WRITE)
    inside = stream_inside(instruction) if windowed else np.ones(1, np.bool_)
    rows = stream_rows(instruction, "source")
    inside = np.broadcast_to(inside, rows.shape)
    if flags & StreamFlag.WINDOW_READ:
        words = np.zeros((rows.size, dim))
        words[inside] = state.bank(instruction["source_bank"])[rows[inside]]
    else:
        words = state.bank(instruction["source_bank"])[rows].astype(np.float64)
    if flags & StreamFlag.TRANSPOSE:
        words = words.reshape(-1, dim, dim).swapaxes(1, 2).reshape(-1, dim)
    passes = int(np.prod(counts[: 5 - instruction["inner"]]))
    # Exact: a sum of D <= 64 products of 16-bit numbers has 37 bits.
    sums = np.empty((passes, rows.size // passes, dim))
    for number, block in enumerate(words.reshape(passes, -1, dim)):
        if not flags & StreamFlag.KEEP:
            state.active = state.tiles.popleft()
        np.matmul(block, state.active, out=sums[number])
    written = inside if flags & StreamFlag.WINDOW_WRITE else np.ones(rows.size, np.bool_)
    _accumulate(state, instruction, sums.reshape(-1, dim).astype(np.int64), written)


def _accumulate(
    state: State, instruction: Instruction, sums: Words, written: npt.NDArray[np.bool_]
) -> None:
    """Overwrite or add, word after word; of the words of one row, the last that overwrites counts
    with those after it.
    """
    bank = state.bank(instruction["target_bank"])
    rows = stream_rows(instruction, "target")[written]
    sums = sums[written]
    fresh = stream_fresh(instruction)[written]
    if fresh.any():
        last = np.full(len(bank), -1)
        order = np.arange(rows.size)
        np.maximum.at(last, rows[fresh], order[fresh])
        bank[last >= 0] = 0
        counts = order >= last[rows]
        rows, sums = rows[counts], sums[counts]
    np.add.at(bank, rows, sums)
    touched = np.unique(rows)
    shift = np.int64(64 - state.config.acc_bits)
    bank[touched] = (bank[touched] << shift) >> shift


def _exponent(state: State, instruction: Instruction) -> None:
    state.exponents[instruction["register"]] = instruction["value"]


_RUN = {
    Opcode.LOAD: _load,
    Opcode.STORE: _store,
    Opcode.WEIGHT: _weight,
    Opcode.STREAM: _stream,
    Opcode.VECTOR: run_vector,
    Opcode.EXPONENT: _exponent,
}
