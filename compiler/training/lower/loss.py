"""The gradient of every loss, as instructions of the vector unit (docs/training.md, Loss)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import ALIGNED, PROBABILITY
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.lower.chip import CODE_MAX, TrainChip
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    common,
    tiles,
    written,
)
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.compiler.training.lower.softmax import SoftmaxRows
from pulsarray.compiler.training.lower.tensors import LIMIT_ROWS, MASK_ROW
from pulsarray.isa import Activation, Alu, VectorFlag

__all__ = ["LossGradient", "loss_rows"]

_ONE, _FRACTION = 1 << 14, 1 << 15
_STATISTIC = int(VectorFlag.STATISTIC)
_LANE, _SCALAR = int(VectorFlag.B_LANE), int(VectorFlag.B_SCALAR)


def loss_rows(network: TrainingNetwork, dim: int) -> int:
    """Accumulator words that the loss needs for each row in one bank."""
    blocks = -(-network.last.weight.shape[1] // dim)
    return blocks + 1 if network.loss.name == "cross-entropy" else 1


class LossGradient:
    """Emits the gradient of a loss.

    Parameters
    ----------
    network
        What is trained.
    chip, cache
        The machine, and its maps.
    output, target, error
        The last layer's output, the target, and what takes the gradient.
    avoid
        Banks in which the gradient had better not be.
    """

    def __init__(
        self,
        network: TrainingNetwork,
        chip: TrainChip,
        cache: Cache,
        output: FeatureMap,
        target: FeatureMap,
        error: FeatureMap,
        avoid: list[int],
    ) -> None:
        self.avoid = avoid
        self.network, self.chip, self.cache = network, chip, cache
        self.output, self.target, self.error = output, target, error
        self.tile, self.rows = output.whole(), 0
        self.blocks = output.cuts()[-1]
        self.last_lanes = output.columns % chip.config.dim
        self.names = (network.loss_error, f"{network.last.name}.output")
        self.here, self.there = chip.aux

    def run(self) -> None:
        """Emit it, tile by tile; vectors are one."""
        maps, most = (self.output, self.target, self.error), self.chip.depth
        most //= loss_rows(self.network, self.chip.config.dim)
        for images in common(*(feature_map.groups() for feature_map in maps)):
            for tile in tiles(self.output, images, most):
                self.tile, self.rows = tile, tile.pixels
                self._emit()
            written(self.error, images)

    def _emit(self) -> None:
        """That of a tile."""
        if self.network.loss.name == "cross-entropy":
            self._softmax()
            return
        rule = _RULES[self.network.loss.name]
        for block in range(self.blocks):
            lanes = self.last_lanes if block == self.blocks - 1 else 0
            self._segments(block, 1)
            if self.network.loss.name != "hinge":
                self._align(block)
            rule(self, block, lanes)

    def _segments(self, block: int, written: int) -> None:
        """Output and target of a column block, and room for the error, in different banks."""
        z = self.cache.get(self.output.of(self.tile.of(block)))
        t = self.cache.get(self.target.of(self.tile.of(block)), avoid=[z.bank], pinned=[z])
        self.cache.part(t, z)
        avoid, done = [z.bank, t.bank, *self.avoid], written * (self.output.pixels == 1)
        self.cache.new(self.error.of(self.tile.of(block)), done, avoid=avoid, pinned=[z, t])

    def _at(self, feature_map: FeatureMap, block: int) -> Words:
        """The tile of a map's block, which is on chip."""
        return feature_map.words(self.tile.of(block))

    def _align(self, block: int) -> None:
        """Output and target at one exponent, one in each bank."""
        sides = (self.here, self.output, self.names[1]), (self.there, self.target, "target")
        for bank, feature_map, name in sides:
            self._vector(
                self._at(feature_map, block),
                acc=Words.at(bank),
                shift=ALIGNED,
                x=("", name),
            )

    def _vector(self, a: Words, b: Words | None = None, blocks: int = 1, **fields: Any) -> None:
        self.chip.compute((blocks, self.rows), a, b, **fields)

    def _subtract(self, block: int, lanes: int, **fields: Any) -> None:
        """Output less target, both aligned, to the error."""
        fields.setdefault("target", self._at(self.error, block))
        self._vector(
            Words.at(self.here), Words.at(self.there), alu=Alu.SUB, last_lanes=lanes, **fields
        )

    def _requantized(self) -> dict[str, Any]:
        return {"shift": -ALIGNED, "x": (self.names[0],), "flags": _STATISTIC}

    def _difference(self, block: int, lanes: int) -> None:
        self._subtract(block, lanes, **self._requantized())

    def _steps(self, block: int, lanes: int, high: int, low: int) -> None:
        self._subtract(block, lanes, activation=Activation.STEP, high=high, low=-low)

    def _absolute(self, block: int, lanes: int) -> None:
        self._steps(block, lanes, _ONE, _ONE)

    def _quantile(self, block: int, lanes: int) -> None:
        gamma = self.network.loss.parameter or 0.0
        high, low = round((1 - gamma) * _FRACTION), round(gamma * _FRACTION)
        self._steps(block, lanes, min(high, CODE_MAX), min(low, CODE_MAX))

    def _log_cosh(self, block: int, lanes: int) -> None:
        self._subtract(block, lanes, activation=Activation.TABLE, table="tanh", shift=17)

    def _huber(self, block: int, lanes: int) -> None:
        here = Words.at(self.here)
        self._subtract(block, 0, target=None, acc=here)
        high, low = LIMIT_ROWS
        self._vector(here, acc=here, alu=Alu.MIN, flags=_LANE, parameter=high)
        self._vector(
            here,
            target=self._at(self.error, block),
            alu=Alu.MAX,
            parameter=low,
            last_lanes=lanes,
            **(self._requantized() | {"flags": _STATISTIC | _LANE}),
        )

    def _hinge(self, block: int, lanes: int) -> None:
        """The negative target where the margin is less than one."""
        here, there = Words.at(self.here), Words.at(self.there)
        z, t = self._at(self.output, block), self._at(self.target, block)
        self._vector(z, t, acc=here, alu=Alu.MUL, shift=ALIGNED, x=("", self.names[1], "target"))
        one = 1 << -ALIGNED
        self._vector(here, acc=here, alu=Alu.RSUB, flags=_SCALAR, scalar=one)
        self._vector(t, here, acc=there, alu=Alu.GATE)
        error = self._at(self.error, block)
        self._vector(there, target=error, alu=Alu.RSUB, flags=_SCALAR, last_lanes=lanes)

    # Cross-entropy

    def _softmax(self) -> None:
        for block in range(self.blocks):
            self._segments(block, 0)
        total = Words.at(self.there)
        softmax = SoftmaxRows(
            self.chip, self.blocks, self.rows, self.last_lanes,
            lambda block: self._at(self.output, block), self._masked,
        )  # fmt: skip
        softmax.emit(self.names[1])
        softmax.total(total)
        for block in range(self.blocks):
            gated = Words.at(self.there, self.rows)
            done = int(self.output.pixels == 1)
            error = self.cache.new(self.error.of(self.tile.of(block)), done)
            self.cache.get(self.target.of(self.tile.of(block)), pinned=[error])
            t = self._at(self.target, block)
            self._vector(total, t, acc=gated, alu=Alu.GATE)
            self._vector(
                softmax.here(block),
                gated,
                target=self._at(self.error, block),
                alu=Alu.SUB,
                last_lanes=self.last_lanes if block == self.blocks - 1 else 0,
                shift=-PROBABILITY,
                x=(self.names[0],),
                flags=_STATISTIC,
            )

    def _masked(self, block: int, a: Words, alu: Alu, to: Words) -> bool:
        """Words beside the mask of a block: of the last one not all lanes count."""
        if block < self.blocks - 1 or not self.last_lanes:
            return False
        self._vector(a, acc=to, alu=alu, flags=_LANE, parameter=MASK_ROW)
        return True


_RULES: dict[str, Callable[[LossGradient, int, int], None]] = {
    "mse": LossGradient._difference,
    "perceptron": LossGradient._difference,
    "binary-cross-entropy": LossGradient._difference,
    "mae": LossGradient._absolute,
    "quantile": LossGradient._quantile,
    "huber": LossGradient._huber,
    "log-cosh": LossGradient._log_cosh,
    "hinge": LossGradient._hinge,
}
