"""VECTORs in a row on a tile: what is wide between them lies in the accumulator banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.pool import Sources
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.tiles import tiles_of_map
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.compiler.ops.integer.chain import Chain, VectorStep
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.isa import Alu, Bank, VectorFlag

__all__: list[str] = []

_POINT = Window((1, 1))


@traits_of.register
def _(op: Chain) -> Traits:
    return Traits(second=1 if op.inputs > 1 else None, vectors=len(op.steps), anywhere=True)


@lower.register
def _(op: Chain, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    maps = [lowering.stored(source) for source in work.node.inputs]
    lowering.later(lambda chip, _: _Emission(chip, number, op, maps, result).run(name))
    return 0, 0, 0


@dataclass(frozen=True)
class _Plan:
    """Where results of steps lie.

    Parameters
    ----------
    banks, slots
        Of each wide value which of the two accumulator banks, and which slot of it.
    sizes
        Slots of each of these banks that hold a tile, and those that hold its pixels once.
    codes
        Of each value in codes but the last which slot beside the result's.
    once
        Values that are made once for several tiles.
    kept
        Those of them that other steps read.
    """

    banks: dict[int, int]
    slots: dict[int, int]
    sizes: dict[tuple[int, bool], int]
    codes: dict[int, int]
    once: set[int]
    kept: set[int]

    def most(self, depth: int, pixels: int) -> int:
        """Words of the largest tile that fits banks, best with all pixels at once."""
        counts = [(self.sizes[bank, False], self.sizes[bank, True]) for bank in range(2)]
        whole = min((depth - once * pixels) // max(1, tiles) for tiles, once in counts)
        return whole if whole >= pixels else depth // max(1, *(sum(count) for count in counts))

    def base(self, value: int, words: int, pixels: int) -> int:
        """First word of a wide value, in tiles of so many words and pixels."""
        if value not in self.once:
            return self.slots[value] * words
        return self.sizes[self.banks[value], False] * words + self.slots[value] * pixels


def _plan(inputs: int, steps: Sequence[VectorStep], once: set[int]) -> _Plan:
    """Wide values that a step reads together lie in two banks; slots are used again.

    Not those of values that are made once and read by other steps.
    """
    kept, banks = _kept(inputs, steps, once), _banks(inputs, steps)
    last = {v: k for k, step in enumerate(steps) for v in step.reads if v in banks}
    slots: dict[int, int] = {}
    shelves: list[tuple[int, bool]] = [
        (bank, single) for bank in (0, 1) for single in (False, True)
    ]
    sizes, free = dict.fromkeys(shelves, 0), {shelf: list[int]() for shelf in shelves}
    for number, step in enumerate(steps):
        for value in {*step.reads} & {*slots} - kept:
            if last[value] == number:
                free[banks[value], value in once].append(slots[value])
        made = inputs + number
        if made in banks:
            shelf = banks[made], made in once
            if not free[shelf]:
                free[shelf].append(sizes[shelf])
                sizes[shelf] += 1
            slots[made] = free[shelf].pop()
    codes = [inputs + k for k, step in enumerate(steps[:-1]) if not step.wide]
    return _Plan(banks, slots, sizes, {v: k for k, v in enumerate(codes)}, once, kept)


def _banks(inputs: int, steps: Sequence[VectorStep]) -> dict[int, int]:
    """Of each wide value one of two banks."""
    wide = [inputs + k for k, step in enumerate(steps) if step.wide]
    pairs = [{*step.reads} for step in steps if step.b in wide and step.a in wide]
    banks: dict[int, int] = {}
    for value in wide:
        others = {b for pair in pairs if value in pair for b in pair if b in banks}
        banks[value] = 1 - banks[min(others)] if others else 0
    if any(len({banks[value] for value in pair}) < 2 for pair in pairs):
        raise AssertionError("wide values of one step are in one bank")
    return banks


def _once(inputs: int, steps: Sequence[VectorStep], maps: Sequence[Stored]) -> set[int]:
    """Values that are the same in all blocks: made of maps that repeat one; never the result."""
    once = {number for number, stored in enumerate(maps) if not stored.steps[0]}
    for number, step in enumerate(steps[:-1], inputs):
        if once.issuperset(step.reads):
            once.add(number)
    return once


def _kept(inputs: int, steps: Sequence[VectorStep], once: set[int]) -> set[int]:
    """Values made once that are read for each tile: also of codes, which are made again."""
    kept: set[int] = set()
    for number, step in reversed([*enumerate(steps, inputs)]):
        if number not in once or (number in kept and not step.wide):
            kept |= once.intersection(step.reads)
    return kept


def _cheapest(op: Chain, maps: Sequence[Stored]) -> tuple[VectorStep, ...]:
    """Steps that take the fewest VECTORs; those made once count for one block."""

    def words(steps: Sequence[VectorStep]) -> int:
        once = len(_once(op.inputs, steps, maps) - {*range(op.inputs)})
        return (len(steps) - once) * maps[0].blocks + once

    return min((form for form in (op.steps, op.repeating) if form), key=words)


class _Emission:
    """Emits a chain, tile after tile."""

    def __init__(
        self, chip: MapChip, layer: int, op: Chain, maps: Sequence[Stored], result: Stored
    ) -> None:
        self.chip, self.layer, self.maps, self.result = chip, layer, maps, result
        self.inputs, self.steps = op.inputs, _cheapest(op, maps)
        self.together = len(maps) > 1 and all(m.tensor is None for m in maps)
        self.together = self.together and maps[0].bank == maps[1].bank
        self.plan = _plan(op.inputs, self.steps, _once(op.inputs, self.steps, maps))
        self.bank = chip.next_sums() - Bank.ACCUMULATOR
        self.again: Area | None = None
        self.words = self.pixels = 0
        self.spare = len(self.plan.codes) + self.together

    def run(self, name: str) -> None:
        """Emit everything."""
        config, maps, result = self.chip.config, self.maps, self.result
        room = config.scratchpad_depth // (1 + self.spare)
        pixels = result.images * result.height * result.width
        most = min(room, self.plan.most(config.accumulator_depth, pixels))
        tiles = tiles_of_map(result, maps[0], _POINT, most, config.scratchpad_depth, name)
        second = maps[1] if len(maps) > 1 else None
        self.words, self.pixels = max(t.words for t in tiles), max(t.pixels for t in tiles)
        spare, slots = bool(self.spare), 1 + self.spare
        places = Places(self.chip, self.layer, result, second, tiles, spare=spare, slots=slots)
        sources = Sources(self.chip, self.layer, maps[0], tiles)
        for tile in tiles:
            places.next()
            inputs = [Words.of(sources.next(tile), tile)]
            if second is not None:
                inputs.append(Words.of(places.operand(tile), tile))
            self._tile(tile, inputs, places)
            places.store(tile)

    def _tile(self, tile: Area, inputs: list[Words], places: Places) -> None:
        lanes = self.result.lanes(tile, self.chip.config.dim)
        spare = places.spare(tile) if self.spare else None
        if self.together and spare is not None:
            # One bank cannot give two words in a cycle.
            copy = Words.of(spare, tile).shifted(self.spare * tile.words)
            unlimited = {"low": LOW, "high": HIGH}
            self.chip.vector(self.layer, tile.counts, {"a": inputs[1], "target": copy}, unlimited)
            inputs[1] = copy
        values = dict(enumerate(inputs))
        pixels, again = replace(tile, blocks=(0, 1)), self.again
        self.again = pixels
        for number, step in enumerate(self.steps):
            made = self.inputs + number
            values[made] = self._place(made, tile, places)
            if made in self.plan.once:
                self._once(tile, step, values, made, again=pixels == again)
                continue
            operands = {"a": values[step.a], "acc" if step.wide else "target": values[made]}
            if step.b is not None:
                operands["b"] = values[step.b]
            self.chip.vector(self.layer, tile.counts, operands, _fields(step) | lanes)

    def _once(
        self, tile: Area, step: VectorStep, values: dict[int, Words], made: int, *, again: bool
    ) -> None:
        """A step whose result is the same in all blocks: in all lanes of one, once for a pixel."""
        to = replace(values[made], steps=(0, *values[made].steps[1:]))
        counts, values[made] = (1, *tile.counts[1:]), to
        if again and (step.wide or made not in self.plan.kept):
            return
        operands = {"a": values[step.a], "acc" if step.wide else "target": to}
        if step.b is not None:
            operands["b"] = values[step.b]
        self.chip.vector(self.layer, counts, operands, _fields(step))

    def _place(self, value: int, tile: Area, places: Places) -> Words:
        """Where a value goes on chip."""
        plan = self.plan
        if value in plan.banks:
            count = self.chip.config.accumulator_banks
            bank = Bank.ACCUMULATOR + (self.bank + plan.banks[value]) % count
            base = plan.base(value, self.words, self.pixels)
            return Words.of(View.of(bank, base, tile), tile)
        if value in plan.codes:
            words = Words.of(places.spare(tile), tile)
            return words.shifted((1 + plan.codes[value]) * tile.words)
        return Words.of(places.result(tile), tile)


def _fields(step: VectorStep) -> dict[str, int]:
    """Fields of a step's VECTOR."""
    flags = VectorFlag.TFLITE if step.tflite else VectorFlag(0)
    flags |= VectorFlag.RESIDUAL if step.factor else VectorFlag(0)
    fields = {
        "alu": int(Alu[step.alu.upper()]),
        "zero_a": step.zero_a,
        "zero_b": step.zero_b,
        "multiplier": step.multiplier,
        "multiplier2": step.factor,
        "shift": step.shift,
        "low": step.low,
        "high": step.high,
    }
    if step.b is None and (step.alu != "pass" or step.factor):
        flags |= VectorFlag.B_SCALAR
        fields["scalar"] = step.scalar
    if not step.wide:
        fields["zero_target"] = step.zero
    return fields | {"flags": int(flags)}
