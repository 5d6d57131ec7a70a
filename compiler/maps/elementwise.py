"""Operators of the vector unit alone: sums, products and functions of codes."""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.chip import PARAMETER_COLUMNS, MapChip, Words
from pulsarray.compiler.maps.epilogue import Places, add_fields, tflite_add
from pulsarray.compiler.maps.pooling import Sources
from pulsarray.compiler.maps.tiles import tiles_of_map
from pulsarray.compiler.maps.views import Stored, View
from pulsarray.isa import Activation, Alu, Bank, VectorFlag
from pulsarray.program import Tensor

__all__ = ["combine", "map_codes"]

_POINT = Window((1, 1))
_USED_COLUMNS = 3
"""Columns of a row of parameters that a scale uses: not the constant."""


def combine(
    chip: MapChip,
    layer: int,
    node: integer.Add | integer.TfliteAdd | integer.Multiply,
    first: Stored,
    second: Stored,
    result: Stored,
) -> None:
    """Two maps of one shape, element by element."""
    config = chip.config
    together = first.tensor is None and second.tensor is None and first.bank == second.bank
    most = min(config.accumulator_depth, config.scratchpad_depth)
    tiles = tiles_of_map(result, first, _POINT, most, config.scratchpad_depth, node.name)
    places = Places(chip, layer, result, second, tiles, spare=together)
    sources = Sources(chip, layer, first, tiles)
    for tile in tiles:
        places.next()
        a, b = Words.of(sources.next(tile), tile), Words.of(places.operand(tile), tile)
        if together:
            # One bank cannot give two words in a cycle.
            copy = Words.of(places.spare(tile), tile)
            plain = {"low": integer.LOW, "high": integer.HIGH}
            chip.vector(layer, tile.counts, {"a": b, "target": copy}, plain)
            b = copy
        target = Words.of(places.result(tile), tile)
        last = tile.blocks[1] == result.blocks
        lanes = {"last_lanes": result.channels % config.dim if last else 0}
        if isinstance(node, integer.TfliteAdd):
            sums = Words.of(View.of(chip.next_accumulator(), 0, tile), tile)
            for operands, fields in tflite_add(node, (a, b), sums, target):
                chip.vector(layer, tile.counts, operands, fields | lanes)
        else:
            fields = add_fields(node) if isinstance(node, integer.Add) else _product_fields(node)
            operands = {"a": a, "b": b, "target": target}
            chip.vector(layer, tile.counts, operands, fields | lanes)
        places.store(tile)


def _product_fields(node: integer.Multiply) -> dict[str, int]:
    return {
        "alu": int(Alu.MUL),
        "zero_a": node.zeros[0],
        "zero_b": node.zeros[1],
        "multiplier": node.multiplier,
        "shift": node.shift,
        "zero_target": node.zero,
        "low": node.low,
        "high": node.high,
    }


def map_codes(
    chip: MapChip,
    layer: int,
    node: integer.Elementwise,
    source: Stored,
    result: Stored,
    parameters: Tensor | None,
    table: Tensor | None,
) -> None:
    """Another quantization, or a function by table, of every code."""
    config, scale = chip.config, node.scale
    most = min(config.accumulator_depth, config.scratchpad_depth)
    bank, rows = config.scratchpad_depth, config.parameter_depth if parameters else None
    tiles = tiles_of_map(result, source, _POINT, most, bank, node.name, blocks_at_most=rows)
    places = Places(chip, layer, result, None, tiles)
    sources = Sources(chip, layer, source, tiles)
    fields: dict[str, int] = {
        "zero_a": node.zero_in,
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
