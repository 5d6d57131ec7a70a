"""What a program leaves in memory, to the bit: whole instructions at a time, without time.

Instructions run in an order that their units' queues and the semaphores allow. A program in which
every two instructions that touch one word are ordered gives one result in any such order, so one is
enough; others are refused (:mod:`pulsarray.model.races`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import Instruction, Opcode, ScaleAction, StreamFlag, WeightFlag
from pulsarray.model.accumulate import accumulate
from pulsarray.model.addresses import (
    memory_addresses,
    numbers_rows,
    passes_of,
    stream_inside,
    stream_words,
    transfer_words,
    weight_inside,
    weight_words,
    word_size,
)
from pulsarray.model.checks import check
from pulsarray.model.races import ordered
from pulsarray.model.state import State
from pulsarray.model.vector import run_vector
from pulsarray.program import Program

__all__ = ["execute", "values"]


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
        If the machine would stop with an error, or wait for ever. Errors that depend on time
        (port conflicts, counts of semaphores) are :func:`simulate_timing`'s to find.
    UnknownResult
        If its result cannot be told.
    """
    image = program.memory if memory is None else memory
    instructions = ordered(program, check(program, image.size), image.size)
    return values(program.config, instructions, image)


def values(
    config: Config, instructions: Sequence[Instruction], memory: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Memory after instructions that :func:`~pulsarray.model.races.ordered` has put in order."""
    state = State(config, memory.copy())
    for instruction in instructions:
        _RUN[instruction.op](state, instruction)
    return state.memory


def _load(state: State, instruction: Instruction) -> None:
    size = word_size(instruction["bank"], state.config)
    words = memory_addresses(instruction, state.config) // size
    data = state.memory.reshape(-1, size)[words]
    state.write(instruction["bank"], transfer_words(instruction).rows(), data)


def _store(state: State, instruction: Instruction) -> None:
    size = word_size(instruction["bank"], state.config)
    words = memory_addresses(instruction, state.config) // size
    data = state.read(instruction["bank"], transfer_words(instruction).rows())
    state.memory.reshape(-1, size)[words] = data


def _weight(state: State, instruction: Instruction) -> None:
    config = state.config
    rows = weight_words(instruction, config).rows()
    bank = state.bank(instruction["bank"])
    if not numbers_rows(instruction):
        words = bank[rows].astype(state.exact)
    else:
        inside = weight_inside(instruction, config)
        words = np.zeros((rows.size, config.dim), state.exact)
        words[inside] = bank[rows[inside]]
    tiles = words.reshape(-1, config.dim, config.dim)
    if instruction["flags"] & WeightFlag.TRANSPOSE:
        tiles = tiles.swapaxes(1, 2)
    state.tiles.add(tiles)


def _stream(state: State, instruction: Instruction) -> None:
    """All passes at once, each with its tile, then all sums into the bank."""
    dim, flags, passes = state.config.dim, instruction["flags"], passes_of(instruction)
    words = _streamed(state, instruction).reshape(passes, -1, dim)
    keep = flags & StreamFlag.KEEP
    tiles = state.tiles.active if keep else state.tiles.take(passes)
    sums = np.matmul(words, tiles).reshape(-1, dim)
    accumulate(state.bank(instruction["target_bank"]), sums, instruction, state.config.acc_bits)


def _streamed(state: State, instruction: Instruction) -> npt.NDArray[np.floating]:
    """Words in the order in which they enter the array, shape (words, D)."""
    dim, flags = state.config.dim, instruction["flags"]
    rows = stream_words(instruction, "source").rows()
    bank = state.bank(instruction["source_bank"])
    if flags & StreamFlag.WINDOW_READ:
        inside = np.broadcast_to(stream_inside(instruction), rows.shape)
        words = np.full((rows.size, dim), instruction["pad"], state.exact)
        words[inside] = bank[rows[inside]]
    else:
        words = bank[rows].astype(state.exact)
    if flags & StreamFlag.TRANSPOSE:
        words = words.reshape(-1, dim, dim).swapaxes(1, 2).reshape(-1, dim)
    return words


def _exponent(state: State, instruction: Instruction) -> None:
    if state.config.training:
        state.scales.set(instruction)


def _scale(state: State, instruction: Instruction) -> None:
    bank, first = state.bank(instruction["bank"]), instruction["register"]
    match instruction["action"]:
        case ScaleAction.READ:
            state.scales.read(first, bank[instruction["word"]])
        case ScaleAction.WRITE:
            bank[instruction["word"]] = state.scales.write(first, state.config.dim)
        case ScaleAction.ADAPT:
            state.scales.adapt()


_RUN = {
    Opcode.LOAD: _load,
    Opcode.STORE: _store,
    Opcode.WEIGHT: _weight,
    Opcode.STREAM: _stream,
    Opcode.VECTOR: run_vector,
    Opcode.EXPONENT: _exponent,
    Opcode.SCALE: _scale,
}
