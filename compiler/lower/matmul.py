"""Products of two maps: a matrix of the second one goes to the array as weights do.

The zero point of the first one adds ``zero`` times the sum of the weights to each result. Words
outside the window, which the array takes for ``-zero`` in every lane, take that away again. The
zero point of the second one is taken from all weights: the first also goes through tiles of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pulsarray.compiler.lower.chip import Cached, MapChip
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of, sums_of, table_of
from pulsarray.compiler.lower.streams import emit_stream
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.lower.views import Area, Stored, View
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.matmul import MatMul
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Opcode, StreamFlag, WeightFlag
from pulsarray.program import Tensor

__all__: list[str] = []


@traits_of.register
def _(_: MatMul) -> Traits:
    return Traits(weights=1)


@lower.register
def _(op: MatMul, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    name, config = work.node.name, lowering.config
    first, second = (lowering.stored(map_name) for map_name in work.node.inputs)
    result = lowering.stored(work.output)
    _require_sums(name, first, second, config)
    sums = sums_of(lowering, name, op.scale, np.zeros(1, np.int64))
    finish = finish_of(lowering, work, result, None, sums, table_of(lowering, name, op.scale))
    made = _Matrices(
        lowering.number,
        first,
        second,
        result,
        op.transposed,
        _cut(first, config),
        _zeros(lowering, name, second.zero_point),
    )
    lowering.later(lambda chip, _: _Emission(chip, made, finish).run())
    return result.images * result.height * result.width, first.channels, result.channels


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
    half = config.scratchpad_depth // 2
    pixels = max(1, min(first.width, config.accumulator_depth, half))
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
    """

    layer: int
    first: Stored
    second: Stored
    result: Stored
    transposed: bool
    cut: _Cut
    zeros: tuple[Tensor, ...] = ()


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
            self._stream(step, view, bank, fresh=step.opens)
            for zero in range(len(made.zeros)):
                self._zero(step, held, zero, place + 1 + zero)
                self._stream(step, view, bank, fresh=False)
            if step.closes:
                self.finish.run(step.target, bank)

    def _zero(self, step: _Step, cache: Cached, zero: int, place: int) -> None:
        """A tile of zero points for each channel block that is streamed, as far as it goes."""
        chip, made = self.chip, self.made
        resident, missing = cache.find(zero, place)
        dim, slot = chip.config.dim, resident.slot
        if missing:
            strides = {"local_stride": dim, "memory_stride": dim}
            tensor = made.zeros[zero]
            chip.load(made.layer, tensor, 0, slot.bank, slot.base, rows=dim, blocks=1, **strides)
        low, high = step.source.blocks
        chip.emitter.emit(
            Opcode.WEIGHT,
            made.layer,
            [Access(slot.bank, slot.base, slot.base + dim, False)],
            bank=slot.bank,
            local=slot.base,
            count0=high - low,
            row_start=low * dim,
            row_step0=dim if high - low > 1 else 0,
            row_limit=made.first.channels,
        )

    def _view(self, cache: Cached | None, stored: Stored, area: Area, number: int) -> View:
        """Part of a map on chip, LOADed if it is in memory and not there."""
        if cache is None:
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
        stride = columns if made.transposed else dim
        rows = {"row_limit": columns} if columns % dim else {}
        if rows and not made.transposed:
            rows["row_step0"] = dim
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            made.layer,
            view.accesses(step.weights, write=False),
            bank=view.bank,
            local=view.first(step.weights),
            flags=int(WeightFlag.TRANSPOSE) if made.transposed else 0,
            count0=tiles,
            stride0=stride if tiles > 1 else 0,
            **rows,
        )

    def _stream(self, step: _Step, view: View, bank: int, *, fresh: bool) -> None:
        """Every pixel of a tile, block after block, onto the same sums; padding after each."""
        pixels, zero = step.target.pixels, self.made.first.zero_point
        padding = 0 if not zero else 1 + (zero == LOW)  # 128 is no code, but twice 64.
        fields = {
            "source_bank": view.bank,
            "source": view.first(step.source),
            "target_bank": bank,
            "target": 0,
        }
        if padding:
            fields |= {"row_limit": 1, "column_limit": 1, "pad": -zero // padding}
            fields["flags"] = int(StreamFlag.WINDOW_READ)
        emit_stream(
            self.chip,
            self.made.layer,
            [
                *view.accesses(step.source, write=False),
                Access(bank, 0, pixels, True, exclusive=True),
            ],
            [Loop(step.source.counts[0], view.steps[0])],
            [Loop(pixels, 1, 1)],
            fresh=fresh,
            summed=[Loop(1 + padding, row=1)],
            fields=fields,
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
