"""Batch normalization as instructions: statistics by the array, the rest by the vector unit.

Sums over pixels are products with ones; sums of products of two maps are the diagonal of their
product. What there is one number a channel of lies in a bank of its own while pixels pass.
"""

from __future__ import annotations

from typing import Any

from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import (
    GUARD,
    SMALLER,
)
from pulsarray.compiler.numerics.normalization import DEVIATION, GUARD_BITS, HALF_LOG, Mean
from pulsarray.compiler.passes.training.exponents import NORMAL
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    block_tiles,
    common,
    written,
)
from pulsarray.compiler.training.lower.scaling import Scaling
from pulsarray.compiler.training.lower.tensors import NormTensors
from pulsarray.errors import InputError
from pulsarray.isa import Activation, Alu, Opcode, VectorFlag

__all__ = ["Normalization", "divide"]

_SCALAR, _SUBTRACT = int(VectorFlag.B_SCALAR), int(VectorFlag.SUB_AFTER)
_CODE_BITS = 12


def divide(
    chip: TrainChip,
    words: Words,
    count: int,
    mean: Mean,
    kept: NormTensors,
    source: str,
) -> None:
    """From sums of squares to what values are divided by, some words in the second bank.

    ``source`` names the exponent of what was squared.
    """

    def many(b: Words | None = None, **fields: Any) -> None:
        chip.compute(count, words, b, acc=words, **fields)

    here = chip.aux[0]
    many(alu=Alu.MUL, flags=_SCALAR, scalar=mean.mantissa, shift=mean.shift - GUARD_BITS)
    sums, least = Words.at(here), Words.at(here, 1)
    chip.move(Opcode.LOAD, kept.epsilon, 0, sums, 1)
    chip.exponent("temporary", -GUARD_BITS, source, source)
    chip.compute(1, sums, acc=least, shift=-kept.exponent, x=("temporary",))
    many(Words.at(here, 1, 0, 0), alu=Alu.ADD, activation=Activation.RECIPROCAL, table="log2")
    many(
        alu=Alu.RSUB, flags=_SCALAR, scalar=HALF_LOG, shift=2,
        activation=Activation.EXP, table="exp",
    )  # fmt: skip
    many(activation=Activation.RECIPROCAL, table="reciprocal")


