"""What a reader of a value gives of the gradient at it: one function an operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch, singledispatchmethod

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import GUARD
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.gradient import Gradient
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import (
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
    ScaleShift,
)
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.forward import Forward
from pulsarray.compiler.training.lower.layer_norm import SHARE
from pulsarray.compiler.training.lower.maps import FeatureMap, Tile, words_at
from pulsarray.compiler.training.lower.pool import Averaging, Pooling
from pulsarray.compiler.training.lower.products.inputs import InputGradient
from pulsarray.isa import Alu

__all__ = ["Part", "Parts", "share"]

Part = tuple[Words, tuple[str, ...], int]
"""Part of a gradient, the names of its exponents, and how far it is to be shifted."""


@dataclass(frozen=True)
class _Given:
    """A tile of a gradient: that at a step's output, of a step that reads it."""

    step: Step
    reader: Step
    tile: Tile
    blocks: range
    pixels: int


@singledispatch
def share(_op: Operator) -> int:
    """One part in so many of a bank is all that a tile of a gradient by what is read may take."""
    return 1


@share.register
def _(_op: MaxPool | MatMul) -> int:
    return 2


@share.register
def _(_op: NormalizeChannels) -> int:
    return SHARE


def matrices_of(
    op: MatMul, by: int, error: FeatureMap, other: FeatureMap
) -> tuple[FeatureMap, FeatureMap, tuple[bool, bool]]:
    """The factors of a gradient by one factor of ``op``, and which of them is transposed.

    Of ``a b`` they are ``e b^T`` and ``a^T e``, of ``a b^T`` ``e b`` and ``e^T a``, of ``a^T b``
    ``b e^T`` and ``a e``.
    """
    if op.transpose_a:
        return other, error, (False, by == 0)
    if op.transpose_b:
        return error, other, (by == 1, False)
    return (error, other, (False, True)) if by == 0 else (other, error, (True, False))


