"""Codes at other places: copies where whole words move, else products with 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.convolution import emit_scaled
from pulsarray.compiler.lower.convolve import Term
from pulsarray.compiler.lower.elementwise import copy_codes
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.pool import Sources
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.tiles import tiles_of_map
from pulsarray.compiler.lower.weights import Tiles
from pulsarray.compiler.machine.views import Area, Stored
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.moving import Join, Repeat, Split, Swap
from pulsarray.compiler.ops.integer.scale import Scale

__all__ = ["selected"]

_POINT = Window((1, 1))
Ints = npt.NDArray[np.int64]


def _parts(stored: Stored, count: int, *, rows: bool) -> Iterator[Stored]:
    """The rows, or every so many columns, of a map whose pixels are parts of others'."""
    for place in range(count):
        if rows:
            yield stored.part((1, 1), (place, 0), (1, stored.width))
        else:
            yield stored.part((1, count), (0, place))


def _blocks(stored: Stored, first: int, count: int, dim: int) -> Stored:
    """Some channel blocks of a map."""
    return replace(stored, block=stored.block + first, blocks=count, channels=count * dim)


@lower.register
def _(op: Split, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    source, whole = lowering.stored(work.maps[0]), lowering.stored(work.output)
    dim = lowering.config.dim
    for number, part in enumerate(_parts(whole, op.parts, rows=op.rows)):
        if whole.channels % dim == 0:
            blocks = _blocks(source, number * whole.blocks, whole.blocks, dim)
            copy_codes(lowering, work, blocks, part)
        else:
            wanted = number * whole.channels + np.arange(whole.channels)
            selected(lowering, work, [(source, wanted)], part)
    return 0, 0, 0


@lower.register
def _(op: Join, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    source, whole = lowering.stored(work.maps[0]), lowering.stored(work.output)
    dim, terms = lowering.config.dim, []
    for number, part in enumerate(_parts(source, op.parts, rows=op.rows)):
        if source.channels % dim == 0:
            blocks = _blocks(whole, number * source.blocks, source.blocks, dim)
            copy_codes(lowering, work, part, blocks)
        else:
            terms.append((part, np.arange(whole.channels) - number * source.channels))
    if terms:
        selected(lowering, work, terms, whole)
    return 0, 0, 0


def selected(
    lowering: Lowering, work: Work, terms: Sequence[tuple[Stored, Ints]], result: Stored
) -> None:
    """Channels of some maps, those of each result by number; out of range there is none."""
    dim, made = lowering.config.dim, []
    for stored, wanted in terms:
        values = np.zeros((result.blocks, 1, 1, stored.blocks, dim, dim), np.int8)
        to = np.flatnonzero((wanted >= 0) & (wanted < stored.channels))
        lanes = wanted[to]
        values[to // dim, 0, 0, lanes // dim, lanes % dim, to % dim] = 1
        made.append(Term(stored, _POINT, Tiles(values, [0] * result.blocks)))
    scale = Scale(np.ones(1, np.int64), np.zeros(1, np.int64))
    offsets = np.zeros(result.channels, np.int64)
    emit_scaled(lowering, work, work.node.name, made, result, scale, offsets)


@lower.register
def _(op: Repeat, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    source, result = lowering.stored(work.maps[0]), lowering.stored(work.output)
    selected(lowering, work, [(source, np.arange(op.channels) % source.channels)], result)
    return 0, 0, 0


@lower.register
def _(_: Swap, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    source, result = lowering.stored(work.maps[0]), lowering.stored(work.output)
    number, name = lowering.number, work.node.name
    lowering.later(lambda chip, _: _swap(chip, number, name, source, result))
    return 0, 0, 0


def _swap(chip: MapChip, layer: int, name: str, source: Stored, result: Stored) -> None:
    """Tiles are read row after row and written column after column."""
    config = chip.config
    most = min(config.accumulator_depth, config.scratchpad_depth)
    turned = replace(source, height=source.width, width=source.height)
    tiles = tiles_of_map(result, turned, _POINT, most, config.scratchpad_depth, name)
    places = Places(chip, layer, result, None, tiles)
    seen = [Area(tile.blocks, tile.images, tile.columns, tile.rows) for tile in tiles]
    sources = Sources(chip, layer, source, seen)
    for tile, area in zip(tiles, seen, strict=True):
        places.next()
        words = Words.of(sources.next(area), area)
        blocks, images, rows, columns = words.steps
        operands = {
            "a": replace(words, steps=(blocks, images, columns, rows)),
            "target": Words.of(places.result(tile), tile),
        }
        fields = {"low": LOW, "high": HIGH} | result.lanes(tile, config.dim)
        chip.vector(layer, tile.counts, operands, fields)
        places.store(tile)
