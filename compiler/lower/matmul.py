"""Products of two maps: a matrix of the second one goes to the array as weights do.

The zero point of the first one adds ``zero`` times the sum of the weights to each result. That is
made once for each block of a matrix: of a word outside the window, which the array takes for
``zero`` in every lane. By way of memory it comes back as a bias. Of few pixels each is followed by
such a word, of ``-zero``, so that nothing waits for memory.
The zero point of the second one is taken from all weights: the first also goes through tiles of
that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pulsarray.compiler.lower.chip import PARAMETER_COLUMNS, Cached, MapChip, Words
from pulsarray.compiler.lower.constants import row_of
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of, sums_of, table_of
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.machine.array import Limits, Onto
from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.matmul import MatMul
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Alu, VectorFlag, WeightFlag
from pulsarray.program import Tensor

__all__: list[str] = []

_ROUND_TRIP = 4 * ASSUMED_LATENCY
"""Cycles from the last word of a block's sums until its bias is on chip again."""
_ZERO_MOST = 1 << 15
"""What a VECTOR can take from its source is below."""


@traits_of.register
def _(_: MatMul) -> Traits:
    return Traits(weights=1, anywhere=True)


@lower.register
def _(op: MatMul, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    name, config = work.node.name, lowering.config
    first, second = (lowering.stored(map_name) for map_name in work.node.inputs)
    result = lowering.stored(work.output)
    _require_sums(name, first, second, config)
    cut, zeros = _cut(first, config), _zeros(lowering, name, second.zero_point)
    sums = sums_of(lowering, name, op.scale, np.zeros(1, np.int64))
    offsets = _offsets(lowering, name, first, result, cut)
    both = _product(first, second) if offsets is None else 0
    if offsets is not None:
        sums = replace(sums, parameters=offsets, uses=int(VectorFlag.BIAS), by_row=True)
    if both:
        sums = replace(sums, fields={**sums.fields, "zero_a": -both})
    finish = finish_of(lowering, work, result, None, sums, table_of(lowering, name, op.scale))
    made = _Matrices(
        lowering.number, first, second, result, op.transposed, cut, zeros, offsets, bool(both)
    )
    lowering.later(lambda chip, _: _Emission(chip, made, finish).run())
    return result.images * result.height * result.width, first.channels, result.channels


def _offsets(
    lowering: Lowering, name: str, first: Stored, result: Stored, cut: _Cut
) -> Tensor | None:
    """Rows of parameters for what is added to each block of each matrix; None where words are.

    While sums go to memory and back the array makes the next block's: it must be busy so long.
    """
    config, size = lowering.config, first.images * first.height * result.blocks
    late = first.blocks * cut.pixels < _ROUND_TRIP or config.accumulator_banks < 2
    if not first.zero_point or late or cut.pixels >= config.accumulator_depth:
        return None
    return lowering.layout.add(
        f"{name}.offsets", "intermediate", size * PARAMETER_COLUMNS, config.dim, element="sum"
    )


def _product(first: Stored, second: Stored) -> int:
    """What both zero points together add to each result; 0 where the vector unit cannot take it.

    Their words then go through the tiles of zero points, too.
    """
    both = first.channels * first.zero_point * second.zero_point
    return both if -_ZERO_MOST < both < _ZERO_MOST else 0


def _zeros(lowering: Lowering, name: str, zero: int) -> tuple[Tensor, ...]:
    """Tiles whose sum has ``-zero`` in every place; none for a zero point of 0."""
    dim, parts = lowering.config.dim, [64, 64] if zero == LOW else [-zero] if zero else []
    return tuple(
        lowering.layout.add(
            f"{name}.zero", "weight", dim, dim, values=np.full((dim, dim), part, np.int8)
        )
        for part in parts
    )


def _require_sums(name: str, first: Stored, second: Stored, config: Config) -> None:
    """Refuse sums that may not fit an accumulator, with those before zero points are taken away."""
    reaches = [
        max(-LOW, HIGH - stored.zero_point, stored.zero_point - LOW) for stored in (first, second)
    ]
    reach = first.channels * reaches[0] * reaches[1]
    bits = min(config.acc_bits, config.alu_bits)
    if reach >= 1 << (bits - 1):
        raise InputError(f"{name}: sums may reach {reach}, which {bits} bits do not hold")


@dataclass(frozen=True)
class _Cut:
    """How products are cut: pixels of a tile, and channel blocks of the first map in a step."""

    pixels: int
    depth: int


def _cut(first: Stored, config: Config) -> _Cut:
    """As many pixels as sums fit a bank, then as much depth as half a bank holds."""
    half, most = config.scratchpad_depth // 2, config.accumulator_depth
    if first.zero_point and first.width >= most > 1:  # Leave a word for what it adds.
        most = -(-first.width // -(-first.width // (most - 1)))
    pixels = max(1, min(first.width, most, half))
    depth = min(first.blocks, half // max(pixels, config.dim))
    if not depth:
        pixels, depth = max(1, min(pixels, half // 2)), 1
    return _Cut(pixels, depth)


@dataclass(frozen=True)
class _Matrices:
    """What is multiplied.

    Parameters
    ----------
    layer
        For which layer.
    first, second, result
        The maps.
    transposed
        Whether rows of the second one are columns of its matrices.
    cut
        How it is cut.
    zeros
        Tiles that take away the zero point of the second one.
    offsets
        Where what the zero point of the first one adds lies on its way; None where each pixel is
        followed by words that take it away.
    apart
        Whether what both zero points together add is taken away by the vector unit.
    """

    layer: int
    first: Stored
    second: Stored
    result: Stored
    transposed: bool
    cut: _Cut
    zeros: tuple[Tensor, ...] = ()
    offsets: Tensor | None = None
    apart: bool = False

    @property
    def padding(self) -> int:
        """Words behind each pixel that take the first one's zero point away."""
        zero = 0 if self.offsets else self.first.zero_point
        return 0 if not zero else 1 + (zero == LOW)  # 128 is no code, but twice 64.


@dataclass(frozen=True)
class _Step:
    """A step: what it makes, what it streams, and what it has as weights."""

    target: Area
    source: Area
    weights: Area
    opens: bool
    closes: bool


class _Emission:
    """Emits a product of two maps."""

    def __init__(self, chip: MapChip, made: _Matrices, finish: Finish) -> None:
        self.chip, self.made, self.steps = chip, made, list(_steps(made, chip.config.dim))
        self.finish = finish(chip, [step.target for step in self.steps if step.opens])
        self.waiting: list[tuple[Area, int]] = []

    def run(self) -> None:
        """Emit everything."""
        made, chip, steps = self.made, self.chip, self.steps
        sources = [step.source for step in steps]
        uses = [use for step in steps for use in (step.weights, *range(len(made.zeros)))]
        size = max(max(step.weights.words for step in steps), chip.config.dim * bool(made.zeros))
        loaded = made.first.tensor is not None
        streamed = Cached(chip.sources, max(a.words for a in sources), sources) if loaded else None
        held = Cached(chip.weights, size, uses)
        bank = -1
        for number, step in enumerate(steps):
            bank = chip.next_accumulator() if step.opens else bank
            place = number * (1 + len(made.zeros))
            self._weight(step, self._view(held, made.second, step.weights, place))
            view = self._view(streamed, made.first, step.source, number)
            summed = made.offsets is not None and step.target.columns[0] == 0
            self._stream(step, view, bank, made.padding, fresh=step.opens, summed=summed)
            for zero in range(len(made.zeros)):
                self._zero(step, held, zero, place + 1 + zero)
                padding = 0 if made.apart else made.padding
                self._stream(step, view, bank, padding, fresh=False)
            if step.closes:
                self._close(step.target, bank, summed=summed)
        self._finish()

    def _close(self, target: Area, bank: int, *, summed: bool) -> None:
        """What follows the last step of a tile; of one whose bias is on its way a tile later."""
        if self.made.offsets is None:
            self.finish.run(target, bank)
            return
        self._finish()
        if summed:
            self._pass_on(target, bank)
        self.waiting.append((target, bank))

    def _finish(self) -> None:
        while self.waiting:
            self.finish.run(*self.waiting.pop())

    def _pass_on(self, target: Area, bank: int) -> None:
        """What is to be added to a block's sums, made of those of its zero word, to memory."""
        chip, made, place = self.chip, self.made, target.pixels
        word = Words(bank, place, (0, 0, 0, 0))
        zeros = made.first.zero_point * made.second.zero_point
        fields = {"alu": int(Alu.RSUB), "flags": int(VectorFlag.B_SCALAR)}
        fields |= {"scalar": made.first.channels * zeros, "low": LOW, "high": HIGH}
        chip.vector(made.layer, (1, 1, 1, 1), {"a": word, "acc": word}, fields)
        row = row_of(target, made.result) * PARAMETER_COLUMNS
        assert made.offsets is not None
        whole = {"rows": 1, "blocks": 1, "local_stride": 0, "memory_stride": 0}
        chip.store(made.layer, made.offsets, row, bank, place, **whole)

    def _zero(self, step: _Step, cache: Cached, zero: int, place: int) -> None:
        """A tile of zero points for each channel block that is streamed, as far as it goes."""
        chip, made = self.chip, self.made
        resident, missing = cache.find(zero, place)
        dim, slot = chip.config.dim, resident.slot
        if missing:
            tensor = made.zeros[zero]
            chip.load(made.layer, tensor, 0, slot.bank, slot.base, rows=dim)
        low, high = step.source.blocks
        touched = [Access(slot.bank, slot.base, slot.base + dim, False)]
        rows = {"row_start": low * dim, "row_step0": dim if high - low > 1 else 0}
        rows["row_limit"] = made.first.channels
        chip.weigh(made.layer, touched, slot.base, count0=high - low, **rows)

    def _view(self, cache: Cached | None, stored: Stored, area: Area, number: int) -> View:
        """Part of a map on chip, LOADed if it is in memory and not there."""
        if cache is None or stored.tensor is None:
            return stored.view
        resident, missing = cache.find(area, number)
        slot = resident.slot
        if missing:
            return self.chip.load_area(self.made.layer, stored, area, slot.bank, slot.base)
        return View.of(slot.bank, slot.base, area)

    def _weight(self, step: _Step, view: View) -> None:
        """A tile for each channel block that is streamed; rows that there are not are zero."""
        dim, made = self.chip.config.dim, self.made
        blocks, _, _, columns = step.weights.counts
        tiles = blocks if made.transposed else -(-columns // dim)
        stride = view.steps[0] if made.transposed else dim
        rows = {"row_limit": columns} if columns % dim else {}
        if rows and not made.transposed:
            rows["row_step0"] = dim
        touched, local = view.accesses(step.weights, write=False), view.first(step.weights)
        flags = int(WeightFlag.TRANSPOSE) if made.transposed else 0
        fields = {"count0": tiles, "stride0": stride, "flags": flags, **rows}
        self.chip.weigh(made.layer, touched, local, **fields)

    def _stream(
        self,
        step: _Step,
        view: View,
        bank: int,
        padding: int,
        *,
        fresh: bool,
        summed: bool = False,
    ) -> None:
        """Every pixel of a tile, block after block, onto the same sums; padding after each.

        Where weights are ``summed`` a word of zero points follows the pixels, for a sum of its own.
        """
        pixels, zero = step.target.pixels, self.made.first.zero_point
        limits = None
        if padding or summed:
            pad = zero if summed else -zero // padding
            limits = Limits(0, 0, 1, pixels if summed else 1, pad)
        self.chip.stream(
            self.made.layer,
            view.accesses(step.source, write=False),
            view.first(step.source),
            Onto(bank, 0, pixels + summed),
            [Loop(step.source.counts[0], view.steps[0])],
            [Loop(pixels + summed, 1, 1, column=int(summed)), Loop(1 + padding, row=1)],
            fresh=fresh,
            limits=limits,
        )


def _steps(made: _Matrices, dim: int) -> Iterator[_Step]:
    """Every step in order: of each matrix the tiles of pixels, blocks of the result, and depth."""
    first, result, cut = made.first, made.result, made.cut
    tiles = _ranges(first.width, cut.pixels)
    for image, row, pixels in product(range(first.images), range(first.height), tiles):
        place = (image, image + 1), (row, row + 1)
        for block in range(result.blocks):
            target = Area((block, block + 1), *place, pixels)
            for depth in _ranges(first.blocks, cut.depth):
                weights = _weights(made, block, depth, dim)
                yield _Step(
                    target,
                    Area(depth, *place, pixels),
                    Area(weights[0], *place, weights[1]),
                    opens=depth[0] == 0,
                    closes=depth[1] == first.blocks,
                )


def _ranges(size: int, most: int) -> Sequence[tuple[int, int]]:
    """A range in parts of at most so many."""
    return [(low, min(size, low + most)) for low in range(0, size, most)]


def _weights(
    made: _Matrices, block: int, depth: tuple[int, int], dim: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Channel blocks and columns of the second map that make a block from some depth."""
    if made.transposed:
        return depth, (block * dim, min(made.second.width, (block + 1) * dim))
    low, high = (place * dim for place in depth)
    return (block, block + 1), (low, min(made.second.width, high))
