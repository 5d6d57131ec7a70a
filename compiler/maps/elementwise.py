"""Operators of the vector unit alone: sums, products and functions of codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.maps.chip import PARAMETER_COLUMNS, MapChip, Words
from pulsarray.compiler.maps.convolution_weights import parameter_rows
from pulsarray.compiler.maps.epilogue import Operands, Places, combination
from pulsarray.compiler.maps.lowering import Lowering, lower
from pulsarray.compiler.maps.pooling import Sources
from pulsarray.compiler.maps.residency import Work
from pulsarray.compiler.maps.scaling import table_of
from pulsarray.compiler.maps.tiles import tiles_of_map
from pulsarray.compiler.maps.traits import traits_of
from pulsarray.compiler.maps.views import Stored, View
from pulsarray.compiler.ops.integer.add import Add, TfliteAdd
from pulsarray.compiler.ops.integer.elementwise import Copy, Elementwise, Multiply
from pulsarray.compiler.ops.integer.kernel import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.isa import Activation, Bank, VectorFlag
from pulsarray.program import Tensor

__all__: list[str] = []

_POINT = Window((1, 1))
_USED_COLUMNS = 3
"""Columns of a row of parameters that a scale uses: not the constant."""


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
        last = tile.blocks[1] == result.blocks
        lanes = {"last_lanes": result.channels % config.dim if last else 0}
        sums = None
        if traits_of(op).sums:
            sums = Words.of(View.of(chip.next_accumulator(), 0, tile), tile)
        for words, fields in combination(op, Operands(zeros, a, b, sums, target)):
            chip.vector(layer, tile.counts, words, fields | lanes)
        places.store(tile)


@lower.register
def _(op: Elementwise, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    source, scale = lowering.stored(work.maps[0]), op.scale
    table, rows = table_of(lowering, name, scale), _rows(lowering, name, scale, result.channels)
    lowering.later(
        lambda chip, _: _map_codes(chip, number, name, scale, source, result, rows, table)
    )
    return 0, 0, 0


@lower.register
def _(_: Copy, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    source = replace(lowering.stored(work.maps[0]), zero_point=0)
    scale = Scale(np.ones(1, np.int64), np.zeros(1, np.int64))
    lowering.later(
        lambda chip, _: _map_codes(chip, number, name, scale, source, result, None, None)
    )
    return 0, 0, 0


def _rows(lowering: Lowering, name: str, scale: Scale, channels: int) -> Tensor | None:
    """Parameters of an operator with a scale for each channel."""
    nothing, dim = np.zeros(channels, np.int64), lowering.config.dim
    if len(scale.multiplier) == 1:
        return None
    return parameter_rows(lowering.layout, name, nothing, scale.multiplier, scale.shift, dim)


def _map_codes(
    chip: MapChip,
    layer: int,
    name: str,
    scale: Scale,
    source: Stored,
    result: Stored,
    parameters: Tensor | None,
    table: Tensor | None,
) -> None:
    """Another quantization, or a function by table, of every code."""
    config = chip.config
    most = min(config.accumulator_depth, config.scratchpad_depth)
    bank, rows = config.scratchpad_depth, config.parameter_depth if parameters else None
    tiles = tiles_of_map(result, source, _POINT, most, bank, name, blocks_at_most=rows)
    places = Places(chip, layer, result, None, tiles)
    sources = Sources(chip, layer, source, tiles)
    fields: dict[str, int] = {
        "zero_a": source.zero_point,
        "zero_target": scale.zero,
        "low": scale.low,
        "high": scale.high,
        "flags": int(VectorFlag.TFLITE) if scale.tflite else 0,
    }
    if parameters is None:
        fields |= {"multiplier": int(scale.multiplier[0]), "shift": int(scale.shift[0])}
    else:
        fields["flags"] |= int(VectorFlag.LANE_SCALE)
    touched: list[Access] = []
    if table is not None:
        number = chip.load_table(layer, table)
        fields |= {"activation": int(Activation.TABLE), "table": number}
        touched.append(chip.table_access(number))
    cache = None
    if parameters is not None:
        keys = [tile.blocks for tile in tiles]
        cache = chip.parameter_cache(max(high - low for low, high in keys), keys)
    for number, tile in enumerate(tiles):
        view = sources.next(tile)
        places.next()
        own: dict[str, int] = {}
        found = list(touched)
        if cache is not None:
            assert parameters is not None
            resident, missing = cache.find(tile.blocks, number)
            row, count = resident.slot.base, tile.counts[0]
            if missing:
                chip.load_parameters(layer, parameters, tile.blocks[0], count, row, _USED_COLUMNS)
            own = {"parameter": row, "parameter_step": 1 if count > 1 else 0}
            low = row * PARAMETER_COLUMNS
            found.append(Access(Bank.PARAMETER, low, low + count * PARAMETER_COLUMNS, False))
        if tile.blocks[1] == result.blocks:
            own["last_lanes"] = result.channels % config.dim
        operands: Mapping[str, Words] = {
            "a": Words.of(view, tile),
            "target": Words.of(places.result(tile), tile),
        }
        chip.vector(layer, tile.counts, operands, fields | own, found)
        places.store(tile)
