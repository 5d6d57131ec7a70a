"""Dropout of feature maps by the vector unit, with masks that the host draws."""

from __future__ import annotations

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.training.arithmetic import factor
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    Tile,
    common,
    tiles,
    words_at,
    written,
)
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.compiler.training.lower.tensors import TrainTensors
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Dropping"]

_SCALAR, _STATISTIC = int(VectorFlag.B_SCALAR), int(VectorFlag.STATISTIC)


class Dropping:
    """Emits one dropout.

    Parameters
    ----------
    step, tensors
        What is dropped, and memory.
    chip, cache
        The machine, and its maps.
    """

    def __init__(self, step: Step, tensors: TrainTensors, chip: TrainChip, cache: Cache) -> None:
        self.step, self.chip, self.cache = step, chip, cache
        home = tensors.drops[step.name]
        self.mask = cache.place(f"{step.name}.mask", tensors.rows, step.result, home)
        self.mantissa, exponent = factor(step.share, step.name)
        self.shift = -exponent

    def forward(
        self, source: FeatureMap, result: FeatureMap, x: tuple[str, str], *, training: bool
    ) -> None:
        """The result; ``x`` names its exponent and the source's."""
        chip = self.chip
        for images in common(source.groups(), result.groups(), self.mask.groups()):
            for tile in tiles(result, images, chip.depth):
                count = tile.images * tile.rows * result.shape[1]
                for block in range(result.cuts()[-1]):
                    read = self.cache.get(source.at(tile.low, block))
                    a = words_at(source, tile, block)
                    if training:
                        sums = Words.at(chip.aux[0], 0, 1)
                        chip.compute(
                            count, a, acc=sums,
                            alu=Alu.MUL, flags=_SCALAR, scalar=self.mantissa,
                        )  # fmt: skip
                        a = sums
                        read = self.cache.get(self.mask.at(tile.low, block))
                    mask = words_at(self.mask, tile, block) if training else None
                    self.cache.new(result.at(tile.low, block), 0, pinned=[read])
                    chip.compute(
                        count, a, mask, target=words_at(result, tile, block), x=x,
                        alu=Alu.GATE if training else Alu.PASS,
                        flags=_STATISTIC if training else 0,
                        shift=self.shift if training else 0,
                    )  # fmt: skip
            written(result, images)
        self.cache.drop(self.mask.segments)

    def backward(self, error: FeatureMap, tile: Tile, block: int, bank: int) -> int:
        """What a tile of the source gets of the error; how far it is to be shifted."""
        chip = self.chip
        count, sums = tile.images * tile.rows * error.shape[1], Words.at(bank, 0, 1)
        self.cache.get(error.at(tile.low, block))
        chip.compute(
            count, words_at(error, tile, block), acc=sums,
            alu=Alu.MUL, flags=_SCALAR, scalar=self.mantissa,
        )  # fmt: skip
        self.cache.get(self.mask.at(tile.low, block))
        mask = words_at(self.mask, tile, block)
        chip.compute(count, sums, mask, acc=sums, alu=Alu.GATE)
        return self.shift
