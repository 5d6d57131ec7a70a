"""What weights learn, piece by piece: as the error goes by, or in the time that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pulsarray.compiler.passes.training.maps import is_data, is_layer
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.forward import Forward
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.products.weights import WeightGradient
from pulsarray.compiler.training.lower.update import Update

__all__ = ["Learning", "apply"]

Place = tuple[int, tuple[int, int]]
"""A piece of weights: a column block, and a range of tiles."""


def apply(lowering: Lowering, update: Update) -> None:
    """The update with sums of gradients in memory."""
    lowering.prepare()
    for layer in lowering.network.learning:
        lowering.begin(layer.name, "update", 0, 0, 0)
        first = lowering.network.learners(layer.name)[0]
        names = lowering.flow.outputs[first.source], lowering.flow.errors[first.name]
        pieces, blocks = lowering.pieces(layer), -(-layer.result[2] // lowering.config.dim)
        update.grow(f"{layer.name}.weight")
        for column in range(blocks):
            for part in pieces.ranges:
                update.piece(layer, names, pieces, (column, part), None)
        update.bias(layer, names[1], [blocks], None)


@dataclass(eq=False)
class _Waiting:
    """A layer's update on its way: what emits a piece of it each time, and how many are left."""

    pieces: Iterator[None]
    left: int


