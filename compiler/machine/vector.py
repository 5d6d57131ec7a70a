"""VECTOR over loop nests, after all that it reads has been written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, product
from math import prod

from pulsarray.compiler.machine.emitter import Access, accesses
from pulsarray.compiler.machine.transfers import Transfers
from pulsarray.compiler.machine.views import Words
from pulsarray.config import Config
from pulsarray.isa import Opcode
from pulsarray.stages import vector_distance

__all__ = ["DESTINATIONS", "VectorUnit"]

DESTINATIONS = ("target", "acc")
"""Operands that a VECTOR writes."""


class VectorUnit(Transfers):
    """Emits VECTOR.

    Parameters
    ----------
    config
        The machine.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._latency = vector_distance(config)
        self._issued = 0
        self._written: dict[tuple[int, int], tuple[int, int]] = {}

    def vector(
        self,
        layer: int,
        counts: Sequence[int],
        operands: Mapping[str, Words],
        fields: Mapping[str, int],
        touched: Sequence[Access] = (),
    ) -> None:
        """VECTOR over a loop nest.

        Parameters
        ----------
        layer, counts
            For which layer, and iterations of the levels, at most four.
        operands
            Sources ``a`` and ``b``, and one or both destinations ``target`` and ``acc``, which
            step alike.
        fields
            Further fields.
        touched
            Constants that it reads.
        """
        touches = list(touched)
        all_fields: dict[str, int] = {f"count{level}": count for level, count in enumerate(counts)}
        for name, words in operands.items():
            write = name in DESTINATIONS
            loops = list(zip(counts, words.steps, strict=True))
            touches += accesses(words.bank, words.base, loops, write=write)
            all_fields |= {f"{name}_bank": words.bank, name: words.base}
            side = "target" if write else name
            for level, (count, step) in enumerate(loops):
                all_fields[f"{side}_stride{level}"] = step if count > 1 else 0
        after = self._unwritten(counts, [operands[name] for name in "ab" if name in operands])
        number = self.emitter.emit(
            Opcode.VECTOR, layer, touches, after=after, **all_fields, **fields
        )
        self._note(number, counts, [operands[name] for name in DESTINATIONS if name in operands])

    def _unwritten(self, counts: Sequence[int], sources: Sequence[Words]) -> int | None:
        """The last instruction that may not have written yet what is about to be read.

        Words follow each other in consecutive cycles at best, so those that matter are the first
        of this instruction and the last before it.
        """
        last = -1
        recent = {bank for bank, _ in self._written}
        sources = [words for words in sources if words.bank in recent]
        for place, index in enumerate(islice(product(*map(range, counts)), self._latency)):
            for words in sources:
                made = self._written.get((words.bank, _word(words, index)))
                if made is not None and self._issued + place - made[0] <= self._latency:
                    last = max(last, made[1])
        return None if last < 0 else last

    def _note(self, number: int, counts: Sequence[int], targets: Sequence[Words]) -> None:
        """Remember the last words that are written."""
        first, total = self._issued, prod(counts)
        self._issued += total
        oldest = self._issued - self._latency
        self._written = {w: made for w, made in self._written.items() if made[0] >= oldest}
        for place in range(max(0, total - self._latency), total):
            index = _index(place, counts)
            for words in targets:
                self._written[words.bank, _word(words, index)] = first + place, number


def _index(place: int, counts: Sequence[int]) -> list[int]:
    """Iterations of all levels at a place of a nest."""
    index = []
    for count in reversed(counts):
        place, inner = divmod(place, count)
        index.append(inner)
    return index[::-1]


def _word(words: Words, index: Sequence[int]) -> int:
    """The word of an iteration."""
    return words.base + sum(i * step for i, step in zip(index, words.steps, strict=True))
