"""More shared exponents than registers: lines of them take turns, as long as each is used.

A line is what one SCALE moves, D registers with their counts and statistics; the first, with what
every step needs, stays. What was noted of a tensor goes to memory with its line and comes back with
it, so that exponents change once a step, when all is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import Opcode, ScaleAction
from pulsarray.program import Tensor

__all__ = ["PagedChip", "lines"]

_NAMES = 3
"""Exponents that an instruction names."""


def lines(config: Config) -> int:
    """Lines that the registers hold at a time, whole ones; 0 if they are too few to take turns."""
    words = EXPONENTS // config.dim
    return words if words > _NAMES else 0


class PagedChip(TrainChip):
    """A chip whose registers hold some lines at a time; of ``registers`` it has places in memory.

    Two words of the last accumulator bank, from ``depth`` on, are its own.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._slots = list(range(lines(self.config)))
        self._order = list(self._slots[1:])
        self._changed: set[int] = set()

    def read_exponents(self, tensor: Tensor) -> None:
        """The first lines from memory."""
        self._tensor = tensor
        for slot in range(len(self._slots)):
            self._read(slot)

    def write_exponents(self, tensor: Tensor, *, adapt: bool) -> None:
        """All to memory; with ``adapt`` after the controller."""
        bank, word = self.aux[1], self.depth
        if adapt:
            self._scale(ScaleAction.ADAPT, bank, word, 0)
        for slot in range(len(self._slots)):
            self._write(slot)
        # Of a batch in chunks, other programs have noted what is in memory.
        for line in sorted(set(range(tensor.rows)).difference(self._slots)) if adapt else ():
            self._slots[-1] = line
            self._read(len(self._slots) - 1)
            self._scale(ScaleAction.ADAPT, bank, word, 0)
            self._write(len(self._slots) - 1)

    def _registers(self, names: Sequence[str], *, writes: bool) -> list[int]:
        """Registers of exponents, which are there now; the first may be written or noted."""
        dim, places = self.config.dim, self.registers
        wanted = [places[name] // dim if name else 0 for name in names]
        for line in wanted:
            self._have(line, wanted)
        if writes:
            self._changed.add(wanted[0])
        return [
            self._slots.index(line) * dim + places[name] % dim if name else 0
            for name, line in zip(names, wanted, strict=True)
        ]

    def _have(self, line: int, wanted: Sequence[int]) -> None:
        """A line in the place of the one that was used longest ago."""
        if line not in self._slots:
            slot = next(slot for slot in self._order if self._slots[slot] not in wanted)
            if self._slots[slot] in self._changed:
                self._write(slot)
            self._slots[slot] = line
            self._read(slot)
        slot = self._slots.index(line)
        if slot:
            self._order.remove(slot)
            self._order.append(slot)

    def _read(self, slot: int) -> None:
        bank, word = self.aux[1], self.depth
        self.move(Opcode.LOAD, self._tensor, self._slots[slot], Words.at(bank, word), 1)
        self._scale(ScaleAction.READ, bank, word, slot)

    def _write(self, slot: int) -> None:
        self._changed.discard(self._slots[slot])
        bank, word = self.aux[1], self.depth + 1
        self._scale(ScaleAction.WRITE, bank, word, slot)
        self.move(Opcode.STORE, self._tensor, self._slots[slot], Words.at(bank, word), 1)
