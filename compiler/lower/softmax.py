"""TensorFlow Lite's softmax by what the vector unit has: tables of bytes, and multipliers as data.

Exponentials have 31 bits: four tables of bytes make them. The reciprocal of their sum is Newton's
iteration of three steps, whose products of two results go through memory: what is stored from an
accumulator bank is loaded as multipliers of the parameter bank. Words of sums are the same in all
lanes: each pixel has a row of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import PARAMETER_COLUMNS, MapChip, Words
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.pool import Sources
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.tiles import tiles_of_map
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.views import Area, Stored
from pulsarray.compiler.numerics.gemmlowp import RECIPROCAL_FACTOR, RECIPROCAL_START
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.softmax import FRACTION, Softmax
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Activation, Alu, Bank, Reduce, VectorFlag
from pulsarray.program import Tensor

__all__: list[str] = []

_POINT = Window((1, 1))
_BYTES = 4
_ITERATIONS = 3
_WHOLE = 31
"""Shift of a product of two numbers of which one has no integer bits."""
_WORDS = 3
"""Words a pixel of an accumulator bank beside the exponentials."""
_MULTIPLIER, _SHIFT = 1, 2
"""Columns of the parameter bank."""
_HALF, _GUESS = 0, 1
"""Which rows of parameters: the sum, then the result; and the reciprocal so far."""


@dataclass(frozen=True)
class _Constants:
    """What is in memory: tables of bytes, the lowest first; a shift; and results on their way."""

    tables: Sequence[Tensor]
    shift: Tensor
    passed: Mapping[str, Tensor]


@lower.register
def _(op: Softmax, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    source, result = lowering.stored(work.maps[0]), lowering.stored(work.output)
    number, name = lowering.number, work.node.name
    pixels = _pixels(lowering.config, source, name)
    constants = _constants(op, lowering, name, pixels)
    lowering.later(
        lambda chip, _: _Emission(chip, number, source, result, constants, pixels).run(name)
    )
    return 0, 0, 0


def _pixels(config: Config, source: Stored, name: str) -> int:
    """Pixels of a tile: all blocks of their exponentials fit an accumulator bank."""
    blocks = source.blocks
    most = min(
        config.parameter_depth // 2,
        config.accumulator_depth // (blocks + _WORDS),
        config.scratchpad_depth // (2 * blocks),
    )
    if not most:
        raise InputError(f"{name}: a softmax of {source.channels} channels does not fit")
    return most


def _constants(op: Softmax, lowering: Lowering, name: str, pixels: int) -> _Constants:
    layout, config = lowering.layout, lowering.config
    entries = np.zeros((_BYTES, config.table_words * config.word_bytes), np.int8)
    for byte in range(_BYTES):
        entries[byte, :256] = (op.exponentials >> (8 * byte) & 255) + LOW
    tables = [layout.add_raw(f"{name}.table", row.view(np.uint8)) for row in entries]
    shift = np.full((1, config.dim), _WHOLE)
    return _Constants(
        tables,
        layout.add(f"{name}.shift", "constant", 1, config.dim, values=shift, element="sum"),
        {
            what: layout.add(f"{name}.{what}", "intermediate", pixels, config.dim, element="sum")
            for what in ("half", "guess", "result", "exponent")
        },
    )


class _Emission:
    """Emits a softmax, tile after tile."""

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        source: Stored,
        result: Stored,
        constants: _Constants,
        pixels: int,
    ) -> None:
        self.chip, self.layer, self.constants = chip, layer, constants
        self.source, self.result, self.most = source, result, pixels
        self.blocks = source.blocks
        self.rows = chip.parameter_rows(2 * pixels)
        self.shifted(_GUESS, pixels)

    def run(self, name: str) -> None:
        """Emit everything."""
        flat, bank = replace(self.result, blocks=1), self.chip.config.scratchpad_depth
        tiles = [
            replace(tile, blocks=(0, self.blocks))
            for tile in tiles_of_map(flat, self.source, _POINT, self.most, bank, name)
        ]
        places = Places(self.chip, self.layer, self.result, None, tiles, spare=True, slots=2)
        sources = Sources(self.chip, self.layer, self.source, tiles)
        for tile in tiles:
            places.next()
            _Tile(self, tile, Words.of(sources.next(tile), tile), places).run()
            places.store(tile)

    def shifted(self, which: int, count: int) -> None:
        """Let rows of parameters shift by :data:`_WHOLE`."""
        self._parameters(self.constants.shift, which, _SHIFT, count, step=0)

    def pass_on(self, what: str, words: Words, which: int, column: int, count: int) -> None:
        """Words of an accumulator bank to the parameter bank, by way of memory."""
        tensor = self.constants.passed[what]
        whole = {"rows": count, "blocks": 1, "local_stride": 0, "memory_stride": 0}
        self.chip.store(self.layer, tensor, 0, words.bank, words.base, **whole)
        self._parameters(tensor, which, column, count, step=1)

    def _parameters(self, tensor: Tensor, which: int, column: int, count: int, step: int) -> None:
        row = self.rows + which * self.most
        self.chip.load(
            self.layer,
            tensor,
            0,
            Bank.PARAMETER,
            row * PARAMETER_COLUMNS + column,
            rows=1,
            blocks=count,
            local_stride=PARAMETER_COLUMNS,
            memory_stride=step,
        )


class _Tile:
    """Emits the VECTORs of a tile.

    Parameters
    ----------
    emission
        What it is a tile of.
    tile, codes, places
        Its pixels with all blocks, their codes, and where the result goes.
    """

    def __init__(self, emission: _Emission, tile: Area, codes: Words, places: Places) -> None:
        self.all, self.chip, self.tile = emission, emission.chip, tile
        self.places, self.pixels, self.blocks = places, tile.pixels, emission.blocks
        self.lanes = emission.result.lanes(tile, self.chip.config.dim)
        self.codes = replace(codes, steps=(codes.steps[0], 1, 0, 0))
        first = self.chip.next_accumulator() - Bank.ACCUMULATOR
        count = self.chip.config.accumulator_banks
        self.banks = [Bank.ACCUMULATOR + (first + k) % count for k in range(2)]
        self.powers = Words(self.banks[0], 0, (self.pixels, 1, 0, 0))

    def one(self, bank: int, place: int) -> Words:
        """A word for each pixel, behind those of all blocks."""
        base = (self.blocks + place) * self.pixels
        return Words(self.banks[bank], base, (0, 1, 0, 0))

    def vector(
        self,
        alu: Alu,
        a: Words,
        to: Words,
        fields: Mapping[str, int],
        b: Words | None = None,
        *,
        blocks: int = 1,
        touched: Sequence[Access] = (),
    ) -> None:
        """A VECTOR of all pixels of so many blocks, whose result is wide if it goes there."""
        wide = to.bank >= Bank.ACCUMULATOR
        operands = {"a": a, "acc" if wide else "target": to} | ({"b": b} if b else {})
        counts = (blocks, self.pixels, 1, 1)
        self.chip.vector(self.all.layer, counts, operands, _usual(alu, fields), touched)

    def run(self) -> None:
        """Emit all of them."""
        self.all.shifted(_HALF, self.pixels)
        largest = self.one(1, 0)
        self._across(Alu.MAX, self.codes, largest, Reduce.MAX, {"zero_a": LOW})
        self._powers(largest)
        total = self._sum()
        exponent = self._normalized(total)
        guess = self._reciprocal(total)
        self.vector(Alu.PASS, guess, guess, {"shift": -1})
        self.all.pass_on("result", guess, _HALF, _MULTIPLIER, self.pixels)
        self.all.pass_on("exponent", exponent, _HALF, _SHIFT, self.pixels)
        self._finish()

    def _across(
        self, alu: Alu, given: Words, to: Words, reduce: Reduce, fields: Mapping[str, int]
    ) -> None:
        """A word for each pixel from those of all blocks, the last one first: it may be partial.

        Lanes beyond the last channel are 0 then, which changes neither.
        """
        last, ends = self.blocks - 1, {"reduce": int(reduce)}
        whole = {**fields, **self.lanes, **(ends if not last else {})}
        self.vector(Alu.PASS, given.shifted(last * given.steps[0]), to, whole)
        for block in range(last):
            whole = {**fields, **(ends if block == last - 1 else {})}
            self.vector(alu, given.shifted(block * given.steps[0]), to, whole, to)

    def _powers(self, largest: Words) -> None:
        """Exponentials, byte after byte, the highest one first."""
        view = self.places.spare(self.tile)
        base = view.base + self.blocks * self.pixels
        codes = Words(view.bank, base, (self.pixels, 1, 0, 0))
        for byte in range(_BYTES - 1, -1, -1):
            self._look_up(self.all.constants.tables[byte], largest, codes)
            if byte == _BYTES - 1:
                fields = {"zero_a": LOW, "shift": -8 * byte, **self.lanes}
                self.vector(Alu.PASS, codes, self.powers, fields, blocks=self.blocks)
                continue
            factor = {"multiplier2": 1 << (8 * byte), "flags": int(VectorFlag.RESIDUAL)}
            fields = {"zero_b": LOW, **factor, **self.lanes}
            self.vector(Alu.PASS, self.powers, self.powers, fields, codes, blocks=self.blocks)

    def _look_up(self, tensor: Tensor, largest: Words, codes: Words) -> None:
        """A byte of the exponentials of all codes."""
        table = self.chip.load_table(self.all.layer, tensor)
        look = {"activation": int(Activation.TABLE), "table": table, "zero_target": LOW}
        fields = {"zero_a": LOW, **look, **self.lanes}
        touched = [self.chip.table_access(table)]
        self.vector(
            Alu.RSUB, self.codes, codes, fields, largest, blocks=self.blocks, touched=touched
        )

    def _sum(self) -> Words:
        """The sum of exponentials rounded to their integer bits, half way up: no tie is left."""
        rounded = replace(self.powers, bank=self.banks[1])
        twice_and_one = {"multiplier": 2, "multiplier2": 1, "scalar": 1}
        fields = {**twice_and_one, "shift": FRACTION + 1, "flags": int(VectorFlag.RESIDUAL)}
        fields |= self.lanes
        self.vector(Alu.PASS, self.powers, rounded, fields, blocks=self.blocks)
        total = self.one(0, 0)
        self._across(Alu.ADD, rounded, total, Reduce.SUM, {})
        return total

    def _normalized(self, total: Words) -> Words:
        """Shift the sum until it has 31 bits; what the result is then shifted by."""
        most = self.all.source.channels.bit_length() - 1
        least = _WHOLE - FRACTION - 8 - most
        exponent, spare, other = self.one(0, 1), self.one(1, 0), self.one(1, 1)
        self.vector(Alu.PASS, total, total, {"shift": -least})
        self.vector(Alu.PASS, total, exponent, {"multiplier": 0})
        for place in range(most.bit_length() - 1, -1, -1):
            bits = 1 << place
            self.vector(Alu.RSUB, total, spare, {"scalar": 1 << (_WHOLE - bits)})
            self.vector(Alu.GATE, total, other, {"multiplier": (1 << bits) - 1}, spare)
            self.vector(Alu.ADD, total, total, {}, other)
            self.vector(Alu.GREATER, other, other, {"scalar": 0, "multiplier": bits})
            self.vector(Alu.ADD, exponent, exponent, {}, other)
        whole = _WHOLE + FRACTION + (_WHOLE - 8) - 1
        self.vector(Alu.RSUB, exponent, exponent, {"scalar": whole - least})
        return exponent

    def _reciprocal(self, half: Words) -> Words:
        """Newton's iteration; the number and what it is so far are multipliers in turn."""
        self.all.pass_on("half", half, _HALF, _MULTIPLIER, self.pixels)
        guess, rest, more = self.one(1, 0), self.one(1, 1), self.one(0, 2)
        factor = {"scalar": 0, "multiplier": RECIPROCAL_FACTOR, "shift": _WHOLE}
        self.vector(Alu.RSUB, half, guess, {**factor, "flags": int(VectorFlag.TFLITE)})
        self.vector(Alu.ADD, guess, guess, {"scalar": RECIPROCAL_START})
        for _ in range(_ITERATIONS):
            self.all.pass_on("guess", guess, _GUESS, _MULTIPLIER, self.pixels)
            self._by_rows(Alu.PASS, guess, rest, _HALF, {})
            self._by_rows(Alu.RSUB, rest, rest, _GUESS, {"scalar": 1 << 29})
            self.vector(Alu.PASS, rest, more, {"shift": -2})
            self.vector(Alu.ADD, guess, guess, {}, more)
        return guess

    def _by_rows(
        self, alu: Alu, a: Words, to: Words, which: int, fields: Mapping[str, int]
    ) -> None:
        """A VECTOR whose scale is in each pixel's row of parameters; levels are pixels, blocks."""
        row = self.all.rows + which * self.all.most
        name = "acc" if to.bank >= Bank.ACCUMULATOR else "target"
        turned = {
            place: replace(words, steps=(words.steps[1], words.steps[0], 0, 0))
            for place, words in (("a", a), (name, to))
        }
        scaled = {"flags": int(VectorFlag.TFLITE | VectorFlag.LANE_SCALE), "parameter": row}
        scaled |= {"parameter_step": 1 if self.pixels > 1 else 0, **fields}
        low = row * PARAMETER_COLUMNS
        touched = [Access(Bank.PARAMETER, low, low + self.pixels * PARAMETER_COLUMNS, False)]
        counts = (self.pixels, self.blocks if to.steps[0] else 1, 1, 1)
        self.chip.vector(self.all.layer, counts, turned, _usual(alu, scaled), touched)

    def _finish(self) -> None:
        """Exponentials times the reciprocal; lanes beyond the last channel are 0."""
        target = Words.of(self.places.result(self.tile), self.tile)
        target = replace(target, steps=(target.steps[0], 1, 0, 0))
        self._by_rows(Alu.PASS, self.powers, target, _HALF, {"zero_target": LOW})
        if self.lanes["last_lanes"]:
            self.vector(Alu.PASS, target, target, self.lanes, blocks=self.blocks)


def _usual(alu: Alu, fields: Mapping[str, int]) -> dict[str, int]:
    """Fields of a VECTOR, with those that always are there."""
    flags = fields.get("flags", 0) | (VectorFlag.B_SCALAR if "scalar" in fields else 0)
    return {"low": LOW, "high": HIGH, **fields, "alu": int(alu), "flags": int(flags)}