class Parts:
    """Emits parts of gradients.

    Parameters
    ----------
    forward
        The forward pass.
    """

    def __init__(self, forward: Forward) -> None:
        self.lowering, self.chip, self.rows = forward.lowering, forward.chip, forward.rows
        self.values, self.errors, self.flow = forward.values, forward.live.errors, forward.flow
        self.pieces, self.norms, self.drops = forward.pieces, forward.norms, forward.drops
        self.layer_norms, self.scalings = forward.layer_norms, forward.scalings
        self.softmaxes = forward.softmaxes
        self.product, self.matrices = InputGradient(self.lowering), forward.matrices
        self.steps = {step.name: step for step in self.lowering.network.steps}

    def reader(self, part: str) -> Step:
        """The step whose error a part of a gradient comes from."""
        return self.steps[part.rpartition(".")[0]]

    def _scale(self, name: str) -> str:
        """Name of the exponent of a step's error."""
        return self.flow.errors[name]

    def of(self, step: Step, value: str, tile: Tile, blocks: range, pixels: int) -> Part:
        """What one reader gives of the gradient at a tile of a step's output."""
        given = _Given(step, self.reader(value), tile, blocks, pixels)
        return self._given(self.flow.makers[value].op, given)

    @singledispatchmethod
    def _given(self, _op: Operator, given: _Given) -> Part:
        """By the operator that made it; of others than these it is the error itself."""
        return self._passed(given)

    def _passed(self, given: _Given) -> Part:
        """The error of a reader; the turn of banks goes on as with every other part."""
        self.chip.next_sums()
        error, tile, block = self.errors[given.reader.name], given.tile, given.blocks[0]
        self.rows.get(error.at(tile.low, block))
        return words_at(error, tile, block), (self._scale(given.reader.name),), 0

    @_given.register
    def _(self, op: Gradient, given: _Given) -> Part:
        return self._by_operator(op.of, given)

    @_given.register
    def _(self, _op: NormalizeGradient, given: _Given) -> Part:
        reader = given.reader.name
        norm, error, scale = self.norms[reader], self.errors[reader], self._scale(reader)
        pulled = norm.pull(error, given.tile, given.blocks[0], given.pixels, scale)
        return pulled, ("guard",), 0

    @_given.register
    def _(self, _op: NormalizeChannelsGradient, given: _Given) -> Part:
        reader = given.reader.name
        norm, error = self.layer_norms[reader], self.errors[reader]
        tile, block, pixels = given.tile, given.blocks[0], given.pixels
        if self._is_new(given):
            norm.means(error, tile, pixels)
        scale = self._scale(reader)
        return norm.pull(error, tile, block, pixels, scale), ("temporary",), 0

    def _is_new(self, given: _Given) -> bool:
        """Whether what there is one number a pixel of is not in its bank.

        A gate's slope, or another one's numbers, come into it between blocks.
        """
        others = self.flow.readers(given.step.name)
        alone = sum(other.op.keeps_result for other in others) == 1
        return not given.blocks[0] or not alone or given.step.derivative.gated

    @_given.register
    def _(self, _op: Dropout, given: _Given) -> Part:
        reader, bank = given.reader.name, self.chip.next_sums()
        error, drop = self.errors[reader], self.drops[reader]
        shift = drop.backward(error, given.tile, given.blocks[0], bank)
        return Words.at(bank), (self._scale(reader),), shift

    def _by_matrix(self, op: MatMul, given: _Given, by: int) -> Part:
        """A product of the error with the other factor, each transposed or not."""
        reader, bank = given.reader, self.chip.next_sums()
        error, other = self.errors[reader.name], reader.sources[1 - by]
        first, second, turned = matrices_of(op, by, error, self.values[other])
        self.matrices.emit(first, second, turned, given.tile, given.blocks[0], bank)
        return Words.at(bank), (self._scale(reader.name), self.flow.outputs[other]), 0

    @singledispatchmethod
    def _by_operator(self, _of: Operator, given: _Given) -> Part:
        """By the operator whose gradient it is."""
        return self._passed(given)

    @_by_operator.register
    def _(self, _of: Convolution, given: _Given) -> Part:
        return self._product(given.reader, given.tile, given.blocks, given.pixels)

    @_by_operator.register
    def _(self, _of: ScaleShift, given: _Given) -> Part:
        reader, bank = given.reader.name, self.chip.next_sums()
        scaling, error = self.scalings[reader], self.errors[reader]
        scaling.backward(error, given.tile, given.blocks[0], given.pixels, bank)
        return Words.at(bank), (self._scale(reader), f"{reader}.weight"), 0

    @_by_operator.register
    def _(self, of: MatMul, given: _Given) -> Part:
        return self._by_matrix(of, given, given.reader.sources.index(given.step.name))

    @_by_operator.register
    def _(self, _of: Multiply, given: _Given) -> Part:
        """The error times the other factor."""
        reader, tile, block = given.reader, given.tile, given.blocks[0]
        other = next(name for name in reader.sources if name != given.step.name)
        sums = Words.at(self.chip.next_sums())
        for number, found in enumerate((self.errors[reader.name], self.values[other])):
            self.rows.get(found.at(tile.low, block))
            a, by = words_at(found, tile, block), sums if number else None
            alu = Alu.MUL if number else Alu.PASS
            self.chip.compute(given.pixels, a, by, acc=sums, alu=alu)
        return sums, (self._scale(reader.name), self.flow.outputs[other]), 0

    @_by_operator.register
    def _(self, _of: Softmax, given: _Given) -> Part:
        reader = given.reader.name
        softmax, error = self.softmaxes[reader], self.errors[reader]
        if self._is_new(given):
            softmax.along(error, given.tile, given.pixels)
        sums = softmax.pull(error, given.tile, given.blocks[0], given.pixels)
        return sums, (self._scale(reader), self.flow.outputs[reader]), GUARD

    @_by_operator.register
    def _(self, _of: MaxPool, given: _Given) -> Part:
        reader, bank = given.reader, self.chip.next_sums()
        z, p = self.values[given.step.name], self.values[reader.name]
        pooling, error = Pooling(reader, self.chip, self.rows, z, p), self.errors[reader.name]
        pooling.gradient(error, given.tile, given.blocks[0], bank)
        return Words.at(bank), (self._scale(reader.name),), 0

    @_by_operator.register
    def _(self, _of: AveragePool, given: _Given) -> Part:
        reader, bank = given.reader, self.chip.next_sums()
        averaging = Averaging(reader, self.chip, self.rows)
        averaging.backward(self.errors[reader.name], given.tile, given.blocks[0], bank)
        return Words.at(bank), (self._scale(reader.name),), averaging.shift

    def _product(self, layer: Step, tile: Tile, blocks: range, pixels: int) -> Part:
        """What a layer's error gives of the gradient of its source."""
        self.lowering.begin_layer(layer, "backward")
        bank = self.chip.next_sums()
        delta, pieces = self.errors[layer.name], self.pieces[layer.name]
        self.product.emit(self.lowering.geometry(layer), delta, pieces, tile, blocks, bank)
        return Words.at(bank, 0, pixels), (self._scale(layer.name), f"{layer.name}.weight"), 0
