"""The forward pass as instructions (docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatchmethod

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import FRACTION, GUARD
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import Normalize, NormalizeChannels, ScaleShift
from pulsarray.compiler.passes.training.maps import INPUT, is_layer
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.drop import Dropping
from pulsarray.compiler.training.lower.layer_norm import LayerNormalization
from pulsarray.compiler.training.lower.live import Live
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import (
    FeatureMap,
    Tile,
    banks_of,
    common,
    tiles,
    words_at,
    written,
)
from pulsarray.compiler.training.lower.norm import Normalization
from pulsarray.compiler.training.lower.pieces import Pieces, cut
from pulsarray.compiler.training.lower.pool import Averaging, Pooling
from pulsarray.compiler.training.lower.products.forward import ForwardProduct
from pulsarray.compiler.training.lower.products.matrices import MatrixProduct
from pulsarray.compiler.training.lower.scaling import Scaling
from pulsarray.compiler.training.lower.softmax import SoftmaxMap
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Forward", "collect"]

_ADD = int(VectorFlag.ADD_AFTER)


def collect(
    lowering: Lowering,
    a: Words,
    sums: Words,
    count: int,
    names: tuple[str, ...],
    *,
    add: bool,
    shift: int = 0,
) -> None:
    """Words at the exponent of sums, ``temporary``, as their beginning or added to them."""
    lowering.chip.compute(
        count, a, sums if add else None, acc=sums,
        x=("temporary", *names), flags=_ADD if add else 0, shift=shift,
    )  # fmt: skip


class Forward:
    """Emits the forward pass.

    Parameters
    ----------
    lowering, live
        The program, and the values that it needs.

    Members
    -------
    pieces, norms, layer_norms, softmaxes, scalings, drops
        By step, what the way back needs.
    """

    def __init__(self, lowering: Lowering, live: Live) -> None:
        self.lowering, self.live, self.values = lowering, live, live.values
        self.chip, self.rows, self.flow = lowering.chip, lowering.rows, lowering.flow
        self.depth, self.images = lowering.chip.depth, lowering.tensors.rows
        self.product = ForwardProduct(lowering)
        self.matrices = MatrixProduct(lowering)
        self.pieces: dict[str, Pieces] = {}
        self.norms: dict[str, Normalization] = {}
        self.layer_norms: dict[str, LayerNormalization] = {}
        self.softmaxes: dict[str, SoftmaxMap] = {}
        self.scalings: dict[str, Scaling] = {}
        self.drops: dict[str, Dropping] = {}

    def run(self) -> None:
        """All steps, and the output to memory."""
        self.values[INPUT] = self.lowering.input()
        for step in self.lowering.network.steps:
            if not is_layer(step.op):
                self.lowering.prepare()
            self._emit(step.op, step)
            self.live.release_read(step)
        self.lowering.store_output(self.values[self.lowering.network.steps[-1].name])

    @singledispatchmethod
    def _emit(self, op: Operator, _step: Step) -> None:
        """All of a step: one function an operator."""
        raise TypeError(op)

    def _new(self, step: Step) -> FeatureMap:
        found = self.rows.place(f"{step.name}.output", self.images, step.result)
        self.values[step.name] = found
        return found

    def _pooling_of(self, step: Step) -> Pooling:
        x = self.values[step.source]
        return Pooling(step, self.chip, self.rows, x, self._new(step))

    def _pooling(self, step: Step) -> Pooling | None:
        """The maximum pooling of a step's result."""
        pool = self.flow.pooling(step)
        return None if pool is None else self._pooling_of(pool)

    def _done(self, z: FeatureMap, images: tuple[int, int], pooling: Pooling | None) -> None:
        """Some images are computed."""
        written(z, images)
        if pooling is not None:
            pooling.forward(images)

    # Layers

    @_emit.register
    def _layer(self, _op: Convolution, layer: Step) -> None:
        self.lowering.begin_layer(layer, "forward")
        x, z = self.values[layer.source], self._new(layer)
        self.pieces[layer.name] = self.lowering.pieces(layer, x)
        blocks, pooling, biases = z.cuts()[-1], self._pooling(layer), None
        for images in common(x.groups(), z.groups()):
            for tile in tiles(z, images, self.depth):
                most = max(1, self.depth // (tile.images * tile.rows * z.shape[1]))
                for group in cut(blocks, most, z.cuts()):
                    bank = self._sums(layer, z, tile, range(*group), pooling)
                    if biases is None:
                        self.lowering.prepare()
                        biases = self.lowering.bias(layer, self.flow.outputs[layer.source], blocks)
                    self._activate(layer, z, tile, group, bank, biases, pooling)
            if layer.source == INPUT:
                # Memory has it, and other maps need its place more until it is read again; what
                # was read last stays, so that the next images go to another place meanwhile.
                self.rows.drop(part for part in x.segments if part.high <= images[0])
            self._done(z, images, pooling)

    def _sums(
        self, layer: Step, z: FeatureMap, tile: Tile, columns: range, pooling: Pooling | None
    ) -> int:
        """The bank of a tile's sums."""
        bank = self.chip.next_sums()
        # Banks that the vector unit reads or writes while the array works for this.
        busy = banks_of(z) if pooling is None else banks_of(z, pooling.result)
        x, pieces = self.values[layer.source], self.pieces[layer.name]
        geometry = self.lowering.geometry(layer)
        self.product.emit(geometry, x, pieces, tile, columns, bank, busy)
        return bank

    def _activate(
        self,
        layer: Step,
        z: FeatureMap,
        tile: Tile,
        group: tuple[int, int],
        bank: int,
        biases: Words,
        pooling: Pooling | None,
    ) -> None:
        read = self.values[layer.source].at(tile.low, 0).place
        busy = [] if read is None else [read[0]]
        if pooling is not None:
            busy += banks_of(pooling.result)
        self.rows.new(z.at(tile.low, group[0]), 0, avoid=busy)
        pixels = tile.images * tile.rows * z.shape[1]
        self.chip.compute(
            (group[1] - group[0], pixels), Words.at(bank, 0, pixels),
            Words.at(biases.bank, biases.base + group[0], 1, 0), target=words_at(z, tile, group[0]),
            alu=Alu.ADD, last_lanes=self.lowering.lanes(z, group[1]),
            **self.lowering.activation(
                layer, self.flow.outputs[layer.source], f"{layer.name}.weight"
            ),
        )  # fmt: skip

    @_emit.register
    def _norm(self, _op: Normalize, layer: Step) -> None:
        """Normalized values times the weights, with the biases, through the activation."""
        self.norms[layer.name] = norm = Normalization(layer, self.lowering)
        norm.forward(self.values[layer.source])
        self._scaled(layer, norm)
        if not self.live.returns_to(layer.name):
            self.rows.drop(norm.normal.segments)

    @_emit.register
    def _scale(self, _op: ScaleShift, layer: Step) -> None:
        x, scale = self.values[layer.source], self.flow.outputs[layer.source]
        self._scaled(layer, Scaling(layer, self.lowering, x, scale))

    @_emit.register
    def _normalize(self, _op: NormalizeChannels, step: Step) -> None:
        x, z = self.values[step.source], self._new(step)
        norm = self.layer_norms[step.name] = LayerNormalization(step, self.lowering, x, z)
        norm.forward()
        self._pool_all(step)

    @_emit.register
    def _softmax(self, _op: Softmax, step: Step) -> None:
        x, y = self.values[step.source], self._new(step)
        self.softmaxes[step.name] = softmax = SoftmaxMap(step, self.lowering, x, y)
        softmax.forward()
        self._pool_all(step)

    @_emit.register
    def _product(self, op: MatMul, step: Step) -> None:
        """A matrix for each row of pixels, requantized."""
        (a, b), z = (self.values[name] for name in step.sources), self._new(step)
        x = (f"{step.name}.output", *(self.flow.outputs[name] for name in step.sources))
        pooling, fields = self._pooling(step), self.lowering.narrowed("identity")
        for images in common(a.groups(), b.groups(), z.groups()):
            for tile in tiles(z, images, self.depth // 2):
                count = tile.images * tile.rows * z.shape[1]
                for block in range(z.cuts()[-1]):
                    bank, turned = self.chip.next_sums(), (op.transpose_a, op.transpose_b)
                    self.matrices.emit(a, b, turned, tile, block, bank)
                    self.rows.new(z.at(tile.low, block), 0)
                    self.chip.compute(
                        count, Words.at(bank),
                        target=words_at(z, tile, block), x=x,
                        last_lanes=self.lowering.lanes(z, block + 1), **fields,
                    )  # fmt: skip
            self._done(z, images, pooling)

    def _scaled(self, layer: Step, norm: Scaling) -> None:
        """Values times the weights, with the biases, through the activation."""
        self.scalings[layer.name] = norm
        z, x = self._new(layer), norm.normal
        biases = self.lowering.bias(layer, norm.scale, norm.blocks)
        pooling = self._pooling(layer)
        for images in common(x.groups(), z.groups()):
            for tile, block in self._blocks(z, images):
                count, sums = tile.images * tile.rows * z.shape[1], Words.at(self.chip.aux[0])
                norm.scaled(tile, block, count, sums)
                self.rows.new(z.at(tile.low, block), 0)
                self.chip.compute(
                    count, sums,
                    Words.at(biases.bank, biases.base + block, 0, 0),
                    target=words_at(z, tile, block), alu=Alu.ADD,
                    last_lanes=self.lowering.lanes(z, block + 1),
                    **self.lowering.activation(layer, norm.scale, f"{layer.name}.weight"),
                )  # fmt: skip
            self._done(z, images, pooling)

    # What has no parameters

    @_emit.register
    def _maximum(self, _op: MaxPool, step: Step) -> None:
        """Of the input, or after another pooling: others go with their source."""
        if step.name not in self.values:
            self._pooling_of(step).forward((0, self.images))

    @_emit.register
    def _average(self, _op: AveragePool, step: Step) -> None:
        x, z = self.values[step.source], self._new(step)
        names = f"{step.name}.output", self.flow.outputs[step.source]
        fields = self.lowering.narrowed(step.activation)
        Averaging(step, self.chip, self.rows).forward(x, z, names, fields)
        self._pool_all(step)

    @_emit.register
    def _drop(self, _op: Dropout, step: Step) -> None:
        x, z = self.values[step.source], self._new(step)
        names = f"{step.name}.output", self.flow.outputs[step.source]
        dropping = Dropping(step, self.lowering.tensors, self.chip, self.rows)
        self.drops[step.name] = dropping
        dropping.forward(x, z, names, training=self.lowering.training)
        self._pool_all(step)

    def _pool_all(self, step: Step) -> None:
        """The maximum pooling of a result that is all there."""
        pooling = self._pooling(step)
        if pooling is not None:
            pooling.forward((0, self.images))

    @_emit.register
    def _element_wise(self, _op: Function, step: Step) -> None:
        """An activation of a value; a gate is looked up and multiplied with it."""
        x, z = self.values[step.source], self._new(step)
        pooling = self._pooling(step)
        for images in common(x.groups(), z.groups()):
            for tile, block in self._blocks(z, images):
                self._activated(step, tile, block, tile.images * tile.rows * z.shape[1])
            self._done(z, images, pooling)

    def _activated(self, step: Step, tile: Tile, block: int, count: int) -> None:
        x, z = self.values[step.source], self.values[step.name]
        chip, lowering, scale = self.chip, self.lowering, self.flow.outputs[step.source]
        read = self.rows.get(x.at(tile.low, block))
        a = words_at(x, tile, block)
        lanes = lowering.lanes(z, block + 1)
        if not step.derivative.gated:
            self.rows.new(z.at(tile.low, block), 0, pinned=[read])
            chip.compute(
                count, a, target=words_at(z, tile, block), last_lanes=lanes,
                **lowering.activation(step, scale),
            )  # fmt: skip
            return
        gate = Words.at(chip.aux[0])
        chip.compute(count, a, acc=gate, **lowering.looked_up(step, scale))
        self.rows.new(z.at(tile.low, block), 0, pinned=[read])
        chip.compute(
            count, a, gate, target=words_at(z, tile, block),
            alu=Alu.MUL, shift=-FRACTION, last_lanes=lanes,
            x=(f"{step.name}.output", scale), **lowering.narrowed("identity"),
        )  # fmt: skip

    @_emit.register
    def _multiply(self, _op: Multiply, step: Step) -> None:
        (a, b), z = (self.values[name] for name in step.sources), self._new(step)
        x = (f"{step.name}.output", *(self.flow.outputs[name] for name in step.sources))
        sums, fields = Words.at(self.chip.aux[0]), self.lowering.narrowed("identity")
        pooling = self._pooling(step)
        for images in common(a.groups(), b.groups(), z.groups()):
            for tile, block in self._blocks(z, images):
                count = tile.images * tile.rows * z.shape[1]
                self.rows.get(b.at(tile.low, block))
                self.chip.compute(count, words_at(b, tile, block), acc=sums)
                read = self.rows.get(a.at(tile.low, block))
                self.rows.new(z.at(tile.low, block), 0, pinned=[read])
                self.chip.compute(
                    count, words_at(a, tile, block), sums,
                    target=words_at(z, tile, block), alu=Alu.MUL, x=x, **fields,
                )  # fmt: skip
            self._done(z, images, pooling)

    @_emit.register
    def _add(self, _op: Add, step: Step) -> None:
        """Both at an exponent with guard bits, added, and requantized."""
        z, name = self._new(step), f"{step.name}.output"
        parts = [self.values[source] for source in step.sources]
        pooling = self._pooling(step)
        self.chip.exponent("temporary", -GUARD, name)
        sums, fields = Words.at(self.chip.aux[0]), self.lowering.narrowed(step.activation)
        for images in common(z.groups(), *(part.groups() for part in parts)):
            for tile, block in self._blocks(z, images):
                count = tile.images * tile.rows * z.shape[1]
                for number, source in enumerate(step.sources):
                    self.rows.get(parts[number].at(tile.low, block))
                    a, scale = words_at(parts[number], tile, block), (self.flow.outputs[source],)
                    collect(self.lowering, a, sums, count, scale, add=number > 0)
                self.rows.new(z.at(tile.low, block), 0)
                self.chip.compute(
                    count, sums, target=words_at(z, tile, block),
                    x=(name, "temporary"), **fields,
                )  # fmt: skip
            self._done(z, images, pooling)

    def _blocks(self, found: FeatureMap, images: tuple[int, int]) -> Iterator[tuple[Tile, int]]:
        for tile in tiles(found, images, self.depth):
            for block in range(found.cuts()[-1]):
                yield tile, block
