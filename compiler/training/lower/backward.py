"""The way back as instructions: errors, and what weights learn (docs/training.md).

Gradients are pulled: a step's error is made, tile by tile, from the errors of all steps that read
its result. A layer's weights learn after the error before it is on its way, so that the array has
work while the vector unit routes errors through a pooling; where only vectors are left, as the
error goes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial, singledispatch, singledispatchmethod

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import CODE_ONE, DERIVATIVES, GUARD, SLOPE
from pulsarray.compiler.ops.gradient import Gradient, Same
from pulsarray.compiler.passes.training.activations import OUTPUT
from pulsarray.compiler.passes.training.ends import LOSS_ERROR
from pulsarray.compiler.passes.training.gradients import TOTAL
from pulsarray.compiler.passes.training.maps import is_data, is_layer
from pulsarray.compiler.training.flow import ERROR
from pulsarray.compiler.training.layers import Step, is_vector
from pulsarray.compiler.training.lower.forward import Forward
from pulsarray.compiler.training.lower.learn import Learning
from pulsarray.compiler.training.lower.loss import LossGradient
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    banks_of,
    block_tiles,
    common,
    tiles,
    written,
    written_to,
)
from pulsarray.compiler.training.lower.parts import Part, share
from pulsarray.compiler.training.lower.pieces import cut
from pulsarray.compiler.training.lower.pool import Pooling
from pulsarray.compiler.training.lower.update import Update
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
    "surrogate_spike": (Alu.MUL, -CODE_ONE),
}
"""By activation, the operation with its output or its slope, and a shift."""


@singledispatch
def _derived(_op: Operator, _node: Node) -> tuple[str, str]:
    """The activation whose derivative is in an error, and the value that it follows from."""
    return "identity", ""


@_derived.register
def _(op: Gradient, node: Node) -> tuple[str, str]:
    return op.of.variant, node.inputs[0].removesuffix(OUTPUT)


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
        self.values, self.errors = self.live.values, self.live.errors
        self.chip, self.rows, self.flow = forward.chip, forward.rows, forward.flow
        self.depth, self.images = forward.depth, forward.images
        self.parts = forward.parts
        self.product = self.parts.product
        self.learning = Learning(forward, update)
        steps = self.lowering.network.steps
        self._left = [step for step in steps if step.name in self.flow.errors]

    def run(self) -> None:
        """From the loss to the first layer."""
        last = self._left.pop()
        self.live.share(last, self._loss(last))
        self.live.release(last.name)
        self.learning.wait(last)
        while self._left:
            step = self._left[-1]
            if any(is_data(source) for source in step.sources):
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
        for images in common(z.groups(), error.groups(), delta.groups()):
            for tile in block_tiles(z, images, self.depth):
                output, error_map = z.of(tile), error.of(tile)
                self.rows.get(output)
                self.rows.get(error_map, avoid=[output.bank], pinned=[output])
                self.rows.part(error_map, output)
                part = Part(error.words(tile), names, pinned=[error_map])
                self._through(last, delta, tile, part, avoid)
            written(delta, images)
        self.rows.drop(error.segments)
        return delta

    # A step's error

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
        reader = self.parts.reader(node.inputs[0])
        if reader.op.only_chooses:
            self.live.share(step, self.values[step.name])
            self.learning.follow(step, self._route(step, reader))
            return
        self.live.share(step, self.errors[reader.name])
        self._finish(step, [reader])

    def _pulled(self, step: Step, parts: Sequence[str]) -> None:
        self.live.share(step, self._pull(step, parts))
        self._finish(step, [self.parts.reader(part) for part in parts])

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
        error = self.rows.place(f"{step.name}{ERROR}", self.images, step.result)
        reader = self.parts.reader(parts[0])
        if is_layer(reader.op) and len(parts) == 1 and self._together(reader):
            self._pull_learning(step, reader, error)
        else:
            self._pull_tiles(step, parts, error)
        return error

    def _together(self, reader: Step) -> bool:
        """Whether the weights of a step's only reader learn piece by piece as its error goes by.

        The array needs each piece once then. Where maps are left, the vector unit has errors to
        route, and a layer's weights wait (LeNet-5, batch 8: 92,385 cycles against 99,450).
        """
        dense = self.lowering.geometry(reader).dense and bool(reader.scales)
        alone = len(self.lowering.network.members[reader.owner]) == 1
        return dense and alone and all(is_vector(step.result) for step in self._left)

    def _pull_learning(self, step: Step, reader: Step, error: FeatureMap) -> None:
        self.learning.start(reader)
        delta, pieces = self.errors[reader.name], self.parts.pieces[reader.owner]
        tile, geometry = error.whole(), self.lowering.geometry(reader)
        names = self.learning.scale(reader.name), f"{reader.owner}.weight"
        for rows in pieces.ranges:
            bank = self.chip.next_sums()
            for column in range(delta.cuts()[-1]):
                self.product.piece(geometry, delta, pieces, (column, rows), bank)
                self.learning.piece(reader, (column, rows), avoid=bank)
            part = Part(Words.at(bank, 0, self.images), names)
            # Their own gradient reads the source beside the error.
            busy = banks_of(*(self.values[source] for source in step.sources))
            self._through(step, error, replace(tile, blocks=rows), part, busy)
        written(error, (0, self.images))
        self.learning.end(reader)

    def _pull_tiles(self, step: Step, parts: Sequence[str], feature_map: FeatureMap) -> None:
        z, depth = self.values[step.name], self.depth
        readers = [self.parts.reader(part) for part in parts]
        errors = [self.errors[reader.name] for reader in readers]
        several = len(readers) > 1 or not is_layer(readers[0].op)
        norm = self.parts.norms.get(readers[0].name)
        if norm is not None:
            norm.prepare(errors[0])
        elif several:
            self.chip.exponent("temporary", -GUARD, f"{step.name}{ERROR}")
        groups = common(z.groups(), *(error.groups() for error in errors))
        for reader in readers:
            if (layer_norm := self.parts.layer_norms.get(reader.name)) is not None:
                layer_norm.prepare()
        depth //= max(share(reader.op) for reader in readers)
        left = sum(1 for images in groups for _ in tiles(feature_map, images, depth))
        for images in groups:
            for tile in tiles(feature_map, images, depth):
                most = 1 if several else max(1, depth // tile.pixels)
                for group in cut(feature_map.cuts()[-1], most, z.cuts()):
                    some = replace(tile, blocks=group)
                    part = self._gradient(step, parts, some)
                    # While this error is routed, the array works with those that it came from.
                    busy = banks_of(*(self.errors[reader.name] for reader in readers))
                    self._through(step, feature_map, some, part, busy)
                left -= 1
                if norm is None:
                    # The vector unit has time for updates while the array works for this.
                    self.learning.share(left)
            written(feature_map, images)

    def _through(
        self,
        step: Step,
        error: FeatureMap,
        tile: Area,
        part: Part,
        busy: Sequence[int],
    ) -> None:
        """A part times the derivative of a step's activation, and requantized."""
        node = self.flow.makers[f"{step.name}{ERROR}"]
        function, value = _derived(node.op, node)
        alu, shift = DERIVED[function]
        z = self.values[value or step.name]
        sums, by = self.parts.done(part, tile.flat), None
        output = self.rows.get(z.of(tile), pinned=part.pinned)
        if alu is not Alu.PASS:
            by = z.words(tile)
        if by is not None and DERIVATIVES[function].gated:
            by = self._slope(step, by, tile.flat)
        avoid, pinned = [output.bank, *busy], [output, *part.pinned]
        self.rows.new(error.of(tile), 0, avoid=avoid, pinned=pinned)
        self.chip.compute(
            tile.flat, sums, by, target=error.words(tile),
            alu=alu, shift=shift + part.shift, x=(f"{step.name}.error", *part.names),
            flags=_STATISTIC, last_lanes=error.lanes(tile, self.lowering.config.dim),
        )  # fmt: skip
        written_to(error, tile)

    def _slope(self, step: Step, x: Words, shape: tuple[int, int]) -> Words:
        """The derivative of a gated activation at its argument."""
        slope = Words.at(self.chip.aux[1], 0, shape[1])
        fields = self.lowering.looked_up(step, self.flow.outputs[step.source], kind=SLOPE)
        self.chip.compute(shape, x, acc=slope, **fields)
        return slope

    def _gradient(self, step: Step, parts: Sequence[str], tile: Area) -> Part:
        """The gradient at a tile of a step's output, by what its readers give."""
        makers = [partial(self.parts.back, step, value, tile) for value in parts]
        if len(parts) > 1:
            return self.parts.added(makers, tile.pixels)
        part = makers[0]()
        if not parts[0].endswith(ERROR):
            return part
        # It may share a bank with the output.
        sums = Words.at(self.chip.aux[0])
        self.chip.compute(tile.pixels, part.a, acc=sums)
        return Part(sums, part.names)
