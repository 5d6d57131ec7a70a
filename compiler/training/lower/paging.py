"""More shared exponents than registers: lines of them take turns, as long as each is used.

A line is what one SCALE moves, D registers with their counts and statistics; the first, with what
every step needs, stays. What was noted of a tensor goes to memory with its line and comes back with
it, so that exponents change once a step, when all is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.transfers import Transfers
from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import Opcode, ScaleAction
from pulsarray.program import Tensor

__all__ = ["Paging", "lines"]

_NAMES = 3
"""Exponents that an instruction names."""


def lines(config: Config) -> int:
    """Lines that the registers hold at a time, whole ones; 0 if they are too few to take turns."""
    found = EXPONENTS // config.dim
    return found if found > _NAMES else 0


class Paging:
    """The lines in the registers of one program.

    Parameters
    ----------
    chip
        Takes the instructions.
    tensor
        All lines in memory.
    places
        By name, its place in the tensor.
    bank, word
        Two accumulator words that nothing else uses.
    """

    def __init__(
        self, chip: Transfers, tensor: Tensor, places: Mapping[str, int], bank: int, word: int
    ) -> None:
        self.chip, self.tensor, self.places, self.bank, self.word = chip, tensor, places, bank, word
        self.dim = chip.config.dim
        self._slots = list(range(lines(chip.config)))
        self._order = list(self._slots[1:])
        self._changed: set[int] = set()

    def fill(self, phase: int) -> None:
        """The first lines."""
        for slot in range(len(self._slots)):
            self._read(phase, slot)

    def registers(self, phase: int, names: Sequence[str], *, writes: bool) -> list[int]:
        """Registers of exponents, which are there now; the first may be written or noted."""
        wanted = [self.places[name] // self.dim if name else 0 for name in names]
        for line in wanted:
            self._have(phase, line, wanted)
        if writes:
            self._changed.add(wanted[0])
        return [
            self._slots.index(line) * self.dim + self.places[name] % self.dim if name else 0
            for name, line in zip(names, wanted, strict=True)
        ]

    def finish(self, phase: int, *, adapt: bool) -> None:
        """All to memory; with ``adapt`` after the controller."""
        if adapt:
            self._scale(phase, ScaleAction.ADAPT, 0, self.word)
        for slot in range(len(self._slots)):
            self._write(phase, slot)
        # Of a batch in chunks, other programs have noted what is in memory.
        for line in sorted(set(range(self.tensor.rows)).difference(self._slots)) if adapt else ():
            self._slots[-1] = line
            self._read(phase, len(self._slots) - 1)
            self._scale(phase, ScaleAction.ADAPT, 0, self.word)
            self._write(phase, len(self._slots) - 1)

    def _have(self, phase: int, line: int, wanted: Sequence[int]) -> None:
        """A line in the place of the one that was used longest ago."""
        if line not in self._slots:
            slot = next(slot for slot in self._order if self._slots[slot] not in wanted)
            if self._slots[slot] in self._changed:
                self._write(phase, slot)
            self._slots[slot] = line
            self._read(phase, slot)
        slot = self._slots.index(line)
        if slot:
            self._order.remove(slot)
            self._order.append(slot)

    def _read(self, phase: int, slot: int) -> None:
        self.chip.load(
            phase, self.tensor, self._slots[slot], self.bank, self.word,
            rows=1, blocks=1, local_stride=0, memory_stride=0,
        )  # fmt: skip
        self._scale(phase, ScaleAction.READ, slot, self.word)

    def _write(self, phase: int, slot: int) -> None:
        self._changed.discard(self._slots[slot])
        self._scale(phase, ScaleAction.WRITE, slot, self.word + 1)
        self.chip.store(
            phase, self.tensor, self._slots[slot], self.bank, self.word + 1,
            rows=1, blocks=1, local_stride=0, memory_stride=0,
        )  # fmt: skip

    def _scale(self, phase: int, action: ScaleAction, slot: int, word: int) -> None:
        writes = action is ScaleAction.WRITE
        touched = [] if action is ScaleAction.ADAPT else [Access(self.bank, word, word + 1, writes)]
        self.chip.emitter.emit(
            Opcode.SCALE, phase, touched,
            action=action, bank=self.bank, word=word, register=slot * self.dim,
        )  # fmt: skip