class Learning:
    """Emits gradients of parameters, and what becomes of them.

    Parameters
    ----------
    forward
        The forward pass.
    update
        Takes the gradients.
    """

    def __init__(self, forward: Forward, update: Update) -> None:
        self.lowering, self.live, self.update = forward.lowering, forward.live, update
        self.flow, self.pieces = forward.flow, forward.parts.pieces
        self.norms = forward.parts.scalings
        self.gradient = WeightGradient(self.lowering)
        self.ones = self.lowering.rows.segment("ones", 1, self.lowering.tensors.ones)
        self._later: list[Step] = []
        self._known: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._routes: dict[str, Iterator[int]] = {}

    def scale(self, name: str) -> str:
        """Name of the exponent of a step's error."""
        return self.flow.errors[name]

    # When

    def wait(self, step: Step) -> None:
        """A step's error is known; what it has to learn waits until it may."""
        if not step.is_layer or (is_layer(step.op) and not step.scales):
            return
        self._known[step.owner] += 1
        if self._known[step.owner] == max(1, len(self._learners(step))):
            self._later.append(step)

    def _learners(self, step: Step) -> Sequence[Step]:
        """The steps that learn a step's weights, which change when the last error is known."""
        return self.lowering.network.learners(step.owner)

    def _readers(self, step: Step) -> Sequence[str]:
        """What all steps that have a step's weights read."""
        return [s for member in self.lowering.network.members[step.owner] for s in member.sources]

    def begin(self, known: Callable[[str], bool]) -> None:
        """Weights may change as soon as the errors before them are known."""
        for step in list(self._later):
            if all(known(source) for source in self._readers(step)):
                self._later.remove(step)
                pieces = len(list(self._places(step)))
                self._waiting.append(_Waiting(self._in_turn(step), pieces + 1))

    def until(self, left: int) -> None:
        """Emit what waits, until so many pieces of weights are left."""
        while self._waiting and sum(waiting.left for waiting in self._waiting) > left:
            waiting = self._waiting[0]
            waiting.left -= 1
            next(waiting.pieces, None)
            if not waiting.left:
                self._waiting.pop(0)

    def share(self, tiles_left: int) -> None:
        """The share of what waits that belongs to one tile, so many tiles before the last."""
        pieces = sum(waiting.left for waiting in self._waiting)
        self.until(pieces * tiles_left // (tiles_left + 1))

    def _places(self, step: Step) -> Iterator[Place]:
        """The pieces of weights that a step has to learn."""
        if is_layer(step.op) and step.scales:
            for column in range(-(-step.result[2] // self.lowering.config.dim)):
                for part in self.pieces[step.owner].ranges:
                    yield column, part

    def _in_turn(self, step: Step) -> Iterator[None]:
        """All that a step has to learn, a piece of weights at a time."""
        if not is_layer(step.op):
            self._norm(step)
        elif step.scales:
            self._begin(step)
            for place in self._places(step):
                self.piece(step, place)
                yield
            self.end(step)

    # What

    def start(self, layer: Step) -> None:
        """A layer learns now; :meth:`piece` and :meth:`end` follow."""
        self._later.remove(layer)
        self._begin(layer)

    def _begin(self, layer: Step) -> None:
        self.lowering.begin_layer(layer, "backward")
        self.update.grow(f"{layer.owner}.weight")

    def piece(self, layer: Step, place: Place, avoid: int = -1) -> None:
        """A piece of weights; its gradient in another bank than one that is to be avoided."""
        geometry, passing = self.lowering.geometry(layer), self._passing(layer)
        values, errors = self.live.values, self.live.errors

        def product(bank: int, add: bool) -> None:
            for number, member in enumerate(self._learners(layer)):
                x, delta = values[member.source], errors[member.name]
                self.gradient.emit(
                    geometry, x, delta, place, bank, add=add or number > 0, passing=passing,
                    before=partial(self._routed, member.name),
                )  # fmt: skip

        names = self.flow.outputs[layer.source], self.scale(layer.name)
        self.update.piece(layer, names, self.pieces[layer.owner], place, product, avoid=avoid)

    def end(self, layer: Step) -> None:
        """Its biases, and what it needed may go."""
        for member in self._learners(layer):
            self._routed(member.name, self.lowering.tensors.rows + 1)
        if layer.learned[1:]:
            self._bias(layer)
        for member in self._learners(layer):
            self.live.release(member.source)
            self.live.let_go(member.name)

    def _bias(self, layer: Step) -> None:
        deltas = [self.live.errors[member.name] for member in self._learners(layer)]

        def product(columns: tuple[int, int], bank: int, add: bool) -> None:
            for number, delta in enumerate(deltas):
                self.gradient.bias(self.ones, delta, columns, bank, add=add or number > 0)

        self.update.bias(layer, self.scale(layer.name), deltas[0].cuts(), product)

    def _norm(self, layer: Step) -> None:
        if layer.scales:
            self._norm_pieces(layer)
            self._bias(layer)
            self.live.let_go(layer.name)
        if layer.op.mixes_samples:
            self.lowering.rows.drop(self.norms[layer.name].normal.segments)
        elif layer.scales:
            self.live.release(layer.source)

    def _norm_pieces(self, layer: Step) -> None:
        norm, delta = self.norms[layer.name], self.live.errors[layer.name]
        pieces, part = self.lowering.pieces(layer), (0, 1)
        self.update.grow(f"{layer.name}.weight")
        names = norm.scale, self.scale(layer.name)
        for block in range(norm.blocks):

            def product(bank: int, add: bool, block: int = block) -> None:
                norm.diagonal(norm.normal, delta, block, bank, add=add)

            self.update.piece(layer, names, pieces, (block, part), product)

    # Errors that come image by image

    def follow(self, step: Step, route: Iterator[int]) -> None:
        """A step's errors come by a route, which tells up to which image they are there."""
        self._routes[step.name] = route
        if not self._passing(step):
            self._routed(step.name, self.lowering.tensors.rows + 1)

    def _passing(self, step: Step) -> bool:
        """Whether a step's errors are used image by image as they come, and no more after."""
        return is_layer(step.op) and is_data(step.source) and len(self._readers(step)) == 1

    def _routed(self, name: str, images: int) -> None:
        """Have the errors of at least so many images on the way to where they belong."""
        route = self._routes.get(name)
        while route is not None:
            end = next(route, None)
            if end is None:
                del self._routes[name]
            if end is None or end >= images:
                return
