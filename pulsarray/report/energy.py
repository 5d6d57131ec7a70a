"""An estimate of energy: exact counts of events, times a table of energies per event.

Counted are products and sums of the array, sums and products of the vector unit's lanes, words of
banks that are read and written, and bytes of memory. Clock, registers, wires, control and leakage
are not in it: it is for comparing designs, and a lower bound of what silicon takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from math import prod
from typing import Any

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, Unit, each
from pulsarray.program import Program
from pulsarray.report.energy_table import EnergyTable
from pulsarray.report.events import STREAM_LEVELS, VECTOR_LEVELS, transfer_bytes

__all__ = ["PARTS", "UNITS", "energy", "event_energies", "events_of"]

PARTS = ("array", "banks", "lanes", "memory", "program")
"""Where energy goes: array, banks, lanes of the vector unit, memory outside, and the program, which
is read from there."""

UNITS = (*(unit.name.lower() for unit in Unit), "fetch")
"""Who spends it."""

_ACCESS_BITS = 64
"""Bits of the accesses that a table gives energies of."""


def energy(program: Program, table: EnergyTable) -> dict[str, Any]:
    """Microjoule of a run, estimated: ``total_uj``, by part, by unit and by layer.

    Parameters
    ----------
    program
        The program; the time that it takes does not matter.
    table
        Energies of events.
    """
    of = cache(table.of)
    costs = each(program.instructions, lambda x: _cost(x, program.config, of))
    fetched = -(-len(program.code) // program.config.fetch_bytes) * program.config.fetch_bytes
    fetch = fetched * _byte(table)
    parts = dict.fromkeys(PARTS, 0.0) | {"program": fetch}
    units = dict.fromkeys(UNITS, 0.0) | {"fetch": fetch}
    for instruction, cost in zip(program.instructions, costs, strict=True):
        for part, value in cost.items():
            parts[part] += value
        if instruction.format.unit is not None:
            units[UNITS[instruction.format.unit]] += sum(cost.values())
    return {
        "table": table.name,
        "source": table.source,
        "total_uj": sum(parts.values()) / 1e6,
        "parts_uj": {name: value / 1e6 for name, value in parts.items()},
        "units_uj": {name: value / 1e6 for name, value in units.items()},
        "layers_uj": [
            {"name": layer.name, "uj": _sum(costs[layer.first : layer.last]) / 1e6}
            for layer in program.layers
        ],
    }


def event_energies(config: Config, table: EnergyTable) -> dict[str, float]:
    """Picojoule of single events of a machine, estimated, by what happens."""
    banks = (Bank.SCRATCHPAD, Bank.ACCUMULATOR, Bank.PARAMETER)
    words = {f"{bank.name.lower()}_word": _access(config, bank, 1) for bank in banks}
    lane = (("add", config.acc_bits), ("multiply", config.acc_bits))
    return {
        "product": table.of("multiply", config.operand_bits),
        "sum": table.of("add", config.psum_bits),
        "lane": sum(table.of(event, bits) for event, bits in lane),
        **{word: count * table.of(event, size) for word, (_, event, size, count) in words.items()},
        "memory_byte": _byte(table),
    }


def _byte(table: EnergyTable) -> float:
    return 8 * table.of("dram", _ACCESS_BITS) / _ACCESS_BITS


def _sum(costs: Iterable[Mapping[str, float]]) -> float:
    return sum(sum(parts.values()) for parts in costs)


def _cost(
    instruction: Instruction, config: Config, of: Callable[[str, float], float]
) -> dict[str, float]:
    """Picojoule of an instruction by part: array, banks, lanes, memory."""
    cost: dict[str, float] = {}
    for part, event, size, count in events_of(instruction, config):
        cost[part] = cost.get(part, 0.0) + count * of(event, size)
    return cost


_Event = tuple[str, str, float, float]
"""Part, event, size, how often."""


def events_of(instruction: Instruction, config: Config) -> Iterator[_Event]:
    """What an instruction does: part, event, size, how often."""
    match instruction.op:
        case Opcode.STREAM:
            yield from _stream(instruction, config)
        case Opcode.WEIGHT:
            tiles = instruction["count0"] * instruction["count1"]
            yield _access(config, instruction["bank"], tiles * config.dim)
        case Opcode.VECTOR:
            yield from _vector(instruction, config)
        case Opcode.LOAD | Opcode.STORE:
            moved = transfer_bytes(instruction, config)
            words = prod(instruction[name] for name in ("count0", "count1", "run"))
            yield _access(config, instruction["bank"], words)
            yield "memory", "dram", _ACCESS_BITS, 8 * moved / _ACCESS_BITS
        case _:
            return


def _stream(instruction: Instruction, config: Config) -> Iterator[_Event]:
    words = prod(instruction[f"count{level}"] for level in range(STREAM_LEVELS))
    products = words * config.dim**2
    yield "array", "multiply", config.operand_bits, products
    yield "array", "add", config.psum_bits, products
    yield _access(config, instruction["source_bank"], words)
    yield _access(config, instruction["target_bank"], words + _added(instruction, words))


def _added(instruction: Instruction, words: int) -> int:
    """Words that are added to what is there, which is read first (docs/machine.md, STREAM)."""
    if instruction["flags"] & StreamFlag.ACCUMULATE:
        return words
    levels = [k for k in range(STREAM_LEVELS) if not instruction["fresh"] >> k & 1]
    return words - prod(instruction[f"count{level}"] for level in levels)


def _vector(instruction: Instruction, config: Config) -> Iterator[_Event]:
    words = prod(instruction[f"count{level}"] for level in range(VECTOR_LEVELS))
    for name in ("a_bank", "b_bank", "target_bank", "acc_bank"):
        if instruction[name] != Bank.NONE:
            yield _access(config, instruction[name], words)
    yield "lanes", "add", config.acc_bits, words * config.dim
    yield "lanes", "multiply", config.acc_bits, words * config.dim


def _access(config: Config, bank: int, words: float) -> _Event:
    """Words of a bank that are read or written."""
    wide = Bank.ACCUMULATOR <= bank < Bank.PARAMETER
    bits = config.dim * (config.acc_bits if wide else config.operand_bits)
    depth = config.accumulator_depth if wide else config.scratchpad_depth
    if bank == Bank.PARAMETER:
        depth, bits = config.parameter_depth, config.dim * config.acc_bits
    if bank == Bank.TABLE:
        depth = config.table_segments
    return "banks", "sram", depth * bits / 8, words * bits / _ACCESS_BITS
