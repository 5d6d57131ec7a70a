"""The VECTORs of a tile whose numbers are multiplied by a function of a sum of each pixel.

The sum is the same in all lanes of a pixel's word; sums of several pixels become lanes of one word.
The function is Newton's iteration, whose products of two results go through memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.packing import Packing
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.views import Area, Stored, ranges
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.isa import Alu, Bank, Opcode, Reduce, VectorFlag
from pulsarray.program import Tensor

__all__ = ["WHOLE", "Common", "Tile", "Way", "scaled_by"]

WHOLE = 31
"""Shift of a product of two numbers of which one has no integer bits."""
_PIECES = 8
"""Parts of a tile whose results come back from memory while others go there.

With 1 the MNIST transformer takes 5 % more cycles on `base`."""
_MULTIPLIER, _SHIFT = 1, 2
"""Columns of the parameter bank."""


@dataclass(frozen=True)
class Common:
    """What all tiles of an operator have in common.

    Parameters
    ----------
    op
        The operator.
    chip, layer
        Where to, and for which layer.
    result, zero
        Where the result goes, and the zero point of what it is made of.
    tables
        Tables of bytes in memory, the lowest one first.
    masks
        A word on chip for each lane.
    """

    op: Operator
    chip: MapChip
    layer: int
    result: Stored
    zero: int
    tables: Sequence[Tensor]
    masks: Words


@dataclass(frozen=True)
class Way:
    """Where one of the tiles at once has its words and parameters.

    Parameters
    ----------
    chip, layer
        Where to, and for which layer.
    shift
        A word of shifts in memory.
    passed
        Where its results are on their way.
    base, row
        First word of each accumulator bank, and first row of parameters.
    """

    chip: MapChip
    layer: int
    shift: Tensor
    passed: Mapping[str, Tensor]
    base: int
    row: int

    def shifted(self, count: int) -> None:
        """Let rows of parameters shift by :data:`WHOLE`."""
        self._parameters(self.shift, self.row, _SHIFT, count, step=0)

    def pass_on(
        self, what: str, words: Words, row: int, count: int, columns: int = 1, place: int = 0
    ) -> None:
        """Words of an accumulator bank to the parameter bank, by way of memory.

        They are multipliers of so many rows, or multiplier and shift of each; ``place`` is where
        they lie in memory.
        """
        tensor = self.passed[what]
        where, size = (place, words.bank, words.base), count * columns
        self.chip.load(self.layer, tensor, *where, size, op=Opcode.STORE)
        self._parameters(tensor, row, _MULTIPLIER, count, columns, columns, place)

    def _parameters(
        self,
        tensor: Tensor,
        row: int,
        column: int,
        count: int,
        step: int,
        columns: int = 1,
        place: int = 0,
    ) -> None:
        self.chip.load(
            self.layer,
            tensor,
            place,
            Bank.PARAMETER,
            row * PARAMETER_COLUMNS + column,
            rows=columns,
            blocks=count,
            local_stride=PARAMETER_COLUMNS,
            memory_stride=step,
        )


class Tile(ABC):
    """Emits the VECTORs of a tile.

    ``iterations`` and ``vectors`` are steps of Newton's iteration, and about how many VECTORs of
    all words a tile takes; ``scaled`` are fields of what makes a multiplier of the result;
    ``slots`` are words for each group in each of two banks.

    Parameters
    ----------
    common, way
        What all tiles have in common, and where its words are.
    tile, codes, places
        Its pixels with all blocks, their codes, and where the result goes.
    """

    iterations: ClassVar[int]
    vectors: ClassVar[int]
    scaled: ClassVar[Mapping[str, int]]
    slots: ClassVar[int] = 2

    def __init__(self, common: Common, way: Way, tile: Area, codes: Words, places: Places) -> None:
        self.all, self.way, self.chip, self.tile = common, way, common.chip, tile
        self.pixels, self.blocks = tile.pixels, common.result.blocks
        self.packing = Packing.of(tile.pixels, self.chip.config.dim)
        self.lanes = common.result.lanes(tile, self.chip.config.dim)
        self.codes = replace(codes, steps=(codes.steps[0], 1, 0, 0))
        self.spare, self.target = places.spare(tile), places.result(tile)
        self.powers = self._words(0, 0)
        self.total = self._words(0, self.blocks * self.pixels, 0)

    def _words(self, bank: int, place: int, blocks: int = 1) -> Words:
        """Words of an accumulator bank: of all blocks, or one for each pixel or group."""
        steps = (self.pixels * blocks, 1, 0, 0)
        return Words(Bank.ACCUMULATOR + bank, self.way.base + place, steps)

    def _group(self, bank: int, number: int) -> Words:
        """A word for each group: in one bank behind the sums, in the other behind what is added."""
        first, other = (half * self.packing.groups for half in self.packing.halves)
        place = max(2 * self.pixels, other) if bank else (self.blocks + 1) * self.pixels + first
        return self._words(bank, place + number * self.packing.groups, 0)

    def vector(
        self,
        alu: Alu,
        a: Words,
        to: Words,
        fields: Mapping[str, int],
        b: Words | None = None,
        *,
        blocks: int = 1,
        count: int = 0,
        touched: Sequence[Access] = (),
    ) -> None:
        """A VECTOR of all pixels of so many blocks, whose result is wide if it goes there."""
        wide = to.bank >= Bank.ACCUMULATOR
        operands = {"a": a, "acc" if wide else "target": to} | ({"b": b} if b else {})
        counts = (blocks, count or self.pixels, 1, 1)
        self.chip.vector(self.all.layer, counts, operands, _usual(alu, fields), touched)

    @abstractmethod
    def sums(self) -> Iterator[None]:
        """Numbers and their sum, in steps between which others may be emitted."""

    @abstractmethod
    def _normalized(self, total: Words) -> Words:
        """Shift the sum until it has its most bits; what the result is then shifted by."""

    @abstractmethod
    def _iterated(self, half: Words, guess: Words) -> Iterator[None]:
        """The function of the sum, in steps each of which begins behind memory."""

    @abstractmethod
    def _last(self) -> tuple[Alu, Mapping[str, int]]:
        """The last product's function and fields."""

    def quotients(self) -> Iterator[None]:
        """The result, of numbers and their sum; each step begins behind memory."""
        self.way.shifted(2 * self.packing.groups)
        yield from self._result(self._packed())
        if self.all.result.tensor is not None:
            self.chip.store_area(self.all.layer, self.all.result, self.tile, self.target)

    def _result(self, half: Words) -> Iterator[None]:
        """Numbers times what their sum becomes."""
        row, pixels, guess = self.way.row, self.pixels, self._group(0, 1)
        exponent = self._normalized(half)
        yield from self._iterated(half, guess)
        both = self._words(1, 0, 0)
        self._each(guess, both, self.scaled)
        self._each(exponent, both.shifted(1), {})
        yield
        parts = ranges((0, pixels), max(1, -(-pixels // _PIECES)))
        for low, high in parts:
            part = both.shifted(2 * low)
            self.way.pass_on("result", part, row + low, high - low, columns=2, place=2 * low)
        yield
        for low, high in parts:
            self._finish(low, high)

    def _packed(self) -> Words:
        """The sums as lanes, a word a group: each in its lane, then all added.

        Halves of them lie in two banks, for one cannot give two words in a cycle.
        """
        groups, (first, other) = self.packing.groups, self.packing.halves
        banks = self._words(0, (self.blocks + 1) * self.pixels, 0), self._words(1, 0, 0)
        sums = replace(self.total, steps=(1, self.packing.step, 0, 0))
        for bank, low, count in ((0, 0, first), (1, first, other)):
            to = replace(banks[bank], steps=(groups, 1, 0, 0))
            masks = self.all.masks.shifted(low)
            if count:
                one = sums.shifted(low)
                self.vector(Alu.GATE, one, to, {}, masks, blocks=count, count=groups)
        while first + other > 1:
            first, other = self._added(banks, first, other)
        return banks[0]

    def _added(self, banks: tuple[Words, Words], first: int, other: int) -> tuple[int, int]:
        """Words of both banks added in pairs, a single one kept; how many each bank has then."""
        groups, kept, (low, high) = self.packing.groups, first - first // 2, banks
        self.vector(Alu.ADD, low, low, {}, high, count=kept * groups)
        if other > kept:
            one, two = (words.shifted(kept * groups) for words in banks)
            self.vector(Alu.ADD, one, high, {}, two, count=(other - kept) * groups)
        if first > max(other, kept):
            single = low.shifted((first - 1) * groups)
            place = high.shifted((first - 1 - kept) * groups)
            self.vector(Alu.PASS, single, place, {}, count=groups)
        return kept, first - kept

    def _each(self, packed: Words, to: Words, fields: Mapping[str, int]) -> None:
        """Lanes as words again, the same in all lanes, two words apart."""
        lanes, groups = self.packing.lanes, self.packing.groups
        words = replace(packed, steps=(0, 1, 0, 0))
        spread = replace(to, steps=(2, 2 * self.packing.step, 0, 0))
        more = {**fields, "reduce": int(Reduce.SUM)}
        self.vector(Alu.GATE, words, spread, more, self.all.masks, blocks=lanes, count=groups)

    def _across(
        self, alu: Alu, words: Words, to: Words, reduce: Reduce, fields: Mapping[str, int]
    ) -> None:
        """A word for each pixel from those of all blocks, the last one first: it may be partial.

        Lanes beyond the last channel are 0 then, which changes neither.
        """
        last, ends = self.blocks - 1, {"reduce": int(reduce)}
        whole = {**fields, **self.lanes, **(ends if not last else {})}
        self.vector(Alu.PASS, words.shifted(last * words.steps[0]), to, whole)
        for block in range(last):
            whole = {**fields, **(ends if block == last - 1 else {})}
            self.vector(alu, words.shifted(block * words.steps[0]), to, whole, to)

    def _in_all_lanes(self) -> None:
        """Lanes beyond the last channel lack the sum, or part of it: all have the most."""
        if self.lanes["last_lanes"]:
            self.vector(Alu.PASS, self.total, self.total, {"reduce": int(Reduce.MAX)})

    def _shifted(
        self,
        total: Words,
        end: int,
        steps: Sequence[int],
        whole: int,
        unit: int = 1,
        beside: Words | None = None,
    ) -> Words:
        """Shift words by those of these bits that leave them below 2^end; what is left of whole.

        That counts so many bits as one. Others are shifted beside, by the same.
        """
        exponent, spare, other = self._group(0, 0), self._group(1, 0), self._group(1, 1)
        self._lanes(Alu.PASS, total, exponent, {"multiplier": 0})
        for bits in steps:
            self._lanes(Alu.RSUB, total, spare, {"scalar": 1 << (end - bits)})
            self._lanes(Alu.GATE, total, other, {"multiplier": (1 << bits) - 1}, spare)
            self._lanes(Alu.ADD, total, total, {}, other)
            self._lanes(Alu.GREATER, other, other, {"scalar": 0, "multiplier": bits // unit})
            self._lanes(Alu.ADD, exponent, exponent, {}, other)
            if beside:
                self._lanes(Alu.GATE, beside, other, {"multiplier": (1 << bits) - 1}, spare)
                self._lanes(Alu.ADD, beside, beside, {}, other)
        self._lanes(Alu.RSUB, exponent, exponent, {"scalar": whole})
        return exponent

    def _lanes(
        self, alu: Alu, a: Words, to: Words, fields: Mapping[str, int], b: Words | None = None
    ) -> None:
        """A VECTOR of a word for each group."""
        self.vector(alu, a, to, fields, b, count=self.packing.groups)

    def _by_rows(
        self, alu: Alu, a: Words, to: Words, row: int, count: int, fields: Mapping[str, int]
    ) -> None:
        """A VECTOR whose scale is in a row of parameters for each word, or pixel, of a block."""
        name = "acc" if to.bank >= Bank.ACCUMULATOR else "target"
        turned = {
            place: replace(words, steps=(words.steps[1], words.steps[0], 0, 0))
            for place, words in (("a", a), (name, to))
        }
        scaled = {"flags": int(VectorFlag.TFLITE | VectorFlag.LANE_SCALE), "parameter": row}
        scaled |= {"parameter_step": 1 if count > 1 else 0, **fields}
        touched = [self.chip.parameter_access(row, count)]
        counts = (count, self.blocks if to.steps[0] else 1, 1, 1)
        self.chip.vector(self.all.layer, counts, turned, _usual(alu, scaled), touched)

    def _finish(self, low: int, high: int) -> None:
        """Numbers of some pixels times what is in rows; lanes beyond the last channel are 0."""
        words, row, count = Words.of(self.target, self.tile), self.way.row + low, high - low
        target = replace(words, steps=(words.steps[0], 1, 0, 0)).shifted(low)
        alu, fields = self._last()
        self._by_rows(alu, self.powers.shifted(low), target, row, count, fields)
        if self.lanes["last_lanes"]:
            self.vector(Alu.PASS, target, target, self.lanes, blocks=self.blocks, count=count)


def scaled_by(factor: int, shift: int = WHOLE) -> dict[str, int]:
    """Fields of a product with a constant, usually with no integer bits, as gemmlowp rounds it."""
    return {"multiplier": factor, "shift": shift, "flags": int(VectorFlag.TFLITE)}


def _usual(alu: Alu, fields: Mapping[str, int]) -> dict[str, int]:
    """Fields of a VECTOR, with those that always are there."""
    flags = fields.get("flags", 0) | (VectorFlag.B_SCALAR if "scalar" in fields else 0)
    return {"low": LOW, "high": HIGH, **fields, "alu": int(alu), "flags": int(flags)}
