"""What the machine remembers: memory, banks, exponent registers, tiles of weights."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import Bank
from pulsarray.model.arithmetic import wrap
from pulsarray.model.scales import Scales

__all__ = ["State", "Tiles"]

Words = npt.NDArray[np.int64]
Blocks = npt.NDArray[np.floating[Any]]


class Tiles:
    """Tiles of weights that WEIGHT has read and no pass has taken yet, first to last.

    Members
    -------
    active
        The tile that the array multiplies by, shape (D, D).
    """

    def __init__(self, dim: int, dtype: npt.DTypeLike) -> None:
        self.active: Blocks = np.zeros((dim, dim), dtype)
        self._waiting: deque[Blocks] = deque()

    def add(self, tiles: Blocks) -> None:
        """Put tiles, shape (tiles, D, D), behind the others."""
        self._waiting.append(tiles)

    def take(self, count: int) -> Blocks:
        """The next tiles, at least one; the last becomes the active one."""
        parts, missing = [], count
        while missing:
            tiles = self._waiting.popleft()
            parts.append(tiles[:missing])
            if len(tiles) > missing:
                self._waiting.appendleft(tiles[missing:])
            missing -= len(parts[-1])
        taken = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self.active = taken[-1]
        return taken


class State:
    """Contents of every memory; banks are zero at power-on.

    Parameters
    ----------
    config
        The machine.
    memory
        uint8 memory; changed in place.

    Members
    -------
    scratchpad, accumulator
        Words, shape (banks, depth, D): integers of an operand's width, and int64.
    parameters
        int64 constants, shape (rows, 4, D), columns bias, multiplier, shift, constant.
    tables
        int64 entries, shape (words, entries of a word).
    scales
        The exponent registers.
    exact
        Floating point type in which a sum of D products is exact: it has at most 21 bits (8-bit
        operands) or 37.
    tiles
        Tiles on their way to the array.
    """

    def __init__(self, config: Config, memory: npt.NDArray[np.uint8]) -> None:
        self.config, self.memory = config, memory
        dim = config.dim
        self.scratchpad = np.zeros(
            (config.scratchpad_banks, config.scratchpad_depth, dim), f"<i{config.operand_bytes}"
        )
        self.accumulator = np.zeros(
            (config.accumulator_banks, config.accumulator_depth, dim), np.int64
        )
        self.parameters = np.zeros((config.parameter_depth, 4, dim), np.int64)
        rows = config.tables * config.table_planes * config.table_words
        self.tables = np.zeros((rows, config.word_bytes // config.operand_bytes), np.int64)
        self.scales = Scales()
        self.exact = np.dtype(np.float32 if config.operand_bits == 8 else np.float64)
        self.tiles = Tiles(dim, self.exact)

    def bank(self, number: int) -> npt.NDArray[Any]:
        """Words of a scratchpad or accumulator bank, shape (depth, D)."""
        if number < Bank.ACCUMULATOR:
            return np.asarray(self.scratchpad[number])
        return np.asarray(self.accumulator[number - Bank.ACCUMULATOR])

    def write(self, number: int, rows: Words, data: npt.NDArray[np.uint8]) -> None:
        """Store words in the format of memory, shape (words, bytes), in rows of any bank."""
        config = self.config
        if number == Bank.TABLE:
            self.tables[rows] = _integers(data, config.operand_bytes)
        elif number < Bank.ACCUMULATOR:
            self.scratchpad[number, rows] = _integers(data, config.operand_bytes)[:, : config.dim]
        else:
            slots = _integers(data, config.acc_slot_bytes)[:, : config.dim].astype(np.int64)
            if number < Bank.PARAMETER:
                self.bank(number)[rows] = wrap(slots, config.acc_bits)
            else:
                self._write_parameters(rows, slots)

    def _write_parameters(self, rows: Words, slots: Words) -> None:
        config = self.config
        row, column = rows // 4, rows % 4
        mask = (1 << config.scale_bits) - 1
        values = wrap(slots, config.acc_bits)
        values = np.where(column[:, None] == 1, slots & mask, values)
        values = np.where(column[:, None] == 2, wrap(slots, 8), values)
        self.parameters[row, column] = values

    def read(self, number: int, rows: Words) -> npt.NDArray[np.uint8]:
        """Rows of a scratchpad or accumulator bank in the format of memory."""
        config = self.config
        wide = number >= Bank.ACCUMULATOR
        size, total = config.operand_bytes, config.word_bytes
        if wide:
            size, total = config.acc_slot_bytes, config.acc_word_bytes
        words = np.zeros((rows.size, total // size), f"<i{size}")
        words[:, : config.dim] = self.bank(number)[rows]
        return words.view(np.uint8)


def _integers(data: npt.NDArray[np.uint8], size: int) -> npt.NDArray[Any]:
    """Little-endian signed integers of so many bytes, word by word."""
    return np.ascontiguousarray(data).view(f"<i{size}")
