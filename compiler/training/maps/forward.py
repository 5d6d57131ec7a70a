"""The forward pass of a network of feature maps as instructions (docs/training.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.training.layers import (
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.compiler.training.lower import TrainLowering
from pulsarray.compiler.training.maps.drop_lower import Dropping
from pulsarray.compiler.training.maps.flow import INPUT, NORMAL
from pulsarray.compiler.training.maps.geometry import Geometry
from pulsarray.compiler.training.maps.interpreter import GUARD
from pulsarray.compiler.training.maps.maps import (
    FeatureMap,
    Tile,
    banks_of,
    common,
    place_map,
    tiles,
    words_at,
    written,
)
from pulsarray.compiler.training.maps.norm_lower import Normalization
from pulsarray.compiler.training.maps.pool import Averaging, Pooling
from pulsarray.compiler.training.maps.products import MapProducts
from pulsarray.compiler.training.memory import Matrix, Words
from pulsarray.compiler.training.products import Pieces, cut
from pulsarray.compiler.training.tensors import TrainTensors
from pulsarray.isa import Alu, VectorFlag
from pulsarray.program import Tensor

__all__ = ["MapForward"]

_STATISTIC, _ADD = int(VectorFlag.STATISTIC), int(VectorFlag.ADD_AFTER)
_LARGEST_PIECE = 4


class MapForward(TrainLowering):
    """Emits the forward pass, with what a program begins with."""

    def __init__(
        self, tensors: TrainTensors, layout: Layout, *, training: bool, share: int
    ) -> None:
        super().__init__(tensors, layout, training=training, share=share)
        self.steps, self.flow = self.network.steps, self.network.flow
        self.maps = MapProducts(self.chip, self.rows, self.weights)
        assert isinstance(self.input, FeatureMap)
        self.values: dict[str, FeatureMap] = {INPUT: self.input}
        self.taken: dict[str, Pieces] = {}
        self.norms: dict[str, Normalization] = {}
        self.drops: dict[str, Dropping] = {}
        self._uses: Counter[str] = Counter()
        self._begun: set[str] = set()

    def _input(self) -> Matrix:
        tensor, shape = self.tensors.input, self.tensors.input_shape
        return place_map(self.rows, "input", self.tensors.rows, shape, tensor)

    def _matrix(self, name: str, rows: int, columns: int, home: Tensor | None = None) -> Matrix:
        return place_map(self.rows, name, rows, (1, 1, columns), home)

    def _geometry(self, layer: MapLayer) -> Geometry:
        return self.tensors.geometries[layer.name]

    def _pieces_of(self, layer: MapLayer) -> Pieces:
        config = self.config
        most = min(
            max(1, config.accumulator_depth // 2 // config.dim),
            max(1, config.scratchpad_depth // _LARGEST_PIECE // config.dim),
        )
        ranges = self._geometry(layer).parts(most, [])
        return Pieces(self.tensors.weights[layer.name], ranges, config.dim)

    def _begin_layer(self, layer: MapLayer, kind: str) -> None:
        """A new phase, once."""
        if (key := f"{layer.name} {kind}") in self._begun:
            return
        self._begun.add(key)
        k, n = layer.weight.shape
        pixels = self.tensors.rows * layer.result[0] * layer.result[1]
        if kind == "forward":
            self.begin(layer.name, kind, pixels, k, n)
        else:
            self.begin(layer.name, kind, k, pixels, n, 1 + (layer.source in self.flow.learning))

    # Lifetimes

    def _release(self, name: str) -> None:
        """One use less of a value."""
        self._uses[name] -= 1
        if not self._uses[name]:
            self.rows.drop(self.values[name].segments)

    def _count_values(self) -> None:
        for step in self.steps:
            for source in step.sources:
                if isinstance(step, MapLayer) or not self._returns_to(source):
                    self._uses[source] += 1
            if self._returns_to(step.name):
                self._uses[step.name] += 1 + isinstance(step, PoolStep)

    def _returns_to(self, value: str) -> bool:
        """Whether the way back comes by a value."""
        return self.training and value in self.flow.learning

    def _release_read(self, step: Step) -> None:
        """What a step has read, and what nothing needs on the way back."""
        for source in step.sources:
            learns = self.training and isinstance(step, MapLayer)
            if not learns and not self._returns_to(source):
                self._release(source)

    # Forward

    def forward(self) -> None:
        """All steps, and the output to memory."""
        self._count_values()
        for step in self.steps:
            self._step_forward(step)
            self._release_read(step)
        self.outputs = [self.values[layer.name] for layer in self.network.layers]
        self._store_output(self.outputs[-1])

    def _step_forward(self, step: Step) -> None:
        if isinstance(step, MapLayer):
            self._begin_layer(step, "forward")
            self._layer_forward(step)
            return
        self.prepare()
        if isinstance(step, AddStep):
            self._add(step)
        elif isinstance(step, NormLayer):
            self._norm_forward(step)
        elif isinstance(step, AverageStep):
            self._average(step)
        elif isinstance(step, DropStep):
            self._drop(step)
        elif step.name not in self.values:
            self._pool(step)

    def _new(self, step: Step) -> FeatureMap:
        name = f"{step.name}.output"
        found = place_map(self.rows, name, self.tensors.rows, step.result)
        self.values[step.name] = found
        return found

    def _layer_forward(self, layer: MapLayer) -> None:
        geometry, x, z = self._geometry(layer), self.values[layer.source], self._new(layer)
        pieces = self.taken[layer.name] = self._pieces_of(layer)
        source = self.flow.outputs[layer.source]
        blocks, depth = z.cuts()[-1], self.config.accumulator_depth
        pooling = self._pooling(layer)
        biases: Words | None = None
        for images in common(x.groups(), z.groups()):
            for tile in tiles(z, images, depth):
                pixels = tile.images * tile.rows * z.shape[1]
                for group in cut(blocks, max(1, depth // pixels), z.cuts()):
                    bank = self.chip.next_sums()
                    columns = range(*group)
                    self.maps.busy = self._busy(z, pooling)
                    self.maps.forward(geometry, x, pieces, tile, columns, bank)
                    if biases is None:
                        self.prepare()
                        biases = self._bias(layer, source, (0, blocks))
                    read = x.at(tile.low, 0).place
                    busy = [] if read is None else [read[0]]
                    if pooling is not None:
                        busy += banks_of(pooling.result)
                    segment = self.rows.new(z.at(tile.low, group[0]), 0, avoid=busy)
                    self.chip.vector(
                        self.phase, len(columns), pixels, Words(bank, 0, pixels),
                        Words(biases.bank, biases.base + group[0], 1, 0),
                        target=Words(
                            segment.bank, z.word(tile.low, group[0], tile.top), segment.rows
                        ),
                        alu=Alu.ADD,
                        last_lanes=self._lanes(z, group[1]),
                        **self._activation(layer, source),
                    )  # fmt: skip
            written(z, images)
            if layer.source == INPUT:
                # Memory has it, and other maps need its place more until it is read again; what
                # was read last stays, so that the next images go to another place meanwhile.
                self.rows.drop(part for part in x.parts if part.high <= images[0])
            if pooling is not None:
                pooling.forward(images)

    def _pool(self, step: PoolStep) -> None:
        """A maximum pooling of the input, or after another: others go with their source."""
        x, z = self.values[step.source], self._new(step)
        Pooling(step, self.chip, self.rows, x, z).forward((0, z.images))

    def _average(self, step: AverageStep) -> None:
        x, z = self.values[step.source], self._new(step)
        names = f"{step.name}.output", self.flow.outputs[step.source]
        flags = _STATISTIC if self.training else 0
        Averaging(step, self.chip, self.rows).forward(x, z, names, flags)
        pooling = self._pooling(step)
        if pooling is not None:
            pooling.forward((0, z.images))

    def _drop(self, step: DropStep) -> None:
        """What is left, larger; all as it is where nothing is trained."""
        x, z = self.values[step.source], self._new(step)
        dropping = self.drops[step.name] = Dropping(step, self.tensors, self.chip, self.rows)
        names = f"{step.name}.output", self.flow.outputs[step.source]
        dropping.forward(x, z, names, training=self.training)
        pooling = self._pooling(step)
        if pooling is not None:
            pooling.forward((0, z.images))

    def _norm_forward(self, layer: NormLayer) -> None:
        """Normalized values times the weights, with the biases, through the activation."""
        self.norms[layer.name] = norm = Normalization(
            layer, self.tensors, self.chip, self.rows, self.weights, self.maps
        )
        norm.forward(self.values[layer.source])
        z, x = self._new(layer), norm.normal
        biases = self._bias(layer, NORMAL, (0, norm.blocks))
        pooling = self._pooling(layer)
        for images in common(x.groups(), z.groups()):
            for tile, block in self._blocks(z, images):
                count, sums = tile.images * tile.rows * z.shape[1], Words(self.chip.aux[0], 0, 0)
                self.rows.get(x.at(tile.low, block))
                by = norm.weight()
                self.weights.get(by)
                self.chip.vector(
                    self.phase, 1, count, words_at(x, tile, block),
                    Words(by.bank, by.base(0) + block, 0, 0), acc=sums, alu=Alu.MUL,
                )  # fmt: skip
                self.weights.drop([by])
                segment = self.rows.new(z.at(tile.low, block), 0)
                self.chip.vector(
                    self.phase, 1, count, sums, Words(biases.bank, biases.base + block, 0, 0),
                    target=Words(segment.bank, z.word(tile.low, block, tile.top), 0),
                    alu=Alu.ADD, last_lanes=self._lanes(z, block + 1),
                    **self._activation(layer, NORMAL),
                )  # fmt: skip
            written(z, images)
            if pooling is not None:
                pooling.forward(images)
        if not self.training:
            self.rows.drop(x.segments)

    def _busy(self, z: FeatureMap, pooling: Pooling | None) -> list[int]:
        """Banks that the vector unit reads or writes while the array works for a map."""
        return banks_of(z) + (banks_of(pooling.result) if pooling is not None else [])

    def _lanes(self, found: FeatureMap, end: int) -> int:
        """Lanes of the last block if a range of blocks ends with it."""
        return found.columns % self.config.dim if end == found.cuts()[-1] else 0

    def _pooling(self, layer: Step) -> Pooling | None:
        """The pooling of a step's result."""
        for step in self.flow.readers(layer.name):
            if isinstance(step, PoolStep):
                z, p = self.values[layer.name], self._new(step)
                return Pooling(step, self.chip, self.rows, z, p)
        return None

    def _add(self, step: AddStep) -> None:
        """Both at an exponent with guard bits, added, and requantized."""
        z, name = self._new(step), f"{step.name}.output"
        parts = [self.values[source] for source in step.sources]
        names = [self.flow.outputs[source] for source in step.sources]
        pooling = self._pooling(step)
        self.chip.exponent(self.phase, "temporary", -GUARD, name)
        total = self.chip.aux[0]
        for images in common(z.groups(), *(part.groups() for part in parts)):
            for tile, block in self._blocks(z, images):
                count = tile.images * tile.rows * z.shape[1]
                sums = Words(total, 0, 0)
                for number, (part, own) in enumerate(zip(parts, names, strict=True)):
                    self.rows.get(part.at(tile.low, block))
                    self._collect(words_at(part, tile, block), sums, count, (own,), add=number > 0)
                segment = self.rows.new(z.at(tile.low, block), 0)
                fields: dict[str, Any] = {"low": 0} if step.activation == "relu" else {}
                if self.training:
                    fields["flags"] = _STATISTIC
                target = Words(segment.bank, z.word(tile.low, block, tile.top), 0)
                self.chip.vector(
                    self.phase, 1, count, sums, target=target, x=(name, "temporary"), **fields
                )
            written(z, images)
            if pooling is not None:
                pooling.forward(images)

    def _collect(
        self,
        a: Words,
        sums: Words,
        count: int,
        names: tuple[str, ...],
        *,
        add: bool,
        shift: int = 0,
    ) -> None:
        """Words at the exponent of sums, as their beginning or added to them."""
        self.chip.vector(
            self.phase, 1, count, a, sums if add else None, acc=sums,
            x=("temporary", *names), flags=_ADD if add else 0, shift=shift,
        )  # fmt: skip

    def _blocks(self, found: FeatureMap, images: tuple[int, int]) -> Iterator[tuple[Tile, int]]:
        for tile in tiles(found, images, self.config.accumulator_depth):
            for block in range(found.cuts()[-1]):
                yield tile, block
