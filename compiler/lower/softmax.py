"""TensorFlow Lite's softmax: exponentials times the reciprocal of their sum.

Exponentials have 31 bits: four tables of bytes make them. The reciprocal is Newton's iteration of
three steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.lower.chip import Words
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.quotient import emit_later
from pulsarray.compiler.lower.quotient_tile import WHOLE, Tile
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.numerics.gemmlowp import RECIPROCAL_FACTOR, RECIPROCAL_START
from pulsarray.compiler.ops.integer.codes import LOW
from pulsarray.compiler.ops.integer.softmax import FRACTION, Softmax
from pulsarray.config import Config
from pulsarray.isa import Activation, Alu, Reduce, VectorFlag

__all__ = ["SoftmaxTile", "byte_tables"]

_BYTES = 4
"""Tables of bytes that exponentials are made of."""


@lower.register
def _(op: Softmax, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    emit_later(SoftmaxTile, op, lowering, work, byte_tables(op.exponentials, lowering.config))
    return 0, 0, 0


def byte_tables(exponentials: Array, config: Config) -> Array:
    """Tables of their bytes, the lowest ones first."""
    entries = np.zeros((_BYTES, config.table_words * config.word_bytes), np.int8)
    for byte in range(_BYTES):
        entries[byte, :256] = (exponentials >> (8 * byte) & 255) + LOW
    return entries


class SoftmaxTile(Tile):
    """A tile of it: numbers are exponentials."""

    iterations: ClassVar[int] = 3
    vectors: ClassVar[int] = 11
    scaled: ClassVar[Mapping[str, int]] = {"shift": -1}

    def sums(self) -> Iterator[None]:
        """Exponentials and their sum, in steps between which others may be emitted."""
        largest = self._largest()
        table = self._table(0)
        yield
        for byte in range(_BYTES):
            codes = self._look_up(byte, table, largest)
            if byte == _BYTES - 2:
                yield
            if byte:
                self._add(byte, codes)
            if byte < _BYTES - 1:
                table = self._table(byte + 1)
            yield
        self._sum()

    def _largest(self) -> Words:
        """The largest code of each pixel, counted from the least one on."""
        largest = self._words(1, 0, 0)
        self._across(Alu.MAX, self.codes, largest, Reduce.MAX, {"zero_a": LOW})
        return largest

    def _table(self, byte: int) -> int:
        """LOAD a table, a step before it is needed: what is on its way through memory waits."""
        return self.chip.load_table(self.all.layer, self.all.tables[byte])

    def _look_up(self, byte: int, table: int, largest: Words) -> Words:
        """A byte of the exponentials of all codes; the lowest one where all others are added."""
        base = self.spare.base + self.blocks * self.pixels
        codes = Words(self.spare.bank, base, (self.pixels, 1, 0, 0)) if byte else self.powers
        look = {"activation": int(Activation.TABLE), "table": table, "zero_target": LOW}
        fields = {"zero_a": LOW, **look, **self.lanes}
        touched = [self.chip.table_access(table)]
        self.vector(
            Alu.RSUB, self.codes, codes, fields, largest, blocks=self.blocks, touched=touched
        )
        return codes

    def _add(self, byte: int, codes: Words) -> None:
        """Another byte of the exponentials, the second lowest first."""
        factor = {"multiplier2": 1 << (8 * byte), "flags": int(VectorFlag.RESIDUAL)}
        low = {"zero_a": LOW} if byte == 1 else {}
        fields = {"zero_b": LOW, **low, **factor, **self.lanes}
        self.vector(Alu.PASS, self.powers, self.powers, fields, codes, blocks=self.blocks)

    def _sum(self) -> None:
        """The sum of exponentials rounded to their integer bits, half way up: no tie is left."""
        rounded, total, last = replace(self._words(1, 0)), self.total, self.blocks - 1
        twice_and_one = {"multiplier": 2, "multiplier2": 1, "scalar": 1}
        fields = {**twice_and_one, "shift": FRACTION + 1, "flags": int(VectorFlag.RESIDUAL)}
        fields |= {"reduce": int(Reduce.SUM)}
        self.vector(Alu.PASS, self.powers, total, fields | ({} if last else self.lanes))
        if last:
            powers = self.powers.shifted(self.pixels)
            self.vector(Alu.PASS, powers, rounded, fields | self.lanes, blocks=last)
        for block in range(last):
            self.vector(Alu.ADD, rounded.shifted(block * self.pixels), total, {}, total)
        self._in_all_lanes()

    def _normalized(self, total: Words) -> Words:
        """Shift the sum until it has 31 bits; what the result is then shifted by."""
        most = self.all.result.channels.bit_length() - 1
        least = WHOLE - FRACTION - 8 - most
        self._lanes(Alu.PASS, total, total, {"shift": -least})
        steps = [1 << place for place in range(most.bit_length() - 1, -1, -1)]
        whole = WHOLE + FRACTION + (WHOLE - 8) - 1
        return self._shifted(total, WHOLE, steps, whole - least)

    def _iterated(self, half: Words, guess: Words) -> Iterator[None]:
        """Newton's iteration; the number and what it is so far are multipliers in turn."""
        groups, row = self.packing.groups, self.way.row
        rest, more = self._group(1, 1), self._group(1, 0)
        factor = {"scalar": 0, "multiplier": RECIPROCAL_FACTOR, "shift": WHOLE}
        self._lanes(Alu.RSUB, half, guess, {**factor, "flags": int(VectorFlag.TFLITE)})
        self._lanes(Alu.ADD, guess, guess, {"scalar": RECIPROCAL_START})
        self.way.pass_on("half", half, row, groups)
        for _ in range(self.iterations):
            self.way.pass_on("guess", guess, row + groups, groups)
            yield
            self._by_rows(Alu.PASS, guess, rest, row, groups, {})
            self._by_rows(Alu.RSUB, rest, rest, row + groups, groups, {"scalar": 1 << 29})
            self._lanes(Alu.PASS, rest, more, {"shift": -2})
            self._lanes(Alu.ADD, guess, guess, {}, more)

    def _last(self) -> tuple[Alu, Mapping[str, int]]:
        return Alu.PASS, {"zero_target": LOW}
