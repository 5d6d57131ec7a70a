"""A training step of a network of feature maps as instructions (docs/training.md).

Gradients are pulled: a step's error is made, tile by tile, from the errors of all steps that read
its result. A layer's weights learn after the error before it is on its way, so that the array has
work while the vector unit routes errors through a pooling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.training.layers import (
    AverageStep,
    DropStep,
    MapLayer,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.compiler.training.lower import DERIVED
from pulsarray.compiler.training.maps.flow import INPUT, NORMAL
from pulsarray.compiler.training.maps.forward import MapForward
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
from pulsarray.compiler.training.maps.pool import Averaging, Pooling
from pulsarray.compiler.training.memory import Words
from pulsarray.compiler.training.products import Pieces, cut
from pulsarray.compiler.training.tensors import TrainTensors
from pulsarray.compiler.training.update import Update
from pulsarray.isa import Alu, VectorFlag

__all__ = ["MapLowering"]

_STATISTIC = int(VectorFlag.STATISTIC)


@dataclass(eq=False)
class _Learning:
    """A layer's update on its way: what emits a piece of it each time, and how many are left."""

    pieces: Iterator[None]
    left: int


class MapLowering(MapForward):
    """Emits one program; as :class:`~pulsarray.compiler.training.lower.TrainLowering`."""

    def __init__(
        self, tensors: TrainTensors, layout: Layout, *, training: bool, share: int
    ) -> None:
        super().__init__(tensors, layout, training=training, share=share)
        self.errors: dict[str, FeatureMap] = {}
        self._held: Counter[FeatureMap] = Counter()
        self._waiting: list[_Learning] = []
        self._routes: dict[str, Iterator[int]] = {}

    def backward(self, update: Update) -> None:
        """From the loss to the first layer; ``update`` takes the gradients."""
        last = self.steps[-1]
        delta = self._loss()
        assert isinstance(delta, FeatureMap)
        self._uses[last.name] = 0
        self._share(last, delta)
        self._known = {INPUT, *(s.name for s in self.steps if s.name not in self.flow.learning)}
        self._later: list[Step] = [last]
        for step in reversed(self.steps[:-1]):
            if step.name in self._known:
                continue
            if INPUT in step.sources:
                # The last errors of all: the array then follows image by image.
                self._learn_ready(update)
                self._learn_until(0)
            self._error(step)
            self._known.add(step.name)
            if not isinstance(step, PoolStep):
                self._learn_until(0)
                self._learn_ready(update)
            self._later.append(step)
        self._learn_until(0)
        self._learn_ready(update)
        self._learn_until(0)

    def _learn_ready(self, update: Update) -> None:
        """Weights may change as soon as the errors before them are known."""
        for step in list(self._later):
            if self._known.issuperset(step.sources):
                self._later.remove(step)
                self._waiting.append(self._pieces_in_turn(step, update))

    def _pieces_in_turn(self, step: Step, update: Update) -> _Learning:
        pieces = 0
        if isinstance(step, MapLayer):
            pieces = len(self.taken[step.name].ranges) * -(-step.result[2] // self.config.dim)
        return _Learning(self._learn(step, update), pieces + 1)

    def _learn_until(self, left: int) -> None:
        """Emit what weights have to learn, until so many pieces of them are left."""
        while self._waiting and sum(learning.left for learning in self._waiting) > left:
            learning = self._waiting[0]
            learning.left -= 1
            if not learning.left:
                for _ in learning.pieces:
                    pass
                self._waiting.pop(0)
            else:
                next(learning.pieces)

    def _let_go(self, name: str) -> None:
        """One use less of a step's error, which another step may share."""
        found = self.errors[name]
        self._held[found] -= 1
        if not self._held[found]:
            self.rows.drop(found.segments)

    def _share(self, step: Step, error: FeatureMap) -> None:
        """A step's error is known."""
        self.errors[step.name] = error
        uses = sum(source in self.flow.learning for source in step.sources)
        self._held[error] += uses + isinstance(step, MapLayer | NormLayer)

    def _learn(self, layer: Step, update: Update) -> Iterator[None]:
        """The gradients of a step's parameters, if it has any, a piece of weights at a time."""
        if isinstance(layer, NormLayer):
            self._learn_norm(layer, update)
        if not isinstance(layer, MapLayer):
            return
        self._begin_layer(layer, "backward")
        x, delta, pieces = (
            self.values[layer.source],
            self.errors[layer.name],
            self.taken[layer.name],
        )
        geometry = self._geometry(layer)
        names = self.flow.outputs[layer.source], self._scale(layer.name)
        passing = self._passing(layer)
        update.grow(f"{layer.name}.weight")
        for column in range(delta.cuts()[-1]):
            for part in pieces.ranges:
                place = column, part

                def weights(
                    bank: int, add: bool, place: tuple[int, tuple[int, int]] = place
                ) -> None:
                    self.maps.gradient(
                        geometry,
                        x,
                        delta,
                        place[1],
                        place[0],
                        bank,
                        add=add,
                        passing=passing,
                        before=lambda images: self._routed(layer.name, images),
                    )

                update.piece(layer, names, pieces, column, part, weights)
                yield
        self._routed(layer.name, self.tensors.rows + 1)
        if layer.learned[1:]:
            self._learn_bias(layer, update)
        self._release(layer.source)
        self._let_go(layer.name)

    def _learn_bias(self, layer: MapLayer | NormLayer, update: Update) -> None:
        ones = self.rows.matrix("ones", 1, 1, self.tensors.ones).segments[0]
        delta = self.errors[layer.name]

        def biases(columns: tuple[int, int], bank: int, add: bool) -> None:
            self.maps.bias(ones, delta, columns, bank, add=add)

        update.bias(layer, self._scale(layer.name), delta.cuts(), biases)
        self.rows.drop([ones])

    def _learn_norm(self, layer: NormLayer, update: Update) -> None:
        norm, delta = self.norms[layer.name], self.errors[layer.name]
        pieces = Pieces(self.tensors.weights[layer.name], [(0, 1)], self.config.dim)
        update.grow(f"{layer.name}.weight")
        names = NORMAL, self._scale(layer.name)
        for block in range(norm.blocks):

            def weights(bank: int, _add: bool, block: int = block) -> None:
                norm.diagonal(norm.normal, delta, block, bank)

            update.piece(layer, names, pieces, block, (0, 1), weights)
        self._learn_bias(layer, update)
        self.rows.drop(norm.normal.segments)
        self._let_go(layer.name)

    def _scale(self, name: str) -> str:
        """Name of the exponent of a step's error."""
        found = self.flow.errors[name]
        return found if found in self.tensors.registers else "target"

    def _error(self, step: Step) -> None:
        """A step's error from those of the steps that read it."""
        readers = self.flow.readers(step.name)
        if self._scale(step.name) == f"{step.name}.error":
            self._share(step, self._pull(step, list(reversed(readers))))
        elif isinstance(readers[0], PoolStep):
            self._share(step, self.values[step.name])
            self._routes[step.name] = self._route(step, readers[0])
            if not self._passing(step):
                self._routed(step.name, self.tensors.rows + 1)
            return
        else:
            self._share(step, self.errors[readers[0].name])
        if isinstance(readers[0], PoolStep):
            self._release(readers[0].name)
        for reader in readers:
            self._let_go(reader.name)
        self._release(step.name)

    def _passing(self, step: Step) -> bool:
        """Whether a step's errors are used image by image as they come, and no more after."""
        return isinstance(step, MapLayer) and step.source == INPUT

    def _routed(self, name: str, images: int) -> None:
        """Have the errors of at least so many images on the way to where they belong."""
        route = self._routes.get(name)
        while route is not None:
            end = next(route, None)
            if end is None:
                del self._routes[name]
            if end is None or end >= images:
                return

    def _route(self, step: Step, pool: PoolStep) -> Iterator[int]:
        """The error of what was pooled, in the place of its values: up to which image it is."""
        z, p, error = self.values[step.name], self.values[pool.name], self.errors[pool.name]
        busy = banks_of(p)
        for reader in self.flow.readers(pool.name):
            busy += banks_of(self.errors[reader.name])
        pooling = Pooling(pool, self.chip, self.rows, z, p)
        for images in common(z.groups(), error.groups()):
            pooling.backward(error, images, busy)
            yield images[1]
        self._release(pool.name)
        self._let_go(pool.name)

    def _pull(self, step: Step, readers: list[Step]) -> FeatureMap:
        """The gradient at a step's output, tile by tile, and through its activation."""
        z, name = self.values[step.name], f"{step.name}.error"
        found = place_map(self.rows, name, self.tensors.rows, step.result)
        errors = [self.errors[reader.name] for reader in readers]
        several = len(readers) > 1 or not isinstance(readers[0], MapLayer)
        norm = self.norms.get(readers[0].name)
        if norm is not None:
            norm.prepare(errors[0])
        elif several:
            self.chip.exponent(self.phase, "temporary", -GUARD, name)
        depth = self.config.accumulator_depth
        parts = common(z.groups(), *(error.groups() for error in errors))
        if isinstance(readers[0], PoolStep):
            depth //= 2
        left = sum(1 for images in parts for _ in tiles(found, images, depth))
        for images in parts:
            for tile in tiles(found, images, depth):
                pixels = tile.images * tile.rows * found.shape[1]
                most = 1 if several else max(1, depth // pixels)
                for group in cut(found.cuts()[-1], most, z.cuts()):
                    self._pull_tile(step, readers, found, tile, range(*group), pixels)
                left -= 1
                if norm is None:
                    # The vector unit has time for updates while the array works for this.
                    self._learn_some(left)
            written(found, images)
        return found

    def _learn_some(self, tiles_left: int) -> None:
        """The share of what waits that belongs to one tile, so many tiles before the last."""
        pieces = sum(learning.left for learning in self._waiting)
        self._learn_until(pieces * tiles_left // (tiles_left + 1))

    def _pull_tile(
        self,
        step: Step,
        readers: list[Step],
        found: FeatureMap,
        tile: Tile,
        blocks: range,
        pixels: int,
    ) -> None:
        names: tuple[str, ...] = ("temporary",)
        sums, less = Words(self.chip.aux[0], 0, 0), 0
        if len(readers) == 1 and isinstance(readers[0], MapLayer):
            sums, names = self._product(readers[0], tile, blocks, pixels)
        elif isinstance(readers[0], PoolStep):
            sums, names = self._unpooled(step, readers[0], tile, blocks.start)
        elif len(readers) == 1 and isinstance(readers[0], AverageStep | DropStep):
            sums, names, less = self._shared(readers[0], tile, blocks.start)
        elif (norm := self.norms.get(readers[0].name)) is not None:
            delta, own = self.errors[readers[0].name], self._scale(readers[0].name)
            sums = norm.pull(delta, tile, blocks.start, pixels, own)
            names = ("guard",)
        else:
            for number, reader in enumerate(readers):
                if isinstance(reader, MapLayer):
                    part, exponents = self._product(reader, tile, blocks, pixels)
                    self._collect(part, sums, pixels, exponents, add=number > 0)
                elif isinstance(reader, AverageStep | DropStep):
                    part, one, down = self._shared(reader, tile, blocks.start)
                    self._collect(part, sums, pixels, one, add=number > 0, shift=down)
                else:
                    error = self.errors[reader.name]
                    self.rows.get(error.at(tile.low, blocks.start))
                    part, scale = words_at(error, tile, blocks.start), self._scale(reader.name)
                    self._collect(part, sums, pixels, (scale,), add=number > 0)
        self._through(step, found, tile, blocks, pixels, sums, names, less)

    def _unpooled(
        self, step: Step, pool: PoolStep, tile: Tile, block: int
    ) -> tuple[Words, tuple[str, ...]]:
        """What overlapping windows give of that."""
        bank, z, p = self.chip.next_sums(), self.values[step.name], self.values[pool.name]
        pooling = Pooling(pool, self.chip, self.rows, z, p)
        pooling.gradient(self.errors[pool.name], tile, block, bank)
        return Words(bank, 0, 0), (self._scale(pool.name),)

    def _shared(
        self, step: AverageStep | DropStep, tile: Tile, block: int
    ) -> tuple[Words, tuple[str, ...], int]:
        """What an average pooling or a dropout gives of that, and how far it is to be shifted."""
        bank, error = self.chip.next_sums(), self.errors[step.name]
        if isinstance(step, DropStep):
            shift = self.drops[step.name].backward(error, tile, block, bank)
        else:
            averaging = Averaging(step, self.chip, self.rows)
            averaging.backward(error, tile, block, bank)
            shift = averaging.shift
        return Words(bank, 0, 0), (self._scale(step.name),), shift

    def _product(
        self, layer: MapLayer, tile: Tile, blocks: range, pixels: int
    ) -> tuple[Words, tuple[str, str]]:
        """What a layer's error gives of the gradient of its source."""
        self._begin_layer(layer, "backward")
        bank = self.chip.next_sums()
        delta, pieces = self.errors[layer.name], self.taken[layer.name]
        self.maps.backward(self._geometry(layer), delta, pieces, tile, blocks, bank)
        return Words(bank, 0, pixels), (self._scale(layer.name), f"{layer.name}.weight")

    def _through(  # type: ignore[override]
        self,
        step: Step,
        found: FeatureMap,
        tile: Tile,
        blocks: range,
        pixels: int,
        sums: Words,
        names: tuple[str, ...],
        less: int,
    ) -> None:
        """Times the derivative of a step's activation, and requantized."""
        readers = self.flow.readers(step.name)
        # A pooling has already had the derivative.
        activation = "identity" if isinstance(readers[0], PoolStep) else step.activation
        z, (alu, shift) = self.values[step.name], DERIVED[activation]
        output = self.rows.get(z.at(tile.low, blocks.start))
        second = None
        if alu is not Alu.PASS:
            second = words_at(z, tile, blocks.start)
        # While this error is routed, the array works with those that it came from.
        busy = [output.bank]
        for reader in readers:
            busy += banks_of(self.errors[reader.name])
        to = self.rows.new(found.at(tile.low, blocks.start), 0, avoid=busy, pinned=[output])
        self.chip.vector(
            self.phase, len(blocks), pixels, sums, second,
            target=Words(to.bank, found.word(tile.low, blocks.start, tile.top), to.rows),
            alu=alu, shift=shift + less, x=(f"{step.name}.error", *names), flags=_STATISTIC,
            last_lanes=self._lanes(found, blocks.stop),
        )  # fmt: skip

    def apply(self, update: Update) -> None:
        """The update with sums of gradients in memory."""
        self.prepare()
        for layer in self.network.layers:
            assert isinstance(layer, MapLayer)
            self.begin(layer.name, "update", 0, 0, 0)
            names = self.flow.outputs[layer.source], self._scale(layer.name)
            pieces = self._pieces_of(layer)
            update.grow(f"{layer.name}.weight")
            blocks = -(-layer.weight.shape[1] // self.config.dim)
            for column in range(blocks):
                for part in pieces.ranges:
                    update.piece(layer, names, pieces, column, part, None)
            update.bias(layer, names[1], [blocks], None)
