"""What operators give, forward and back: one function each, tile by tile.

A part of a tile is words and one more operation on them: who needs it rounds it to a map, or adds
it up with others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, singledispatch, singledispatchmethod

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import FRACTION, GUARD, PROBABILITY
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.gradient import Gradient
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import (
    Normalize,
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
    ScaleShift,
)
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.layer_norm import SHARE, LayerNormalization
from pulsarray.compiler.training.lower.live import Live
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import FeatureMap, Segment
from pulsarray.compiler.training.lower.norm import Normalization
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.pool import Averaging, Pooling
from pulsarray.compiler.training.lower.products.inputs import InputGradient
from pulsarray.compiler.training.lower.products.matrices import MatrixProduct
from pulsarray.compiler.training.lower.scaling import Scaling
from pulsarray.compiler.training.lower.softmax import SoftmaxMap
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Part", "Parts", "Spot", "share"]

_ADD, _SUBTRACT = int(VectorFlag.ADD_AFTER), int(VectorFlag.SUB_AFTER)
_SCALAR = int(VectorFlag.B_SCALAR)


@dataclass(frozen=True)
class Part:
    """What an operator gives for a tile, but for a last operation.

    Parameters
    ----------
    a, b, alu, flags, scalar
        The operation and its operands; :attr:`Alu.PASS` without b is ``a`` as it is.
    names, shift
        Of the exponents of its result, and how far that is to be shifted.
    pinned
        Segments that a or b lie in.
    """

    a: Words
    names: tuple[str, ...]
    b: Words | None = None
    alu: Alu = Alu.PASS
    shift: int = 0
    pinned: Sequence[Segment] = ()
    flags: int = 0
    scalar: int = 0


@dataclass(frozen=True)
class Spot:
    """Where an operator is asked for a part of its result.

    Parameters
    ----------
    step
        The step that it belongs to.
    maps, scales
        What it reads, and the names of the exponents.
    tile
        Of the result.
    to
        Of a gradient, the step by whose result it is.
    """

    step: Step
    maps: Sequence[FeatureMap]
    scales: Sequence[str]
    tile: Area
    to: Step | None = None

    @property
    def block(self) -> int:
        """The first block."""
        return self.tile.blocks[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all exponents, that of an error first."""
        return tuple(self.scales if self.to is None else reversed(self.scales))


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
    """Emits parts.

    Parameters
    ----------
    lowering, live
        The program, and the values and errors that it has.

    Members
    -------
    pieces, masks, biases, norms, layer_norms, softmaxes, scalings
        By step, what its operator keeps.
    """

    def __init__(self, lowering: Lowering, live: Live) -> None:
        self.lowering, self.chip, self.rows = lowering, lowering.chip, lowering.rows
        self.values, self.errors, self.flow = live.values, live.errors, lowering.flow
        self.product, self.matrices = InputGradient(lowering), MatrixProduct(lowering)
        self.steps = {step.name: step for step in lowering.network.steps}
        self.pieces: dict[str, Pieces] = {}
        self.masks: dict[str, FeatureMap] = {}
        self.biases: dict[str, Words] = {}
        self.norms: dict[str, Normalization] = {}
        self.layer_norms: dict[str, LayerNormalization] = {}
        self.softmaxes: dict[str, SoftmaxMap] = {}
        self.scalings: dict[str, Scaling] = {}

    # Who asks

    def forward(self, step: Step, tile: Area) -> Part:
        """A tile of a step's result, before its activation, in the first auxiliary bank."""
        maps = [self.values[source] for source in step.sources]
        scales = [self.flow.outputs[source] for source in step.sources]
        spot = Spot(step, maps, scales, tile)
        return self._part(step.op, spot)

    def reader(self, part: str) -> Step:
        """The step whose error a part of a gradient comes from."""
        return self.steps[part.rpartition(".")[0]]

    def back(self, step: Step, value: str, tile: Area) -> Part:
        """What a value of the graph gives of the gradient at a tile of a step's result."""
        node, reader = self.flow.makers[value], self.reader(value)
        names = [value] if value == f"{reader.name}.error" else node.inputs
        known = [
            (name, feature_map) for name in names if (feature_map := self._map(name)) is not None
        ]
        scales = [self.flow.nodes.values[name].scale for name, _ in known]
        spot = Spot(reader, [feature_map for _, feature_map in known], scales, tile, step)
        return self._passed(spot) if names == [value] else self._part(node.op, spot)

    def _map(self, name: str) -> FeatureMap | None:
        """A value or an error of the graph."""
        step, _, kind = name.rpartition(".")
        maps = self.errors if kind == "error" else self.values
        return maps.get(step or name) if kind in ("error", "output", name) else None

    # What becomes of a part

    def done(self, part: Part, shape: tuple[int, int]) -> Words:
        """A part's words after its last operation, in the place of the second operand or first."""
        if part.b is None and part.alu is Alu.PASS:
            return part.a
        sums = next(w for w in (part.b, part.a) if w is not None and w.bank in self._banks)
        self.chip.compute(
            shape, part.a, part.b, acc=sums,
            alu=part.alu, flags=part.flags, scalar=part.scalar,
        )  # fmt: skip
        return sums

    @property
    def _banks(self) -> list[int]:
        return [*self.chip.sums, *self.chip.aux]

    def added(self, parts: Sequence[Callable[[], Part]], count: int, then: int = _ADD) -> Part:
        """Parts of one block added up at the exponent ``temporary``, one made after the other.

        ``then`` says what is done with those after the first.
        """
        sums = Words.at(self.chip.aux[0])
        for number, make in enumerate(parts):
            part = make()
            self.chip.compute(
                count, self.done(part, (1, count)), sums if number else None, acc=sums,
                x=("temporary", *part.names), flags=then if number else 0, shift=part.shift,
            )  # fmt: skip
        return Part(sums, ("temporary",))

    # Operators

    def _read(self, spot: Spot, place: int = -1) -> Part:
        """A tile of what is read, which is on chip now."""
        feature_map = spot.maps[place]
        segment = self.rows.get(feature_map.of(spot.tile))
        return Part(feature_map.words(spot.tile), (spot.scales[place],), pinned=[segment])

    def _sums(self, spot: Spot) -> Words:
        """Words of a bank for sums: on the way back they take turns."""
        return Words.at(self.chip.aux[0] if spot.to is None else self.chip.next_sums())

    def _passed(self, spot: Spot) -> Part:
        """What is read as it is; the turn of banks goes on as with every other part."""
        self._sums(spot)
        return self._read(spot)

    def _times(self, spot: Spot) -> Part:
        """The first of what is read times the second."""
        sums, count = self._sums(spot), spot.tile.pixels
        self.chip.compute(count, self._read(spot, 1).a, acc=sums)
        first = self._read(spot, 0)
        return replace(first, names=spot.names, b=sums, alu=Alu.MUL)

    @singledispatchmethod
    def _part(self, op: Operator, _spot: Spot) -> Part:
        """By the operator, which may be the gradient of one."""
        raise TypeError(op)

    @_part.register
    def _(self, op: Gradient, spot: Spot) -> Part:
        return self._slope(op.of, op, spot)

    @_part.register
    def _(self, _op: Function, spot: Spot) -> Part:
        """A gate is looked up and multiplied with its argument."""
        part, rule = self._read(spot), spot.step.derivative
        if rule.steps or not rule.gated:
            return part
        gate, (scale,) = self._sums(spot), part.names
        fields = self.lowering.looked_up(spot.step, scale)
        self.chip.compute(spot.tile.pixels, part.a, acc=gate, **fields)
        return replace(part, b=gate, alu=Alu.MUL, shift=-FRACTION)

    @_part.register
    def _(self, _op: Multiply, spot: Spot) -> Part:
        return self._times(spot)

    @_part.register
    def _(self, op: MatMul, spot: Spot) -> Part:
        """A matrix for each row of pixels."""
        a, b = spot.maps
        return self._matrix(spot, (a, b, (op.transpose_a, op.transpose_b)))

    def _matrix(
        self, spot: Spot, factors: tuple[FeatureMap, FeatureMap, tuple[bool, bool]]
    ) -> Part:
        bank = self.chip.next_sums()
        self.matrices.emit(*factors, spot.tile, bank)
        return Part(Words.at(bank), spot.names)

    @_part.register
    def _(self, _op: Add, spot: Spot) -> Part:
        makers = [partial(self._read, spot, place) for place in range(len(spot.maps))]
        return self.added(makers, spot.tile.pixels)

    @_part.register
    def _(self, _op: Subtract, spot: Spot) -> Part:
        makers = [partial(self._read, spot, place) for place in range(len(spot.maps))]
        return self.added(makers, spot.tile.pixels, _SUBTRACT)

    @_part.register
    def _(self, _op: Normalize | ScaleShift, spot: Spot) -> Part:
        scaling, biases = self.scalings[spot.step.name], self.biases[spot.step.name]
        sums = self._sums(spot)
        scaling.scaled(scaling.normal, spot.tile, sums)
        names = scaling.scale, f"{spot.step.name}.weight"
        by = Words.at(biases.bank, biases.base + spot.block, 0, 0)
        return Part(sums, names, b=by, alu=Alu.ADD)

    @_part.register
    def _(self, op: Dropout, spot: Spot) -> Part:
        """Of values or errors, what the mask leaves."""
        if not self.lowering.training:
            return self._read(spot, 0)
        mask, (mantissa, exponent) = self.masks[spot.step.name], factor(op.share, spot.step.name)
        sums, count = self._sums(spot), spot.tile.pixels
        a = self._read(spot, 0).a
        self.chip.compute(count, a, acc=sums, alu=Alu.MUL, flags=_SCALAR, scalar=mantissa)
        by = self._read(replace(spot, maps=[mask]), 0)
        return replace(by, a=sums, b=by.a, alu=Alu.GATE, shift=-exponent)

    @_part.register
    def _(self, _op: AveragePool, spot: Spot) -> Part:
        averaging, sums = Averaging(spot.step, self.chip, self.rows), self._sums(spot)
        averaging.total(spot.maps[0], spot.tile, sums)
        part = Part(sums, spot.names, alu=Alu.MUL, shift=averaging.shift)
        return replace(part, flags=_SCALAR, scalar=averaging.mantissa)

    @_part.register
    def _(self, _op: Softmax, spot: Spot) -> Part:
        """Rows need all of their blocks first."""
        softmax = self.softmaxes[spot.step.name]
        if not spot.block:
            softmax.forward(spot.tile)
        return Part(softmax.here(spot.tile), (), shift=-PROBABILITY)

    @_part.register
    def _(self, _op: NormalizeGradient, spot: Spot) -> Part:
        step = spot.step.name
        norm, scale = self.norms[step], self.flow.errors[step]
        return Part(norm.pull(self.errors[step], spot.tile, scale), ("guard",))

    @_part.register
    def _(self, _op: NormalizeChannelsGradient, spot: Spot) -> Part:
        step = spot.step.name
        norm, error, scale = self.layer_norms[step], self.errors[step], self.flow.errors[step]
        if self._is_new(spot):
            norm.means(error, spot.tile)
        return Part(norm.pull(error, spot.tile, scale), ("temporary",))

    def _is_new(self, spot: Spot) -> bool:
        """Whether what there is one number a pixel of is not in its bank.

        A gate's slope, or another one's numbers, come into it between blocks.
        """
        assert spot.to is not None
        others = self.flow.readers(spot.to.name)
        alone = sum(other.op.keeps_result for other in others) == 1
        return not spot.block or not alone or spot.to.derivative.gated

    # Gradients of operators, whose last input is the error

    @singledispatchmethod
    def _slope(self, of: Operator, _op: Gradient, _spot: Spot) -> Part:
        """By the operator whose gradient it is."""
        raise TypeError(of)

    @_slope.register
    def _(self, _of: Convolution, _op: Gradient, spot: Spot) -> Part:
        layer = spot.step
        self.lowering.begin_layer(layer, "backward")
        bank, geometry = self.chip.next_sums(), self.lowering.geometry(layer)
        pieces = self.pieces[layer.owner]
        self.product.emit(geometry, spot.maps[-1], pieces, spot.tile, bank)
        return Part(Words.at(bank, 0, spot.tile.pixels), (spot.scales[-1], f"{layer.owner}.weight"))

    @_slope.register
    def _(self, _of: ScaleShift, _op: Gradient, spot: Spot) -> Part:
        sums, name = self._sums(spot), spot.step.name
        self.scalings[name].scaled(spot.maps[-1], spot.tile, sums)
        return Part(sums, (spot.scales[-1], f"{name}.weight"))

    @_slope.register
    def _(self, of: MatMul, op: Gradient, spot: Spot) -> Part:
        other, error = spot.maps
        return self._matrix(spot, matrices_of(of, op.by, error, other))

    @_slope.register
    def _(self, _of: Multiply, _op: Gradient, spot: Spot) -> Part:
        return self._times(spot)

    @_slope.register
    def _(self, _of: Subtract, _op: Gradient, spot: Spot) -> Part:
        """The negative error."""
        sums, part, count = self._sums(spot), self._read(spot), spot.tile.pixels
        self.chip.compute(count, part.a, acc=sums, alu=Alu.MUL, flags=_SCALAR, scalar=-1)
        return Part(sums, part.names)

    @_slope.register
    def _(self, _of: Softmax, _op: Gradient, spot: Spot) -> Part:
        softmax, error = self.softmaxes[spot.step.name], spot.maps[-1]
        if self._is_new(spot):
            softmax.along(error, spot.tile)
        part = softmax.pull(error, spot.tile)
        return Part(part, spot.names, shift=GUARD)

    @_slope.register
    def _(self, _of: MaxPool, _op: Gradient, spot: Spot) -> Part:
        (z, p, error), sums = spot.maps, self._sums(spot)
        pooling = Pooling(spot.step, self.chip, self.rows, z, p)
        pooling.gradient(error, spot.tile, sums.bank)
        return Part(sums, (spot.scales[-1],))

    @_slope.register
    def _(self, _of: AveragePool, _op: Gradient, spot: Spot) -> Part:
        averaging, sums = Averaging(spot.step, self.chip, self.rows), self._sums(spot)
        averaging.backward(spot.maps[-1], spot.tile, sums.bank)
        return Part(sums, (spot.scales[-1],), shift=averaging.shift)
