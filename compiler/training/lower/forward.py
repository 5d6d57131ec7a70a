"""The forward pass as instructions (docs/training.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import singledispatchmethod

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.numerics.exponents import GUARD
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import Normalize, NormalizeChannels, ScaleShift
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.training.maps import is_data, is_layer
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.layer_norm import LayerNormalization
from pulsarray.compiler.training.lower.live import Live
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    banks_of,
    block_tiles,
    common,
    tiles,
    written,
    written_to,
)
from pulsarray.compiler.training.lower.norm import Normalization
from pulsarray.compiler.training.lower.parts import Part, Parts
from pulsarray.compiler.training.lower.pieces import cut
from pulsarray.compiler.training.lower.pool import Pooling
from pulsarray.compiler.training.lower.products.forward import ForwardProduct
from pulsarray.compiler.training.lower.scaling import Scaling
from pulsarray.compiler.training.lower.softmax import SoftmaxMap
from pulsarray.isa import Alu

__all__ = ["Forward"]


class Forward:
    """Emits the forward pass.

    Parameters
    ----------
    lowering, live
        The program, and the values that it needs.

    Members
    -------
    parts
        What operators give, and keep for the way back.
    """

    def __init__(self, lowering: Lowering, live: Live) -> None:
        self.lowering, self.live, self.values = lowering, live, live.values
        self.chip, self.rows, self.flow = lowering.chip, lowering.rows, lowering.flow
        self.depth, self.images = lowering.chip.depth, lowering.tensors.rows
        self.product, self.parts = ForwardProduct(lowering), Parts(lowering, live)

    def run(self) -> None:
        """All steps, and the output to memory."""
        self.values |= self.lowering.inputs()
        for step in self.lowering.network.steps:
            if not is_layer(step.op):
                self.lowering.prepare()
            self._emit(step.op, step)
            self.live.release_read(step)
        self.lowering.store_output(self.values[self.lowering.network.last.name])

    @singledispatchmethod
    def _emit(self, _op: Operator, step: Step) -> None:
        """All of a step: what others need than parts, rounded one after the other."""
        self._each(step)

    def _new(self, step: Step) -> FeatureMap:
        result = self.rows.place(f"{step.name}.output", self.images, step.result)
        self.values[step.name] = result
        return result

    def _pooling(self, step: Step) -> Pooling | None:
        """The maximum pooling of a step's result."""
        pool = self.flow.pooling(step)
        return None if pool is None else self._pooling_of(pool)

    def _pooling_of(self, step: Step) -> Pooling:
        x = self.values[step.source]
        return Pooling(step, self.chip, self.rows, x, self._new(step))

    def _done(self, z: FeatureMap, images: tuple[int, int], pooling: Pooling | None) -> None:
        """Some images are computed."""
        written(z, images)
        if pooling is not None:
            pooling.forward(images)

    def _each(
        self, step: Step, maps: Sequence[FeatureMap] | None = None, most: int | None = None
    ) -> None:
        """Parts of at most so many pixels each, of maps, those of a step's sources without."""
        maps = maps or [self.values[source] for source in step.sources]
        z = self.values.get(step.name) or self._new(step)
        pooling = self._pooling(step)
        for images in common(z.groups(), *(feature_map.groups() for feature_map in maps)):
            for tile in block_tiles(z, images, most or self.depth):
                self._round(step, tile, self.parts.forward(step, tile))
            self._done(z, images, pooling)

    def _round(self, step: Step, tile: Area, part: Part, avoid: Collection[int] = ()) -> None:
        """A part through a step's activation to its result."""
        z, lowering = self.values[step.name], self.lowering
        self.rows.new(z.of(tile), 0, avoid=avoid, pinned=part.pinned)
        fields = {"shift": part.shift, **lowering.activation(step, *part.names)}
        fields["flags"] = fields.get("flags", 0) | part.flags
        self.chip.compute(
            tile.flat, part.a, part.b, target=z.words(tile), alu=part.alu, scalar=part.scalar,
            last_lanes=z.lanes(tile, lowering.config.dim), **fields,
        )  # fmt: skip
        written_to(z, tile)

    # Layers

    @_emit.register
    def _layer(self, _op: Convolution, layer: Step) -> None:
        self.lowering.begin_layer(layer, "forward")
        x, z = self.values[layer.source], self._new(layer)
        if layer.owner not in self.parts.pieces:
            self.parts.pieces[layer.owner] = self.lowering.pieces(layer, x)
        blocks, pooling, biases = z.cuts()[-1], self._pooling(layer), None
        for images in common(x.groups(), z.groups()):
            for tile in tiles(z, images, self.depth):
                for group in cut(blocks, max(1, self.depth // tile.pixels), z.cuts()):
                    some = replace(tile, blocks=group)
                    bank = self._sums(layer, z, some, pooling)
                    if biases is None:
                        self.lowering.prepare()
                        biases = self.lowering.bias(layer, self.flow.outputs[layer.source], blocks)
                    self._activate(layer, some, bank, biases, pooling)
            if is_data(layer.source):
                # Memory has it, and other maps need its place more until it is read again; what
                # was read last stays, so that the next images go to another place meanwhile.
                self.rows.drop(part for part in x.segments if part.high <= images[0])
            self._done(z, images, pooling)

    def _sums(self, layer: Step, z: FeatureMap, tile: Area, pooling: Pooling | None) -> int:
        """The bank of a tile's sums."""
        bank = self.chip.next_sums()
        # Banks that the vector unit reads or writes while the array works for this.
        busy = banks_of(z) if pooling is None else banks_of(z, pooling.result)
        x, pieces = self.values[layer.source], self.parts.pieces[layer.owner]
        geometry = self.lowering.geometry(layer)
        self.product.emit(geometry, x, pieces, tile, bank, busy)
        return bank

    def _activate(
        self, layer: Step, tile: Area, bank: int, biases: Words, pooling: Pooling | None
    ) -> None:
        read = self.values[layer.source].of(tile.of(0)).place
        busy = [] if read is None else [read[0]]
        if pooling is not None:
            busy += banks_of(pooling.result)
        names = self.flow.outputs[layer.source], f"{layer.owner}.weight"
        by = Words.at(biases.bank, biases.base + tile.blocks[0], 1, 0)
        part = Part(Words.at(bank, 0, tile.pixels), names, b=by, alu=Alu.ADD)
        self._round(layer, tile, part, busy)

    @_emit.register
    def _norm(self, _op: Normalize, layer: Step) -> None:
        """Normalized values times the weights, with the biases, through the activation."""
        norm = self.parts.norms[layer.name] = Normalization(layer, self.lowering)
        norm.forward(self.values[layer.source])
        self._scaled(layer, norm)
        if not self.live.returns_to(layer.name):
            self.rows.drop(norm.normal.segments)

    @_emit.register
    def _scale(self, _op: ScaleShift, layer: Step) -> None:
        x, scale = self.values[layer.source], self.flow.outputs[layer.source]
        self._scaled(layer, Scaling(layer, self.lowering, x, scale))

    def _scaled(self, layer: Step, norm: Scaling) -> None:
        self.parts.scalings[layer.name] = norm
        self.parts.biases[layer.name] = self.lowering.bias(layer, norm.scale, norm.blocks)
        self._each(layer, [norm.normal])

    # What has no parameters

    @_emit.register
    def _normalize(self, _op: NormalizeChannels, step: Step) -> None:
        x, z = self.values[step.source], self._new(step)
        norm = self.parts.layer_norms[step.name] = LayerNormalization(step, self.lowering, x, z)
        norm.forward()
        if (pooling := self._pooling(step)) is not None:
            pooling.forward((0, self.images))

    @_emit.register
    def _softmax(self, _op: Softmax, step: Step) -> None:
        x, y = self.values[step.source], self._new(step)
        softmax = self.parts.softmaxes[step.name] = SoftmaxMap(step, self.lowering, x, y)
        self._each(step, most=softmax.most)

    @_emit.register
    def _product(self, _op: MatMul, step: Step) -> None:
        self._each(step, most=self.depth // 2)

    @_emit.register
    def _maximum(self, _op: MaxPool, step: Step) -> None:
        """Of the input, or after another pooling: others go with their source."""
        if step.name not in self.values:
            self._pooling_of(step).forward((0, self.images))

    @_emit.register
    def _drop(self, _op: Dropout, step: Step) -> None:
        home = self.lowering.tensors.drops[step.name]
        mask = self.rows.place(f"{step.name}.mask", self.images, step.result, home)
        self.parts.masks[step.name] = mask
        self._each(step)
        self.rows.drop(mask.segments)

    @_emit.register
    def _add(self, _op: Add | Subtract, step: Step) -> None:
        """All at an exponent with guard bits, added."""
        self.chip.exponent("temporary", -GUARD, f"{step.name}.output")
        self._each(step)
