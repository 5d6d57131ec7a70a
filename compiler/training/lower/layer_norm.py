"""Layer normalization as instructions of the vector unit: what there is one number a pixel of lies
in the words of an accumulator bank, in all lanes.
"""

from __future__ import annotations

from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import (
    SMALLER,
)
from pulsarray.compiler.numerics.normalization import DEVIATION, Mean
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    common,
    tiles,
    written,
)
from pulsarray.compiler.training.lower.norm import divide
from pulsarray.compiler.training.lower.softmax import add_lanes
from pulsarray.isa import Alu, Opcode, VectorFlag

__all__ = ["SHARE", "LayerNormalization"]

SHARE = 3
"""A tile takes one part in so many of a bank: on the way back three words a pixel."""
_SCALAR, _SUBTRACT = int(VectorFlag.B_SCALAR), int(VectorFlag.SUB_AFTER)
_CODE_BITS = 12


class LayerNormalization:
    """Emits one layer normalization, without scale and shift.

    Parameters
    ----------
    step
        What is normalized.
    lowering
        The program.
    source, normal
        The maps.
    """

    def __init__(
        self, step: Step, lowering: Lowering, source: FeatureMap, normal: FeatureMap
    ) -> None:
        self.step, self.lowering, self.chip = step, lowering, lowering.chip
        self.rows, self.source, self.normal = lowering.rows, source, normal
        self.mean = Mean.along(step.given[2], f"{step.name.rpartition('.')[0]}: ")
        self.kept = lowering.tensors.norms[step.name]
        self.blocks = source.cuts()[-1]
        self.here, self.there = self.chip.aux
        self.scale = lowering.flow.outputs[step.source]

    def _add(self, count: int, a: Words, total: Words, block: int) -> None:
        """Words of a block as the beginning of a total or added to it; the last sums up lanes."""
        add_lanes(self.chip, count, a, total, (block, self.blocks))

    def _scaled(self, count: int, a: Words, acc: Words, factor: int, shift: int) -> None:
        self.chip.compute(count, a, acc=acc, alu=Alu.MUL, flags=_SCALAR, scalar=factor, shift=shift)

    # Forward

    def forward(self) -> None:
        """Normalized values; what they were divided by goes to memory for the way back."""
        x, z = self.source, self.normal
        for images in common(x.groups(), z.groups()):
            for tile in tiles(z, images, self.chip.depth // SHARE):
                self._tile(tile)
            written(z, images)

    def _tile(self, tile: Area) -> None:
        count = tile.pixels
        means, squares = Words.at(self.there), Words.at(self.there, count)
        for block in range(self.blocks):
            self._add(count, self.rows.read(self.source, tile.of(block)), means, block)
        self._scaled(count, means, means, self.mean.mantissa, self.mean.shift)
        for block in range(self.blocks):
            self._centre(tile.of(block), means, squares)
        divide(self.chip, squares, count, self.mean, self.kept, self.scale)
        if self.lowering.training:
            self._keep(tile, squares.base, count, Opcode.STORE)
        self.chip.exponent("temporary", DEVIATION)
        for block in range(self.blocks):
            z = self.rows.read(self.normal, tile.of(block))
            self.chip.compute(count, z, squares, target=z, alu=Alu.SCALED, x=("temporary",))

    def _centre(self, tile: Area, means: Words, squares: Words) -> None:
        """Values less their mean, in the place of the result, and the sum of their squares."""
        read, count = self.rows.get(self.source.of(tile)), tile.pixels
        self.rows.new(self.normal.of(tile), 0, avoid=[read.bank], pinned=[read])
        z, copy = self.normal.words(tile), Words.at(self.here)
        self.chip.compute(
            count, self.source.words(tile), means, target=z, alu=Alu.SUB,
            last_lanes=self.normal.lanes(tile, self.chip.config.dim),
        )  # fmt: skip
        self.chip.compute(count, z, acc=copy)
        self.chip.compute(count, z, copy, acc=copy, alu=Alu.MUL)
        self._add(count, copy, squares, tile.blocks[0])

    def _keep(self, tile: Area, word: int, count: int, op: Opcode) -> None:
        """What a tile was divided by, from memory or to it."""
        first = tile.images[0] * self.normal.pixels + tile.rows[0] * self.normal.shape[1]
        self.chip.move(op, self.kept.divisor, first, Words.at(self.there, word), count)

    # Backward

    def prepare(self) -> None:
        """The exponent of what is divided, from that with guard bits, ``temporary``."""
        self.chip.exponent("guard", SMALLER, "temporary", self.scale)

    def pull(self, delta: FeatureMap, tile: Area, error: str) -> Words:
        """The gradient of a tile of the source at ``temporary``; ``error`` names delta's.

        It takes what :meth:`means` has made of the tile.
        """
        sums = Words.at(self.chip.next_sums())
        count = tile.pixels
        less, along, divisors = self._parts(count)
        self.chip.compute(count, self.rows.read(self.normal, tile), along, acc=sums, alu=Alu.MUL)
        a = self.rows.read(delta, tile)
        self.chip.compute(count, a, sums, acc=sums, flags=_SUBTRACT, shift=-_CODE_BITS)
        self.chip.compute(count, sums, less, acc=sums, alu=Alu.RSUB)
        self.chip.compute(count, sums, divisors, acc=sums, alu=Alu.SCALED, x=("guard", error))
        return sums

    def _parts(self, count: int) -> list[Words]:
        """What there is one number a pixel of in the second bank."""
        return [Words.at(self.there, part * count) for part in range(SHARE)]

    def means(self, delta: FeatureMap, tile: Area) -> None:
        """Means of a tile's error and of its products with normalized values, and divisors."""
        sums, shift, count = Words.at(self.chip.next_sums()), self.mean.shift, tile.pixels
        less, along, divisors = self._parts(count)
        for block in range(self.blocks):
            self._add(count, self.rows.read(delta, tile.of(block)), sums, block)
        self._scaled(count, sums, less, -self.mean.mantissa, shift - _CODE_BITS)
        for block in range(self.blocks):
            self.chip.compute(count, self.rows.read(delta, tile.of(block)), acc=sums)
            self.chip.compute(
                count, self.rows.read(self.normal, tile.of(block)), sums, acc=sums, alu=Alu.MUL
            )
            self._add(count, sums, along, block)
        self._scaled(count, along, along, self.mean.mantissa, shift + _CODE_BITS)
        self._keep(tile, divisors.base, count, Opcode.LOAD)
