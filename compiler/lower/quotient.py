"""Numbers of each pixel times a function of their sum, by what the vector unit has.

What is stored from an accumulator bank is loaded as multipliers of the parameter bank: multipliers
that are data. While the iteration of a tile waits for memory the sums of the next one are made,
where two tiles fit and have enough to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.lowering import Lowering
from pulsarray.compiler.lower.packing import Packing
from pulsarray.compiler.lower.pool import Sources
from pulsarray.compiler.lower.quotient_tile import WHOLE, Common, Tile, Way
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.tiles import tiles_of_map
from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.views import Stored, View
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Tensor

__all__ = ["emit_later"]

_POINT = Window((1, 1))
_ROUND_TRIP = 4 * ASSUMED_LATENCY
"""Cycles from a word's sum until it is a multiplier."""


@dataclass(frozen=True)
class _Constants:
    """What is in memory: tables of bytes, the lowest first; a shift; a word for each lane."""

    tables: Sequence[Tensor]
    shift: Tensor
    masks: Tensor


def emit_later(
    kind: type[Tile], op: Operator, lowering: Lowering, work: Work, tables: Array
) -> None:
    """Let the tiles of an operator be emitted.

    Parameters
    ----------
    kind
        Of which tiles it is.
    op, lowering, work
        The operator, the network, and the operator's part of it.
    tables
        (N, entries): tables of bytes.

    Raises
    ------
    InputError
        If not even a pixel fits.
    """
    source, result = lowering.stored(work.maps[0]), lowering.stored(work.output)
    number, name = lowering.number, work.node.name
    total = source.images * source.height * source.width
    options = [(ways, _pixels(kind, lowering.config, source.blocks, ways)) for ways in (1, 2)]
    fitting = [(ways, pixels) for ways, pixels in options if pixels]
    if not fitting:
        raise InputError(f"{name}: {op} of {source.channels} channels does not fit")
    ways, pixels = min(fitting, key=lambda one: _cycles(kind, one[0], one[1], total, source.blocks))
    constants = _constants(tables, lowering, name)
    passed = [_passed(lowering, f"{name}.{way}", pixels) for way in range(ways)]
    lowering.later(
        lambda chip, _: _Emission(
            kind, op, chip, number, source, result, constants, passed, pixels
        ).run(name)
    )


def _pixels(kind: type[Tile], config: Config, blocks: int, ways: int) -> int:
    """Pixels of a tile, of so many at once, that fit with their parameters and codes."""
    most = min(config.parameter_depth // ways, config.scratchpad_depth // (2 * ways * blocks))
    for pixels in range(1, most + 1):
        packing = Packing.of(pixels, config.dim)
        words, rows = _words(kind, pixels, blocks, packing), 2 * packing.groups
        if ways * words > config.accumulator_depth or ways * rows > config.parameter_depth:
            return pixels - 1
    return most


def _words(kind: type[Tile], pixels: int, blocks: int, packing: Packing) -> int:
    """Words of an accumulator bank that a tile needs."""
    first, other = (half * packing.groups for half in packing.halves)
    slots = kind.slots * packing.groups
    below = max(pixels * blocks, max(2 * pixels, other) + slots)
    return max(below, pixels * (blocks + 1) + first + slots)


def _cycles(kind: type[Tile], ways: int, pixels: int, total: int, blocks: int) -> int:
    """Estimated cycles: VECTORs of all words, and waits for memory."""
    tiles, busy = -(-total // pixels), min(pixels, total) * (kind.vectors * blocks + 5)
    waits = (kind.iterations + 2) * _ROUND_TRIP
    return tiles * busy + tiles * (waits if ways == 1 else max(0, waits - busy)) + waits


def _constants(tables: Array, lowering: Lowering, name: str) -> _Constants:
    layout, dim = lowering.layout, lowering.config.dim
    shift, masks = np.full((1, dim), WHOLE), np.eye(dim, dtype=np.int8)
    return _Constants(
        [layout.add_raw(f"{name}.table", row.view(np.uint8)) for row in tables],
        layout.add(f"{name}.shift", "constant", 1, dim, values=shift, element="sum"),
        layout.add(f"{name}.masks", "constant", dim, dim, values=masks),
    )


def _passed(lowering: Lowering, name: str, pixels: int) -> Mapping[str, Tensor]:
    """Where results of a tile are on their way."""
    layout, dim = lowering.layout, lowering.config.dim
    return {
        what: layout.add(f"{name}.{what}", "intermediate", 2 * pixels, dim, element="sum")
        for what in ("half", "guess", "result")
    }


class _Emission:
    """Emits an operator, tile after tile.

    Parameters
    ----------
    kind, op
        Of which tiles, and the operator.
    chip, layer
        Where to, and for which layer.
    source, result
        The maps.
    constants
        What is in memory.
    passed
        Where results are on their way, for each of the tiles at once.
    pixels
        Those of a tile, at most.
    """

    def __init__(
        self,
        kind: type[Tile],
        op: Operator,
        chip: MapChip,
        layer: int,
        source: Stored,
        result: Stored,
        constants: _Constants,
        passed: Sequence[Mapping[str, Tensor]],
        pixels: int,
    ) -> None:
        self.kind, self.chip, self.layer, self.pixels = kind, chip, layer, pixels
        self.source, self.result, self.blocks = source, result, source.blocks
        config = chip.config
        room = config.accumulator_depth // len(passed)
        rows = min(2 * pixels, config.parameter_depth // len(passed))
        first = chip.parameter_rows(rows * len(passed))
        self.ways = [
            Way(chip, layer, constants.shift, tensors, number * room, first + number * rows)
            for number, tensors in enumerate(passed)
        ]
        slot = chip.hold(layer, constants.masks)
        masks = Words(slot.bank, slot.base, (1, 0, 0, 0))
        zero = source.zero_point
        self.common = Common(op, chip, layer, result, zero, constants.tables, masks)

    def run(self, name: str) -> None:
        """Emit everything."""
        flat, bank = replace(self.result, blocks=1), self.chip.config.scratchpad_depth
        tiles = [
            replace(tile, blocks=(0, self.blocks))
            for tile in tiles_of_map(flat, self.source, _POINT, self.pixels, bank, name)
        ]
        places = Places(self.chip, self.layer, self.result, None, tiles, spare=True, slots=2)
        sources = Sources(self.chip, self.layer, self.source, tiles)
        before: Iterator[None] = iter(())
        ahead = deque[View]()
        for number, area in enumerate(tiles):
            places.next()
            while number + len(ahead) < min(len(tiles), number + len(self.ways)):
                ahead.append(sources.next(tiles[number + len(ahead)]))
            way, codes = self.ways[number % len(self.ways)], Words.of(ahead.popleft(), area)
            tile = self.kind(self.common, way, area, codes, places)
            if len(self.ways) == 1:
                deque(before, 0)
            deque(zip_longest(before, tile.sums()), 0)
            before = tile.quotients()
        deque(before, 0)
