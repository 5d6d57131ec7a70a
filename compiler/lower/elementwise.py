"""Operators of the vector unit alone: sums, products and functions of codes."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.constants import Constants, Sums
from pulsarray.compiler.lower.epilogue import Operands, Places, combination
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.pool import Sources
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import sums_of, table_of
from pulsarray.compiler.lower.tiles import tiles_of_map
from pulsarray.compiler.lower.traits import traits_of
from pulsarray.compiler.machine.views import Stored, View
from pulsarray.compiler.ops.integer.add import Add, TfliteAdd
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.elementwise import Copy, Elementwise, Multiply
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.program import Tensor

__all__ = ["copy_codes"]

_POINT = Window((1, 1))


@lower.register(Add)
@lower.register(TfliteAdd)
@lower.register(Multiply)
def _(op: Operator, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    first, second = (lowering.stored(source) for source in work.node.inputs)
    lowering.later(lambda chip, _: _combine(chip, number, name, op, first, second, result))
    return 0, 0, 0


def _combine(
    chip: MapChip,
    layer: int,
    name: str,
    op: Operator,
    first: Stored,
    second: Stored,
    result: Stored,
) -> None:
    """Two maps of one shape, element by element."""
    config, zeros = chip.config, (first.zero_point, second.zero_point)
    together = first.tensor is None and second.tensor is None and first.bank == second.bank
    most = min(config.accumulator_depth, config.scratchpad_depth)
    tiles = tiles_of_map(result, first, _POINT, most, config.scratchpad_depth, name)
    places = Places(chip, layer, result, second, tiles, spare=together)
    sources = Sources(chip, layer, first, tiles)
    for tile in tiles:
        places.next()
        a, b = Words.of(sources.next(tile), tile), Words.of(places.operand(tile), tile)
        if together:
            # One bank cannot give two words in a cycle.
            copy = Words.of(places.spare(tile), tile)
            chip.vector(layer, tile.counts, {"a": b, "target": copy}, {"low": LOW, "high": HIGH})
            b = copy
        target = Words.of(places.result(tile), tile)
        lanes = result.lanes(tile, config.dim)
        sums = None
        if traits_of(op).sums:
            sums = Words.of(View.of(chip.next_sums(), 0, tile), tile)
        for words, fields in combination(op, Operands(zeros, a, b, sums, target)):
            chip.vector(layer, tile.counts, words, fields | lanes)
        places.store(tile)


@lower.register
def _(op: Elementwise, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result = lowering.stored(work.output)
    source, scale = lowering.stored(work.maps[0]), op.scale
    table = table_of(lowering, work.node.name, scale)
    nothing = np.zeros(result.channels, np.int64)
    sums = sums_of(lowering, work.node.name, scale, nothing, zero=source.zero_point)
    _later(lowering, work, source, result, sums, table)
    return 0, 0, 0


@lower.register
def _(_: Copy, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result = lowering.stored(work.output)  # Placed before what it is a copy of.
    copy_codes(lowering, work, lowering.stored(work.node.inputs[0]), result)
    return 0, 0, 0


def copy_codes(lowering: Lowering, work: Work, source: Stored, result: Stored) -> None:
    """The same codes at another place, as part of an operator."""
    scale = Scale(np.ones(1, np.int64), np.zeros(1, np.int64))
    sums = sums_of(lowering, work.node.name, scale, np.zeros(result.channels, np.int64))
    _later(lowering, work, source, result, sums, None)


def _later(
    lowering: Lowering, work: Work, source: Stored, result: Stored, sums: Sums, table: Tensor | None
) -> None:
    number, name = lowering.number, work.node.name
    lowering.later(lambda chip, _: _map_codes(chip, number, name, source, result, sums, table))


def _map_codes(
    chip: MapChip,
    layer: int,
    name: str,
    source: Stored,
    result: Stored,
    sums: Sums,
    table: Tensor | None,
) -> None:
    """Another quantization, or a function by table, of every code."""
    config = chip.config
    most = min(config.accumulator_depth, config.scratchpad_depth)
    bank, rows = config.scratchpad_depth, config.parameter_depth if sums.parameters else None
    tiles = tiles_of_map(result, source, _POINT, most, bank, name, blocks_at_most=rows)
    places = Places(chip, layer, result, None, tiles)
    sources = Sources(chip, layer, source, tiles)
    constants = Constants(chip, layer, result, sums, tiles, table)
    constants.load_table()
    for tile in tiles:
        view = sources.next(tile)
        places.next()
        fields, touched = constants.next(tile)
        operands = {"a": Words.of(view, tile), "target": Words.of(places.result(tile), tile)}
        chip.vector(layer, tile.counts, operands, fields, touched)
        places.store(tile)