class Normalization(Scaling):
    """Emits one batch normalization.

    Parameters
    ----------
    layer
        What is normalized.
    lowering
        The program.
    """

    spare = 4

    def __init__(self, layer: Step, lowering: Lowering) -> None:
        normal = lowering.rows.place(f"{layer.name}.normal", lowering.tensors.rows, layer.given)
        super().__init__(layer, lowering, normal, NORMAL)
        height, width, channels = layer.given
        self.mean = Mean.over(self.tensors.rows * height * width, f"{layer.name}: ")
        if (self.dim + 4) * self.blocks > self.depth:
            raise InputError(
                f"{layer.name}: {channels} channels are too many to normalize on this machine"
            )

    def forward(self, u: FeatureMap) -> None:
        """Normalized values; the divisors go to memory for the way back."""
        means, total = self._sums(u)
        rest = self._rest(means, total)
        centred = self.rows.place(f"{self.layer.name}.centred", u.images, u.shape)
        self._each(u, centred, means, {"alu": Alu.SUB})
        divisors = self._words(self.there, 1)
        for block in range(self.blocks):
            sums = self._along(u, centred, block)
            self.chip.compute(
                1, sums, Words.at(self.here, rest.base + block),
                acc=Words.at(self.there, divisors.base + block), alu=Alu.SUB,
            )  # fmt: skip
        self._divide(divisors)
        self.chip.exponent("temporary", DEVIATION)
        self._each(centred, self.normal, divisors, {"alu": Alu.SCALED, "x": ("temporary",)})
        self.rows.drop(centred.segments)

    def _words(self, bank: int, number: int) -> Words:
        """A place for a word of each channel block."""
        return Words.at(bank, number * self.blocks)

    def _many(self, a: Words, b: Words | None = None, **fields: Any) -> None:
        """VECTOR on a word of each channel block."""
        self.chip.compute(self.blocks, a, b, **fields)

    def _scaled(self, a: Words, acc: Words, factor: int, shift: int = 0) -> None:
        self._many(a, acc=acc, alu=Alu.MUL, flags=_SCALAR, scalar=factor, shift=shift)

    def _sums(self, feature_map: FeatureMap) -> tuple[Words, Words]:
        """The means of a map's channels, and their sums."""
        total = self._total(feature_map)
        means = self._words(self.there, 0)
        self._scaled(total, means, self.mean.mantissa, self.mean.shift)
        return means, total

    def _total(self, feature_map: FeatureMap) -> Words:
        """Sums of a map's channels."""
        bank = self.chip.next_sums()
        ones = self.rows.segment("ones", 1, self.tensors.ones)
        self.products.bias(ones, feature_map, (0, self.blocks), bank, add=False)
        self.rows.drop([ones])
        return Words.at(bank, 0, 0, self.dim)

    def _rest(self, means: Words, total: Words) -> Words:
        """The mean times what the rounded mean leaves of the sum."""
        whole, rest = self._words(self.here, 0), self._words(self.here, 1)
        self._scaled(means, whole, self.mean.count)
        self._many(total, whole, acc=rest, alu=Alu.SUB)
        self._many(rest, means, acc=rest, alu=Alu.MUL)
        return rest

    def _along(self, first: FeatureMap, second: FeatureMap, block: int) -> Words:
        """Sums of products of two maps, channel by channel, of one block."""
        bank = self.chip.next_sums()
        self.diagonal(first, second, block, bank)
        return Words.at(bank)

    def _divide(self, words: Words) -> None:
        """From sums of squares to what values are divided by."""
        kept = self.tensors.norms[self.layer.name]
        source = self.tensors.network.flow.outputs[self.layer.source]
        divide(self.chip, words, self.blocks, self.mean, kept, source)
        self.chip.move(Opcode.STORE, kept.divisor, 0, words, self.blocks)

    def _each(
        self, source: FeatureMap, target: FeatureMap, words: Words, fields: dict[str, Any]
    ) -> None:
        """VECTOR on every pixel of a map with the word of its block."""
        for images in common(source.groups(), target.groups()):
            for tile in block_tiles(source, images, self.depth):
                a = self.rows.get(source.of(tile))
                self.rows.new(target.of(tile), 0, avoid=[a.bank], pinned=[a])
                by = Words.at(words.bank, words.base + tile.blocks[0], 0, 0)
                words_of = source.words(tile), by
                self.chip.compute(tile.pixels, *words_of, target=target.words(tile), **fields)
            written(target, images)

    # Backward

    def prepare(self, delta: FeatureMap) -> None:
        """What there is one number a channel of, on the way back."""
        less, along, divisors = (self._words(self.there, number) for number in range(3))
        total = self._total(delta)
        self._scaled(total, less, -self.mean.mantissa, self.mean.shift - _CODE_BITS)
        for block in range(self.blocks):
            sums = self._along(self.normal, delta, block)
            self.chip.compute(
                1, sums, acc=Words.at(self.there, along.base + block),
                alu=Alu.MUL, flags=_SCALAR, scalar=self.mean.mantissa,
                shift=self.mean.shift + _CODE_BITS,
            )  # fmt: skip
        kept = self.tensors.norms[self.layer.name]
        self.chip.move(Opcode.LOAD, kept.divisor, 0, divisors, self.blocks)
        flow, before = self.tensors.network.flow, self.layer.source
        error, source = flow.errors[before], flow.outputs[before]
        self.chip.exponent("guard", -GUARD, error)
        self.chip.exponent("temporary", SMALLER, "guard", source)

    def pull(self, delta: FeatureMap, tile: Area, error: str) -> Words:
        """The gradient of a tile of the source at the exponent ``guard``; ``error`` is delta's."""
        chip, sums, pixels = self.chip, Words.at(self.here), tile.pixels
        less, along, divisors = (
            Words.at(self.there, number * self.blocks + tile.blocks[0], 0, 0) for number in range(3)
        )
        normal = self.rows.read(self.normal, tile)
        chip.compute(pixels, normal, along, acc=sums, alu=Alu.MUL)
        a = self.rows.read(delta, tile)
        chip.compute(pixels, a, sums, acc=sums, flags=_SUBTRACT, shift=-_CODE_BITS)
        chip.compute(pixels, sums, less, acc=sums, alu=Alu.RSUB)
        self._weighted(sums, tile, sums)
        chip.compute(
            pixels, sums, divisors, acc=sums, alu=Alu.SCALED,
            x=("temporary", error, f"{self.layer.name}.weight"),
        )  # fmt: skip
        return sums
