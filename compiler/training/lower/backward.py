"""The way back as instructions: errors, and what weights learn (docs/training.md).

Gradients are pulled: a step's error is made, tile by tile, from the errors of all steps that read
its result. A layer's weights learn after the error before it is on its way, so that the array has
work while the vector unit routes errors through a pooling; where only vectors are left, as the
error goes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch, singledispatchmethod

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.numerics.activations import CODE_ONE, DERIVATIVES, GUARD, SLOPE
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.gradient import Gradient, Same
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.statistics import (
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
    ScaleShift,
)
from pulsarray.compiler.passes.training.activations import OUTPUT
from pulsarray.compiler.passes.training.ends import LOSS_ERROR
from pulsarray.compiler.passes.training.gradients import TOTAL
from pulsarray.compiler.passes.training.maps import INPUT, function_name, is_layer
from pulsarray.compiler.training.flow import ERROR
from pulsarray.compiler.training.layers import Step, is_vector
from pulsarray.compiler.training.lower.forward import Forward, collect
from pulsarray.compiler.training.lower.layer_norm import SHARE
from pulsarray.compiler.training.lower.learn import Learning
from pulsarray.compiler.training.lower.loss import LossGradient
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    Segment,
    Tile,
    banks_of,
    common,
    tiles,
    words_at,
    written,
)
from pulsarray.compiler.training.lower.pieces import cut
from pulsarray.compiler.training.lower.pool import Averaging, Pooling
from pulsarray.compiler.training.lower.products.inputs import InputGradient
from pulsarray.compiler.training.lower.update import Update
from pulsarray.compiler.training.lower.words import Words
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Backward"]

_STATISTIC = int(VectorFlag.STATISTIC)
DERIVED = {
    "identity": (Alu.PASS, 0),
    "step": (Alu.PASS, 0),
    "relu": (Alu.GATE, 0),
    "sigmoid": (Alu.DSIGMOID, 17),
    "tanh": (Alu.DTANH, 15),
    "gelu": (Alu.MUL, -CODE_ONE),
    "gelu-tanh": (Alu.MUL, -CODE_ONE),
    "silu": (Alu.MUL, -CODE_ONE),
}
"""By activation, the operation with its output or its slope, and a shift."""
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
def _share(_op: Operator) -> int:
    """One part in so many of a bank is all that a tile of a gradient by what is read may take."""
    return 1


@_share.register
def _(_op: MaxPool | MatMul) -> int:
    return 2


@_share.register
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


@singledispatch
def _derived(_op: Operator, _node: Node) -> tuple[str, str]:
    """The activation whose derivative is in an error, and the value that it follows from."""
    return "identity", ""


@_derived.register
def _(op: Gradient, node: Node) -> tuple[str, str]:
    return function_name(op.of), node.inputs[0].removesuffix(OUTPUT)


class Backward:
    """Emits errors from the loss to the first layer that learns.

    Parameters
    ----------
    forward
        The forward pass.
    update
        Takes the gradients.
    """

    def __init__(self, forward: Forward, update: Update) -> None:
        self.lowering, self.live = forward.lowering, forward.live
        self.pieces, self.norms, self.drops = forward.pieces, forward.norms, forward.drops
        self.layer_norms, self.scalings = forward.layer_norms, forward.scalings
        self.values, self.errors = self.live.values, self.live.errors
        self.chip, self.rows, self.flow = forward.chip, forward.rows, forward.flow
        self.depth, self.images = forward.depth, forward.images
        self.product, self.matrices = InputGradient(self.lowering), forward.matrices
        self.learning = Learning(forward, update)
        steps = self.lowering.network.steps
        self.steps = {step.name: step for step in steps}
        self._left = [step for step in steps if step.name in self.flow.errors]

    def run(self) -> None:
        """From the loss to the first layer."""
        last = self._left.pop()
        self.live.share(last, self._loss(last))
        self.live.release(last.name)
        self.learning.wait(last)
        while self._left:
            step = self._left[-1]
            if INPUT in step.sources:
                # The last errors of all: the array then follows image by image.
                self.learning.begin(self._known)
                self.learning.until(0)
            self._error(step)
            self._left.pop()
            if not step.op.only_chooses:
                self.learning.until(0)
                self.learning.begin(self._known)
            self.learning.wait(step)
        self.learning.until(0)
        self.learning.begin(self._known)
        self.learning.until(0)

    def _known(self, source: str) -> bool:
        """Whether the error of a value is known, if it has one."""
        return all(step.name != source for step in self._left)

    def _loss(self, last: Step) -> FeatureMap:
        """The error of the last layer."""
        network, z, place = self.lowering.network, self.values[last.name], self.rows.place
        target = place("target", self.images, last.result, self.lowering.tensors.target)
        error = place(network.loss_error, self.images, last.result)
        avoid = banks_of(self.values[last.source])
        LossGradient(network, self.chip, self.rows, z, target, error, avoid).run()
        self.rows.drop(target.segments)
        if network.loss_error != LOSS_ERROR:
            return error
        delta = place(f"{last.name}.error", self.images, last.result)
        names = (network.nodes.values[LOSS_ERROR].scale,)
        tile = Tile(0, self.images, 0, 1)
        for block in range(z.cuts()[-1]):
            output = self.rows.get(z.at(0, block))
            self.rows.get(error.at(0, block), avoid=[output.bank], pinned=[output])
            part = words_at(error, tile, block), names, 0
            blocks, pinned = range(block, block + 1), [error.at(0, block)]
            self._through(last, delta, tile, blocks, part, avoid, pinned)
        written(delta, (0, self.images))
        self.rows.drop(error.segments)
        return delta

    # A step's error

    def _reader(self, part: str) -> Step:
        """The step whose error a part of a gradient comes from."""
        return self.steps[part.rpartition(".")[0]]

    def _error(self, step: Step) -> None:
        """A step's error, as the graph has it."""
        node = self.flow.makers[f"{step.name}{ERROR}"]
        self._from(node.op, step, node)

    @singledispatchmethod
    def _from(self, _op: Operator, step: Step, node: Node) -> None:
        """From those of the steps that read its result."""
        self._pulled(step, node.inputs)

    @_from.register
    def _(self, _op: Gradient, step: Step, node: Node) -> None:
        """The same times the derivative of its activation."""
        whole = node.inputs[-1]
        several = whole == f"{step.name}{TOTAL}"
        self._pulled(step, self.flow.makers[whole].inputs if several else (whole,))

    @_from.register
    def _(self, _op: Same, step: Step, node: Node) -> None:
        """That of what reads its result, or what a pooling makes of it in the place of values."""
        reader = self._reader(node.inputs[0])
        if reader.op.only_chooses:
            self.live.share(step, self.values[step.name])
            self.learning.follow(step, self._route(step, reader))
            return
        self.live.share(step, self.errors[reader.name])
        self._finish(step, [reader])

    def _pulled(self, step: Step, parts: Sequence[str]) -> None:
        self.live.share(step, self._pull(step, parts))
        self._finish(step, [self._reader(part) for part in parts])

    def _finish(self, step: Step, readers: Sequence[Step]) -> None:
        """What a step's error was made of may go."""
        for reader in reversed(readers):
            if reader.op.keeps_result:
                self.live.release(reader.name)
            if reader.op.keeps_others:
                self.live.release(next(s for s in reader.sources if s != step.name))
            self.live.let_go(reader.name)
        self.live.release(step.name)

    def _route(self, step: Step, pool: Step) -> Iterator[int]:
        """The error of what was pooled, in the place of its values: up to which image it is."""
        z, p, error = self.values[step.name], self.values[pool.name], self.errors[pool.name]
        readers = self.flow.readers(pool.name)
        busy = banks_of(p, *(self.errors[reader.name] for reader in readers))
        pooling = Pooling(pool, self.chip, self.rows, z, p)
        for images in common(z.groups(), error.groups()):
            pooling.backward(error, images, busy)
            yield images[1]
        self.live.release(pool.name)
        self.live.let_go(pool.name)

    def _pull(self, step: Step, parts: Sequence[str]) -> FeatureMap:
        """The gradient at a step's output, tile by tile, and through its activation."""
        found = self.rows.place(f"{step.name}{ERROR}", self.images, step.result)
        reader = self._reader(parts[0])
        if is_layer(reader.op) and len(parts) == 1 and self._together(reader):
            self._pull_learning(step, reader, found)
        else:
            self._pull_tiles(step, parts, found)
        return found

    def _together(self, reader: Step) -> bool:
        """Whether the weights of a step's only reader learn piece by piece as its error goes by.

        The array needs each piece once then. Where maps are left, the vector unit has errors to
        route, and a layer's weights wait (LeNet-5, batch 8: 92,385 cycles against 99,450).
        """
        dense = self.lowering.geometry(reader).dense and bool(reader.scales)
        return dense and all(is_vector(step.result) for step in self._left)

    def _pull_learning(self, step: Step, reader: Step, found: FeatureMap) -> None:
        self.learning.start(reader)
        delta, pieces = self.errors[reader.name], self.pieces[reader.name]
        tile, geometry = Tile(0, self.images, 0, 1), self.lowering.geometry(reader)
        names = self.learning.scale(reader.name), f"{reader.name}.weight"
        for part in pieces.ranges:
            bank = self.chip.next_sums()
            for column in range(delta.cuts()[-1]):
                place = column, part
                self.product.piece(geometry, delta, pieces, place, bank)
                self.learning.piece(reader, place, avoid=bank)
            sums = Words(bank, 0, self.images), names, 0
            # Their own gradient reads the source beside the error.
            busy = banks_of(*(self.values[source] for source in step.sources))
            self._through(step, found, tile, range(*part), sums, busy)
        written(found, (0, self.images))
        self.learning.end(reader)

    def _pull_tiles(self, step: Step, parts: Sequence[str], found: FeatureMap) -> None:
        z, depth = self.values[step.name], self.depth
        readers = [self._reader(part) for part in parts]
        errors = [self.errors[reader.name] for reader in readers]
        several = len(readers) > 1 or not is_layer(readers[0].op)
        norm = self.norms.get(readers[0].name)
        if norm is not None:
            norm.prepare(errors[0])
        elif several:
            self.chip.exponent(self.lowering.phase, "temporary", -GUARD, f"{step.name}{ERROR}")
        groups = common(z.groups(), *(error.groups() for error in errors))
        for reader in readers:
            if (layer_norm := self.layer_norms.get(reader.name)) is not None:
                layer_norm.prepare()
        depth //= max(_share(reader.op) for reader in readers)
        left = sum(1 for images in groups for _ in tiles(found, images, depth))
        for images in groups:
            for tile in tiles(found, images, depth):
                pixels = tile.images * tile.rows * found.shape[1]
                most = 1 if several else max(1, depth // pixels)
                for group in cut(found.cuts()[-1], most, z.cuts()):
                    part = self._gradient(step, parts, tile, range(*group), pixels)
                    # While this error is routed, the array works with those that it came from.
                    busy = banks_of(*(self.errors[reader.name] for reader in readers))
                    self._through(step, found, tile, range(*group), part, busy)
                left -= 1
                if norm is None:
                    # The vector unit has time for updates while the array works for this.
                    self.learning.share(left)
            written(found, images)

    def _through(
        self,
        step: Step,
        found: FeatureMap,
        tile: Tile,
        blocks: range,
        gradient: Part,
        busy: list[int],
        pinned: Sequence[Segment] = (),
    ) -> None:
        """Times the derivative of a step's activation, and requantized."""
        sums, names, less = gradient
        node = self.flow.makers[f"{step.name}{ERROR}"]
        function, value = _derived(node.op, node)
        alu, shift = DERIVED[function]
        z = self.values[value or step.name]
        output = self.rows.get(z.at(tile.low, blocks.start), pinned=pinned)
        second = None if alu is Alu.PASS else words_at(z, tile, blocks.start)
        pixels = tile.images * tile.rows * found.shape[1]
        if second is not None and DERIVATIVES[function].gated:
            second = self._slope(step, second, len(blocks), pixels)
        avoid, pinned = [output.bank, *busy], [output, *pinned]
        self.rows.new(found.at(tile.low, blocks.start), 0, avoid=avoid, pinned=pinned)
        self.chip.vector(
            self.lowering.phase, len(blocks), pixels, sums, second,
            target=words_at(found, tile, blocks.start), alu=alu, shift=shift + less,
            x=(f"{step.name}.error", *names), flags=_STATISTIC,
            last_lanes=self.lowering.lanes(found, blocks.stop),
        )  # fmt: skip

    def _slope(self, step: Step, x: Words, blocks: int, pixels: int) -> Words:
        """The derivative of a gated activation at its argument."""
        slope = Words(self.chip.aux[1], 0, pixels)
        fields = self.lowering.looked_up(step, self.flow.outputs[step.source], kind=SLOPE)
        self.chip.vector(self.lowering.phase, blocks, pixels, x, acc=slope, **fields)
        return slope

    # What readers give

    def _gradient(
        self, step: Step, parts: Sequence[str], tile: Tile, blocks: range, pixels: int
    ) -> Part:
        """The gradient at a tile of a step's output."""
        sums = Words(self.chip.aux[0], 0, 0)
        if len(parts) == 1:
            part, names, less = self._part(step, parts[0], tile, blocks, pixels)
            if not parts[0].endswith(ERROR):
                return part, names, less
            # It may share a bank with the output.
            self.chip.vector(self.lowering.phase, 1, pixels, part, acc=sums)
            return sums, names, less
        for number, value in enumerate(parts):
            part, names, less = self._part(step, value, tile, blocks, pixels)
            collect(self.lowering, part, sums, pixels, names, add=number > 0, shift=less)
        return sums, ("temporary",), 0

    def _part(self, step: Step, value: str, tile: Tile, blocks: range, pixels: int) -> Part:
        """What one reader gives of it."""
        given = _Given(step, self._reader(value), tile, blocks, pixels)
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
        return words_at(error, tile, block), (self.learning.scale(given.reader.name),), 0

    @_given.register
    def _(self, op: Gradient, given: _Given) -> Part:
        return self._by_operator(op.of, given)

    @_given.register
    def _(self, _op: NormalizeGradient, given: _Given) -> Part:
        reader = given.reader.name
        norm, error, scale = self.norms[reader], self.errors[reader], self.learning.scale(reader)
        pulled = norm.pull(error, given.tile, given.blocks[0], given.pixels, scale)
        return pulled, ("guard",), 0

    @_given.register
    def _(self, _op: NormalizeChannelsGradient, given: _Given) -> Part:
        reader = given.reader.name
        norm, error = self.layer_norms[reader], self.errors[reader]
        tile, block, pixels = given.tile, given.blocks[0], given.pixels
        # A gate's slope, or another one's means, come into their bank between blocks.
        others = self.flow.readers(given.step.name)
        alone = sum(other.op.keeps_result for other in others) == 1
        if not block or not alone or given.step.derivative.gated:
            norm.means(error, tile, pixels)
        scale = self.learning.scale(reader)
        return norm.pull(error, tile, block, pixels, scale), ("temporary",), 0

    @_given.register
    def _(self, _op: Dropout, given: _Given) -> Part:
        reader, bank = given.reader.name, self.chip.next_sums()
        error, drop = self.errors[reader], self.drops[reader]
        shift = drop.backward(error, given.tile, given.blocks[0], bank)
        return Words(bank, 0, 0), (self.learning.scale(reader),), shift

    def _by_matrix(self, op: MatMul, given: _Given, by: int) -> Part:
        """A product of the error with the other factor, each transposed or not."""
        reader, bank = given.reader, self.chip.next_sums()
        error, other = self.errors[reader.name], reader.sources[1 - by]
        first, second, turned = matrices_of(op, by, error, self.values[other])
        self.matrices.emit(first, second, turned, given.tile, given.blocks[0], bank)
        return Words(bank, 0, 0), (self.learning.scale(reader.name), self.flow.outputs[other]), 0

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
        return Words(bank, 0, 0), (self.learning.scale(reader), f"{reader}.weight"), 0

    @_by_operator.register
    def _(self, of: MatMul, given: _Given) -> Part:
        return self._by_matrix(of, given, given.reader.sources.index(given.step.name))

    @_by_operator.register
    def _(self, _of: MaxPool, given: _Given) -> Part:
        reader, bank = given.reader, self.chip.next_sums()
        z, p = self.values[given.step.name], self.values[reader.name]
        pooling, error = Pooling(reader, self.chip, self.rows, z, p), self.errors[reader.name]
        pooling.gradient(error, given.tile, given.blocks[0], bank)
        return Words(bank, 0, 0), (self.learning.scale(reader.name),), 0

    @_by_operator.register
    def _(self, _of: AveragePool, given: _Given) -> Part:
        reader, bank = given.reader, self.chip.next_sums()
        averaging = Averaging(reader, self.chip, self.rows)
        averaging.backward(self.errors[reader.name], given.tile, given.blocks[0], bank)
        return Words(bank, 0, 0), (self.learning.scale(reader.name),), averaging.shift

    def _product(self, layer: Step, tile: Tile, blocks: range, pixels: int) -> Part:
        """What a layer's error gives of the gradient of its source."""
        self.lowering.begin_layer(layer, "backward")
        bank = self.chip.next_sums()
        delta, pieces = self.errors[layer.name], self.pieces[layer.name]
        self.product.emit(self.lowering.geometry(layer), delta, pieces, tile, blocks, bank)
        return Words(bank, 0, pixels), (self.learning.scale(layer.name), f"{layer.name}.weight"), 0
