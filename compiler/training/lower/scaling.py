"""Scales and shifts of channels as instructions: what normalizations end with."""

from __future__ import annotations

from typing import ClassVar

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import FeatureMap, Segment
from pulsarray.compiler.training.lower.products.weights import WeightGradient
from pulsarray.isa import Alu

__all__ = ["Scaling"]


class Scaling:
    """Emits products of a map with one weight a channel, and their gradients.

    Parameters
    ----------
    layer
        The step with the weights.
    lowering
        The program.
    normal, scale
        What is scaled, and the name of its exponent.

    Class attributes
    ----------------
    spare
        Words of the first auxiliary bank, for each channel block, that are in use meanwhile.
    """

    spare: ClassVar[int] = 0

    def __init__(self, layer: Step, lowering: Lowering, normal: FeatureMap, scale: str) -> None:
        self.layer, self.tensors, self.chip = layer, lowering.tensors, lowering.chip
        self.rows, self.weights = lowering.rows, lowering.weights
        self.normal, self.scale = normal, scale
        self.products = WeightGradient(lowering)
        self.dim, self.depth = lowering.config.dim, lowering.chip.depth
        self.blocks = -(-layer.given[2] // self.dim)
        self.geometry = Geometry(Window((1, 1)), layer.given, layer.given, self.dim)
        self.here, self.there = self.chip.aux

    def scaled(self, feature_map: FeatureMap, tile: Area, sums: Words) -> None:
        """A tile of a map, normalized values or their error, times the working weights."""
        self._weighted(self.rows.read(feature_map, tile), tile, sums)

    def _weighted(self, a: Words, tile: Area, sums: Words) -> None:
        """A tile times the working weights."""
        tensor = self.tensors.kept[f"{self.layer.name}.weight"]
        weight = self.weights.get(Segment(tensor, 0, self.blocks, 1, self.blocks))
        by = Words.at(weight.bank, weight.base(0) + tile.blocks[0], 0, 0)
        self.chip.compute(tile.pixels, a, by, acc=sums, alu=Alu.MUL)
        self.weights.drop([weight])

    def diagonal(
        self, first: FeatureMap, second: FeatureMap, block: int, bank: int, *, add: bool = False
    ) -> None:
        """Sums of products channel by channel, in the first word of a bank or added to it."""
        part, to = (block, block + 1), self.chip.next_sums(bank) if add else bank
        self.products.emit(self.geometry, first, second, (block, part), to, add=False)
        one = self.rows.get(self.rows.segment("identity", self.dim, self.tensors.identity))
        some = Words.at(self.here, self.spare * self.blocks)
        self.chip.compute(
            self.dim, Words.at(to), Words.at(one.bank, one.base(0)),
            acc=some, alu=Alu.MUL,
        )  # fmt: skip
        self.rows.drop([one])
        result = Words.at(bank)
        for row in range(self.dim):
            a = Words.at(self.here, some.base + row)
            if row or add:
                self.chip.compute(1, a, result, acc=result, alu=Alu.ADD)
            else:
                self.chip.compute(1, a, acc=result)
