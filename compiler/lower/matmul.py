"""Products of two maps: a matrix of the second one goes to the array as weights do.

The zero point of the first one adds ``zero`` times the sum of the weights to each result. That is
made once for each block of a matrix: of a word outside the window, which the array takes for
``zero`` in every lane. By way of memory it comes back as a bias. Of few pixels each is followed by
such a word, of ``-zero``, so that nothing waits for memory.
The zero point of the second one is taken from all weights: the first also goes through tiles of
that, once for each block of the result, or for several (matmul_order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.lower.chip import Cached, MapChip, Use, Words
from pulsarray.compiler.lower.constants import row_of
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.matmul_order import (
    AHEAD,
    ROUND_TRIP,
    Cut,
    Matrices,
    Part,
    Pass,
    cut_of,
    parts_of,
)
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of, sums_of, table_of
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.machine.array import Limits, Onto
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.matmul import MatMul
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Alu, Opcode, VectorFlag, WeightFlag
from pulsarray.program import Tensor

__all__: list[str] = []

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
    zeros = _zeros(lowering, name, second.zero_point)
    made = Matrices(first, second, result, op.transposed, len(zeros))
    cut = cut_of(made, config)
    sums = sums_of(lowering, name, op.scale, np.zeros(1, np.int64))
    offsets = _offsets(lowering, name, first, result, cut)
    both = _product(first, second) if offsets is None else 0
    if offsets is not None:
        sums = replace(sums, parameters=offsets, uses=int(VectorFlag.BIAS), by_row=True)
    if both:
        sums = replace(sums, fields={**sums.fields, "zero_a": -both})
    finish = finish_of(lowering, work, result, None, sums, table_of(lowering, name, op.scale))
    constants, number = _Constants(zeros, offsets, bool(both)), lowering.number
    lowering.later(lambda chip, _: _Emission(chip, number, made, cut, constants, finish).run())
    return result.images * result.height * result.width, first.channels, result.channels


def _offsets(
    lowering: Lowering, name: str, first: Stored, result: Stored, cut: Cut
) -> Tensor | None:
    """Rows of parameters for what is added to each block of each matrix; None where words are.

    While sums go to memory and back the array makes the next block's: it must be busy so long.
    """
    config, size = lowering.config, first.images * first.height * result.blocks
    late = first.blocks * cut.pixels * cut.blocks < ROUND_TRIP or config.accumulator_banks < 2
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
class _Constants:
    """What zero points need.

    Parameters
    ----------
    zeros
        Tiles that take away the zero point of the second map.
    offsets
        Where what the zero point of the first one adds lies on its way; None where each pixel is
        followed by words that take it away.
    apart
        Whether what both zero points together add is taken away by the vector unit.
    """

    zeros: Sequence[Tensor]
    offsets: Tensor | None
    apart: bool


class _Emission:
    """Emits a product of two maps."""

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        made: Matrices,
        cut: Cut,
        constants: _Constants,
        finish: Finish,
    ) -> None:
        self.chip, self.layer, self.made, self.constants = chip, layer, made, constants
        self.parts, dim = list(parts_of(made, cut, chip.config.dim)), chip.config.dim
        self.finish = finish(chip, [part.target for part in self.parts])
        self.banks = [chip.next_sums() for _ in self.parts]
        passes = [one for place in range(-AHEAD, len(self.parts)) for one in self._passes(place)]
        sources, self.number = [one.source for one in passes], 0
        areas = [one.weights for one in passes]
        size = max(area.words if isinstance(area, Area) else dim for area in areas)
        loaded = made.first.tensor is not None
        most = max(source.words for source in sources)
        self.streamed = Cached(chip.sources, most, sources) if loaded else None
        self.held = Cached(chip.weights, size, areas)
        self.behind = max(self._within(part.target).words for part in self.parts)
        self.waiting: list[int] = []

    def run(self) -> None:
        """Emit everything."""
        for place in range(-AHEAD, len(self.parts)):
            for one in self._passes(place):
                self._pass(one)
                self.number += 1
            self._close(place)
        self._finish()

    def _passes(self, place: int) -> Sequence[Pass]:
        """Those of a part, then of what a later one shares: it will be in the same bank."""
        passes = self.parts[place].own if place >= 0 else []
        later = place + AHEAD
        return [*passes, *(self.parts[later].shared if later < len(self.parts) else [])]

    def _close(self, place: int) -> None:
        """What follows the passes of a part; where its bias is on its way a part later."""
        if self.constants.offsets is not None:
            self._finish()
        self._begin(place + 1)
        if place < 0:
            return
        self.waiting.append(place)
        if self.constants.offsets is None:
            self._finish()
        elif self._summed(self.parts[place]):
            self._pass_on(self.parts[place], self.banks[place])

    def _finish(self) -> None:
        for place in self.waiting:
            target = self.parts[place].target
            self.finish.run(target, self.banks[place], within=self._within(target))
        self.waiting.clear()

    def _summed(self, part: Part) -> bool:
        """Whether each block's weights are summed, for a bias that is that of all its pixels."""
        return self.constants.offsets is not None and part.target.columns[0] == 0

    def _within(self, target: Area) -> Area:
        """What a part's sums are in their bank: where weights may be summed a word more."""
        low, high = target.columns
        return replace(target, columns=(low, high + (self.constants.offsets is not None)))

    def _place(self, part: Part, block: int) -> int:
        """First word of the sums of one of its blocks; behind those of any part what they share."""
        if block < part.blocks:
            return block * self._within(part.target).pixels
        return self.behind

    def _begin(self, place: int) -> None:
        """Let sums of blocks begin with what they share."""
        if not 0 <= place < len(self.parts) or not self.parts[place].shared:
            return
        part, bank = self.parts[place], self.banks[place]
        counts = (part.blocks, part.target.pixels + self._summed(part), 1, 1)
        shared = Words(bank, self._place(part, part.blocks), (0, 1, 0, 0))
        sums = Words(bank, 0, (self._within(part.target).pixels, 1, 0, 0))
        unlimited = {"low": LOW, "high": HIGH}
        self.chip.vector(self.layer, counts, {"a": shared, "acc": sums}, unlimited)

    def _pass_on(self, part: Part, bank: int) -> None:
        """What is to be added to sums of blocks, made of those of their zero words, to memory.

        Where these go through tiles of zero points there is nothing to be added to them.
        """
        chip, made, target, offsets = self.chip, self.made, part.target, self.constants.offsets
        step, place = self._within(target).pixels, target.pixels
        words = Words(bank, place, (step, 0, 0, 0))
        zeros = 0 if part.shared else made.first.zero_point * made.second.zero_point
        fields = {"alu": int(Alu.RSUB), "flags": int(VectorFlag.B_SCALAR)}
        fields |= {"scalar": made.first.channels * zeros, "low": LOW, "high": HIGH}
        chip.vector(self.layer, (part.blocks, 1, 1, 1), {"a": words, "acc": words}, fields)
        row = row_of(target, made.result) * PARAMETER_COLUMNS
        assert offsets is not None
        blocks = {"blocks": part.blocks, "local_stride": step, "memory_stride": PARAMETER_COLUMNS}
        chip.load(self.layer, offsets, row, bank, place, rows=1, op=Opcode.STORE, **blocks)

    def _pass(self, one: Pass) -> None:
        """WEIGHT and STREAM."""
        if isinstance(one.weights, Area):
            self._weight(one.weights)
            view, padding = self._view(self.streamed, self.made.first, one.source), self.padding
            self._stream(one, view, padding)
            return
        self._zero(one.source, one.weights)
        view = self._view(self.streamed, self.made.first, one.source)
        self._stream(one, view, 0 if self.constants.apart else self.padding)

    @property
    def padding(self) -> int:
        """Words behind each pixel that take the first one's zero point away."""
        zero = 0 if self.constants.offsets else self.made.first.zero_point
        return 0 if not zero else 1 + (zero == LOW)  # 128 is no code, but twice 64.

    def _zero(self, source: Area, zero: int) -> None:
        """A tile of zero points for each channel block that is streamed, as far as it goes."""
        chip, dim = self.chip, self.chip.config.dim
        use, tensor = Use(self.held, zero, self.number), self.constants.zeros[zero]
        bank, base = chip.cached_words(self.layer, use, tensor, 0, dim)
        low, high = source.blocks
        touched = [Access(bank, base, base + dim, False)]
        rows = {"row_start": low * dim, "row_step0": dim if high - low > 1 else 0}
        rows["row_limit"] = self.made.first.channels
        chip.weigh(self.layer, touched, base, count0=high - low, **rows)

    def _view(self, cache: Cached | None, stored: Stored, area: Area) -> View:
        """Part of a map on chip, LOADed if it is in memory and not there."""
        use = Use(cache, area, self.number) if cache and stored.tensor else None
        return self.chip.cached_area(self.layer, use, stored, area)

    def _weight(self, weights: Area) -> None:
        """A tile for each channel block that is streamed; rows that there are not are zero."""
        dim, made = self.chip.config.dim, self.made
        view = self._view(self.held, made.second, weights)
        blocks, _, _, columns = weights.counts
        tiles = blocks if made.transposed else -(-columns // dim)
        stride = view.steps[0] if made.transposed else dim
        rows = {"row_limit": columns} if columns % dim else {}
        if rows and not made.transposed:
            rows["row_step0"] = dim
        touched, local = view.accesses(weights, write=False), view.first(weights)
        flags = int(WeightFlag.TRANSPOSE) if made.transposed else 0
        fields = {"count0": tiles, "stride0": stride, "flags": flags, **rows}
        self.chip.weigh(self.layer, touched, local, **fields)

    def _stream(self, one: Pass, view: View, padding: int) -> None:
        """Every pixel of a part, block after block, onto the same sums; padding after each.

        Where weights are summed a word of zero points follows the pixels, for a sum of its own.
        """
        part, zero = self.parts[one.part], self.made.first.zero_point
        summed = self._summed(part) and (bool(part.shared) or isinstance(one.weights, Area))
        pixels, place, limits = part.target.pixels, self._place(part, one.block), None
        if padding or summed:
            pad = zero if summed else -zero // padding
            limits = Limits(0, 0, 1, pixels if summed else 1, pad)
        self.chip.stream(
            self.layer,
            view.accesses(one.source, write=False),
            view.first(one.source),
            Onto(self.banks[one.part], place, place + pixels + summed),
            [Loop(one.source.counts[0], view.steps[0])],
            [Loop(pixels + summed, 1, 1, column=int(summed)), Loop(1 + padding, row=1)],
            fresh=one.fresh,
            limits=limits,
        )
