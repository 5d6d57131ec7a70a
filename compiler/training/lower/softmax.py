"""Softmax along channels as instructions of the vector unit: that of a loss, and that of a map.

What there is one number a pixel of lies in the words of the second auxiliary bank, in all lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import GUARD, LOG2_E
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
)
from pulsarray.isa import Activation, Alu, Opcode, Reduce, VectorFlag

__all__ = ["SoftmaxMap", "SoftmaxRows", "add_lanes"]

_SCALAR, _ADD = int(VectorFlag.B_SCALAR), int(VectorFlag.ADD_AFTER)
_LEAST = 2
"""Words that a row takes of the second bank, at least: one of its own, and one of a mask."""


def add_lanes(chip: TrainChip, count: int, a: Words, total: Words, place: tuple[int, int]) -> None:
    """Words of a block as the beginning of a total, or added to it; the last sums up lanes.

    ``place`` has the number of the block, and how many there are.
    """
    block, blocks = place
    chip.compute(
        count, a, total if block else None, acc=total,
        alu=Alu.ADD if block else Alu.PASS,
        reduce=Reduce.SUM if block == blocks - 1 else Reduce.NONE,
    )  # fmt: skip


@dataclass(frozen=True)
class SoftmaxRows:
    """Emits the softmax of some rows.

    Parameters
    ----------
    chip
        The machine.
    blocks, count, lanes
        Column blocks, rows, and lanes of the last block that count, 0 for all.
    read
        The words of a block, which are then on chip.
    masked
        Emits an operation of a block's words and its mask, the least code where they do not count
        and the largest elsewhere, to other words; false if all of the block counts.
    gates
        Whether more than lanes of the last block do not count.
    """

    chip: TrainChip
    blocks: int
    count: int
    lanes: int
    read: Callable[[int], Words]
    masked: Callable[[int, Words, Alu, Words], bool]
    gates: bool = False

    def emit(self, scale: str) -> Words:
        """Probabilities at 2^-31, block by block in the first bank; ``scale`` names what is read.

        A word a row of the second bank, from its first on, is in use meanwhile.
        """
        powers, rows = Words.at(self.chip.aux[0], 0, self.count), Words.at(self.chip.aux[1])
        self._largest(rows)
        self._powers(rows, powers, scale)
        self.total(rows)
        self._vector(1, rows, acc=rows, activation=Activation.RECIPROCAL, table="reciprocal")
        self.chip.exponent("minus one", -1)
        self._vector(self.blocks, powers, rows, acc=powers, alu=Alu.SCALED, x=("minus one",))
        return powers

    def total(self, rows: Words) -> None:
        """The sums of what is in the first bank, in all lanes."""
        for block in range(self.blocks):
            place = block, self.blocks
            add_lanes(self.chip, self.count, self.here(block), rows, place)

    def here(self, block: int) -> Words:
        """The place of a block in the first bank."""
        return Words.at(self.chip.aux[0], block * self.count)

    def _vector(self, blocks: int, a: Words, b: Words | None = None, **fields: Any) -> None:
        self.chip.compute((blocks, self.count), a, b, **fields)

    def _largest(self, rows: Words) -> None:
        """The largest of each row, in all lanes."""
        for block in range(self.blocks):
            a = self.read(block)
            if self.masked(block, a, Alu.MIN, self.here(0)):
                a = self.here(0)
            self._vector(
                1, a, rows if block else None, acc=rows,
                alu=Alu.MAX if block else Alu.PASS, reduce=Reduce.MAX,
            )  # fmt: skip

    def _powers(self, rows: Words, powers: Words, scale: str) -> None:
        """exp(x - max x) at 2^-30, what does not count 0."""
        for block in range(self.blocks):
            self._vector(1, self.read(block), rows, acc=self.here(block), alu=Alu.RSUB)
        self._vector(
            self.blocks, powers, acc=powers, alu=Alu.MUL, flags=_SCALAR, scalar=LOG2_E, shift=-1,
            x=("", scale), activation=Activation.EXP, table="exp", last_lanes=self.lanes,
        )  # fmt: skip
        for block in range(self.blocks) if self.gates else ():
            self.masked(block, self.here(block), Alu.GATE, self.here(block))


class SoftmaxMap:
    """Emits the softmax of each pixel of a map, and its gradient.

    Parameters
    ----------
    step
        The step.
    lowering
        The program.
    x, y
        What it reads, and its result.
    """

    def __init__(self, step: Step, lowering: Lowering, x: FeatureMap, y: FeatureMap) -> None:
        self.step, self.lowering = step, lowering
        self.chip, self.rows = lowering.chip, lowering.rows
        self.x, self.y, self.blocks = x, y, y.cuts()[-1]
        self.seen = lowering.tensors.seen.get(step.name)

    # Forward

    def forward(self, tile: Area) -> None:
        """Probabilities of a tile, at 2^-31."""
        SoftmaxRows(
            self.chip, self.blocks, tile.pixels, self.y.columns % self.chip.config.dim,
            lambda block: self.rows.read(self.x, tile.of(block)),
            partial(self._masked, tile),
            self.seen is not None and self.seen.rows > 1,
        ).emit(self.lowering.flow.outputs[self.step.source])  # fmt: skip

    def here(self, tile: Area) -> Words:
        """Where those of a tile's block are."""
        return Words.at(self.chip.aux[0], tile.blocks[0] * tile.pixels)

    @property
    def most(self) -> int:
        """Pixels of a tile, at most."""
        return self.chip.depth // max(self.blocks, _LEAST)

    def _masked(self, tile: Area, block: int, a: Words, alu: Alu, to: Words) -> bool:
        """Words of a block beside its mask, if it has one, which repeats row by row."""
        seen, there, count = self.seen, self.chip.aux[1], tile.pixels
        if seen is None or (seen.rows == 1 and block < self.blocks - 1):
            return False
        height, columns = seen.rows, tile.counts[3] if seen.rows > 1 else 1
        word = block * height + tile.columns[0] if height > 1 else 0
        self.chip.move(Opcode.LOAD, seen, word, Words.at(there, count), columns)
        span = columns if height > 1 else count
        self.chip.compute(
            (count // span, span), Words(a.bank, a.base, (span, 1)),
            Words(there, count, (0, int(height > 1))), acc=Words(to.bank, to.base, (span, 1)),
            alu=alu,
        )  # fmt: skip
        return True

    # Backward

    def along(self, error: FeatureMap, tile: Area) -> None:
        """Minus the sum of a tile's error times its probabilities, with guard bits."""
        count = tile.pixels
        sums, along = Words.at(self.chip.next_sums()), Words.at(self.chip.aux[1])
        for block in range(self.blocks):
            self.chip.compute(count, self.rows.read(error, tile.of(block)), acc=sums)
            self.chip.compute(
                count, self.rows.read(self.y, tile.of(block)), sums, acc=sums, alu=Alu.MUL
            )
            add_lanes(self.chip, count, sums, along, (block, self.blocks))
        self.chip.compute(
            count, along, acc=along, alu=Alu.RSUB, flags=_SCALAR, shift=-GUARD,
            x=("", f"{self.step.name}.output"),
        )  # fmt: skip

    def pull(self, error: FeatureMap, tile: Area) -> Words:
        """The gradient by a tile of what was read, :data:`GUARD` bits below its exponents."""
        sums, along = Words.at(self.chip.next_sums()), Words.at(self.chip.aux[1])
        a, count = self.rows.read(error, tile), tile.pixels
        self.chip.compute(count, a, along, acc=sums, flags=_ADD, shift=-GUARD)
        self.chip.compute(count, sums, self.rows.read(self.y, tile), acc=sums, alu=Alu.MUL)
        return sums
