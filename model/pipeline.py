"""VECTOR's pipeline: words that are read before an earlier one has been written.

A word is written :func:`pulsarray.stages.vector_latency` cycles after its last issue and may be
read from the cycle after that on. Nothing waits for it, but the front keeps every word for
``word_cycles``; the first of them reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import prod

import numpy as np

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode
from pulsarray.model.loops import Nest
from pulsarray.model.uses import READ, WRITE, Use
from pulsarray.stages import scale_cycles, vector_latency

__all__ = ["Pipeline", "overtaken"]


class Pipeline:
    """The last instructions of VECTOR, as close to each other as its front can issue them."""

    def __init__(self, config: Config) -> None:
        self._latency, self._scale_cycles = vector_latency(config), scale_cycles(config)
        self._word_cycles = config.word_cycles
        self._slot = 0  # of the front: where the next instruction begins
        self._recent: deque[tuple[int, int, Sequence[Use]]] = deque()

    def advance(
        self, index: int, instruction: Instruction, uses: Sequence[Use], known: int
    ) -> tuple[int, int, int] | None:
        """Issue the next instruction.

        ``known`` is the index of the last instruction of the unit that is complete.

        Returns
        -------
        An earlier instruction, bank and word: it may read the word before that writes it.
        """
        error = self._early(instruction, uses, known)
        if instruction.op is Opcode.VECTOR:
            targets = [use for use in uses if use.access == WRITE]
            self._slot += prod(targets[0].words.counts) * self._word_cycles
            self._recent.append((index, self._slot, targets))
        else:
            self._slot += self._scale_cycles if instruction.op is Opcode.SCALE else 1
        while self._recent and self._recent[0][1] + self._latency < self._slot:
            self._recent.popleft()
        return error

    def _early(
        self, instruction: Instruction, uses: Sequence[Use], known: int
    ) -> tuple[int, int, int] | None:
        sources = [use for use in uses if use.access == READ and use.bank < Bank.PARAMETER]
        # SCALE reads its word in the cycle before its last.
        first = self._scale_cycles - 2 if instruction.op is Opcode.SCALE else 0
        for index, end, targets in self._recent:
            if index <= known:
                continue
            for target in targets:
                for source in sources:
                    if source.bank == target.bank:
                        word = self._met(source.words, target.words, self._slot + first - end)
                        if word is not None:
                            return index, source.bank, word
        return None

    def _met(self, source: Nest, target: Nest, gap: int) -> int | None:
        """A word that is read too early: the first of ``source`` may be issued ``gap + 1`` cycles
        after the last of ``target``.
        """
        writes, reads = prod(target.counts), prod(source.counts)
        near = (self._latency - gap - 1) // self._word_cycles + 1  # words not yet written, at most
        first = [source.word(number) for number in range(min(reads, near))]
        for back in range(1, min(writes, near) + 1):
            word = target.word(writes - back)
            if word in first[: near + 1 - back]:
                return word
        return None


def overtaken(uses: Sequence[Use]) -> tuple[int, int] | None:
    """Bank and word that a VECTOR reads at a later place than it writes it, if there is one."""
    sources = [use for use in uses if use.access == READ]
    for target in uses:
        for source in sources if target.access == WRITE else ():
            word = _overtaken(source.words, target.words) if source.bank == target.bank else None
            if word is not None:
                return source.bank, word
    return None


def _overtaken(source: Nest, target: Nest) -> int | None:
    (low, high), (first_target, last_target) = source.span(), target.span()
    if high < first_target or last_target < low or (source == target and source.distinct()):
        return None
    reads, writes = source.rows(), target.rows()
    order = np.arange(reads.size)
    first = np.full(int(max(reads.max(), writes.max())) + 1, reads.size)
    first[writes[::-1]] = order[::-1]
    wrong = np.flatnonzero(first[reads] < order)
    return int(reads[wrong[0]]) if wrong.size else None
