"""What an instruction reads and writes: words of banks and of memory (docs/machine.md, section 5).

The checks of addresses and those of order look at the same words, so they are listed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import (
    FORMATS,
    Activation,
    Bank,
    Instruction,
    Opcode,
    ScaleAction,
    StreamFlag,
    VectorFlag,
)
from pulsarray.model.addresses import (
    memory_words,
    numbers_rows,
    stream_inside,
    stream_words,
    transfer_words,
    vector_words,
    weight_inside,
    weight_words,
)
from pulsarray.model.loops import Nest

__all__ = ["ADD", "MEMORY", "READ", "TABLES", "WRITE", "Selected", "Use", "Uses", "depth", "uses"]

MEMORY = -1
"""Stands for the memory outside where a bank's number is meant; its words are operand words."""

READ, WRITE = 1, 2
ADD = READ | WRITE
"""What is done to a word: a sum is added by reading and writing it."""

TABLES = frozenset(map(int, (Activation.TABLE, Activation.EXP, Activation.RECIPROCAL)))
"""Activations that look a function table up."""

_COLUMNS = (
    (int(VectorFlag.BIAS), 0),
    (int(VectorFlag.LANE_SCALE), 1),
    (int(VectorFlag.LANE_SCALE), 2),
    (int(VectorFlag.B_LANE), 3),
)
_MULTIPLIER = 1

Words = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Selected = Nest | Words
"""A set of words."""

_KEPT = 256
"""Instructions of which is kept what they touch; of ResNet-50's, seven in ten are among them."""


class Use(NamedTuple):
    """Words of a bank that an instruction reads, writes, or adds to.

    Parameters
    ----------
    field
        The field that gives the first word.
    bank
        Number of the bank, or :data:`MEMORY`.
    words, access
        The words in order, and whether they are read, written, or added to (both).
    inside
        Which of the words are touched, where a window leaves some out.
    """

    field: str
    bank: int
    words: Nest
    access: int
    inside: Callable[[], Mask] | None = None

    def rows(self) -> Words:
        """Address of every word that is touched, in order."""
        rows = self.words.rows()
        if self.inside is None:
            return rows
        return rows[np.broadcast_to(self.inside(), rows.shape)]

    def selected(self, depth: int) -> Selected:
        """The set of words: levels where no window and no cut of an address is between."""
        if self.inside is None:
            return self.words.folded() if self.words.within(depth) else self.rows()
        touched = np.zeros(depth, np.bool_)
        touched[self.rows()] = True
        return np.flatnonzero(touched)


def depth(bank: int, config: Config, memory_bytes: int) -> int:
    """Words of a bank, or of a memory of so many bytes."""
    if bank == MEMORY:
        return memory_bytes // config.word_bytes
    if bank < Bank.ACCUMULATOR:
        return config.scratchpad_depth
    if bank < Bank.PARAMETER:
        return config.accumulator_depth
    if bank == Bank.PARAMETER:
        return 4 * config.parameter_depth
    return config.tables * config.table_planes * config.table_words


def uses(instruction: Instruction, config: Config) -> Sequence[Use]:
    """Everything that an instruction with right fields touches."""
    rule = _USES.get(instruction.op)
    return rule(instruction, config) if rule else ()


class Uses:
    """What a program's instructions touch; alike ones are not looked at again.

    Parameters
    ----------
    config, memory_bytes
        The machine and its memory.
    """

    def __init__(self, config: Config, memory_bytes: int) -> None:
        self._config, self._bytes = config, memory_bytes
        self._kept = lru_cache(_KEPT)(self._of_deed)

    def of(self, instruction: Instruction) -> Sequence[tuple[Use, Selected]]:
        """Every use, with its set of words."""
        if instruction.op in _SINGLE:
            return self._of(instruction)
        return self._kept(instruction.deed)

    def _of_deed(self, deed: tuple[int, ...]) -> Sequence[tuple[Use, Selected]]:
        return self._of(Instruction(FORMATS[Opcode(deed[0])], (*deed[:2], 0, 0, *deed[2:])))

    def _of(self, instruction: Instruction) -> Sequence[tuple[Use, Selected]]:
        return [
            (use, use.selected(depth(use.bank, self._config, self._bytes)))
            for use in uses(instruction, self._config)
        ]


_SINGLE = (Opcode.LOAD, Opcode.STORE)
"""Hardly ever two alike."""


def _load(instruction: Instruction, config: Config) -> list[Use]:
    bank, words = instruction["bank"], transfer_words(instruction)
    return [
        Use("local", bank, words, WRITE),
        Use("address", MEMORY, memory_words(instruction, config), READ),
    ]


def _store(instruction: Instruction, config: Config) -> list[Use]:
    bank, words = instruction["bank"], transfer_words(instruction)
    return [
        Use("local", bank, words, READ),
        Use("address", MEMORY, memory_words(instruction, config), WRITE),
    ]


def _weight(instruction: Instruction, config: Config) -> list[Use]:
    inside = partial(weight_inside, instruction, config) if numbers_rows(instruction) else None
    words = weight_words(instruction, config)
    return [Use("local", instruction["bank"], words, READ, inside)]


def _stream(instruction: Instruction, _: Config) -> list[Use]:
    flags, inside = instruction["flags"], partial(stream_inside, instruction)
    return [
        Use(
            name,
            instruction[f"{name}_bank"],
            stream_words(instruction, name),
            access,
            inside if flags & window else None,
        )
        for name, access, window in _STREAMED
    ]


_STREAMED = (
    ("source", READ, int(StreamFlag.WINDOW_READ)),
    ("target", ADD, int(StreamFlag.WINDOW_WRITE)),
)


def _vector(instruction: Instruction, config: Config) -> list[Use]:
    touched = [
        Use(name, bank, vector_words(instruction, name), access)
        for name, access in _SIDES
        if (bank := instruction[f"{name}_bank"]) != Bank.NONE
    ]
    touched += _parameters(instruction, config)
    if instruction["activation"] in TABLES:
        size = config.table_planes * config.table_words
        table = Nest(instruction["table"] * size, (size,), (1,))
        touched.append(Use("table", int(Bank.TABLE), table, READ))
    return touched


_SIDES = (
    ("a", READ),
    ("b", READ),
    ("target", WRITE),
    ("acc", WRITE),
)


def _parameters(instruction: Instruction, config: Config) -> list[Use]:
    """The columns of the rows of parameters that flags ask for."""
    flags, row, step = (instruction[name] for name in ("flags", "parameter", "parameter_step"))
    return [
        Use(
            "parameter",
            int(Bank.PARAMETER),
            Nest(4 * row + column, (instruction["count0"],), (4 * step,), 0x3FFFF),
            READ,
        )
        for flag, column in _COLUMNS
        if flags & flag and (column != _MULTIPLIER or config.scale_bits)
    ]


def _scale(instruction: Instruction, _: Config) -> list[Use]:
    action = instruction["action"]
    if action == ScaleAction.ADAPT:
        return []
    access = READ if action == ScaleAction.READ else WRITE
    return [Use("word", instruction["bank"], Nest(instruction["word"], (), ()), access)]


_USES: dict[Opcode, Callable[[Instruction, Config], list[Use]]] = {
    Opcode.LOAD: _load,
    Opcode.STORE: _store,
    Opcode.WEIGHT: _weight,
    Opcode.STREAM: _stream,
    Opcode.VECTOR: _vector,
    Opcode.SCALE: _scale,
}
