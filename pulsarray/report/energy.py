"""An estimate of energy: exact counts of events, times a table of energies per event.

Counted are products and sums of the array, sums and products of the vector unit's lanes, words of
banks that are read and written, and bytes of memory. Clock, registers, wires, control and leakage
are not in it: it is for comparing designs, and a lower bound of what silicon takes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import exp, log, prod
from pathlib import Path
from typing import Any

from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, each
from pulsarray.program import Layer, Program
from pulsarray.report.events import STREAM_LEVELS, VECTOR_LEVELS, transfer_bytes

__all__ = ["EnergyTable", "default_table", "energy", "events_of", "load_table"]

_EVENTS = ("multiply", "add", "sram", "dram")
_ACCESS_BITS = 64
"""Bits of the accesses that a table gives energies of."""


@dataclass(frozen=True)
class EnergyTable:
    """Energies of events, in picojoule.

    Parameters
    ----------
    name, source
        What it is called, and where its figures come from.
    energies
        For each event (``multiply``, ``add`` by bits; ``sram`` by bytes of the memory and ``dram``,
        of 64 bits) energies by size.
    """

    name: str
    source: str
    energies: Mapping[str, Mapping[float, float]]

    def of(self, event: str, size: float) -> float:
        """Picojoule of an event of a size, by a power law between the nearest that are listed."""
        points = sorted(self.energies[event].items())
        if len(points) == 1:
            return points[0][1]
        pairs = list(pairwise(points))
        below, above = next((p for p in pairs if size <= p[1][0]), pairs[-1])
        power = log(above[1] / below[1]) / log(above[0] / below[0])
        return below[1] * exp(power * log(size / below[0]))


@cache
def default_table() -> EnergyTable:
    """45 nm, after Horowitz."""
    text = files("pulsarray.report").joinpath("horowitz45.toml").read_text(encoding="utf-8")
    return _table(tomllib.loads(text), "horowitz45.toml")


def load_table(path: Path | None) -> EnergyTable:
    """The table of a TOML file, written as ``pulsarray/report/horowitz45.toml`` is.

    Raises
    ------
    InputError
        If it cannot be read, or something is missing or no energy.
    """
    if path is None:
        return default_table()
    try:
        return _table(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a readable TOML file: {error}") from None


def _table(values: Mapping[str, Any], where: str) -> EnergyTable:
    for name in ("name", "source"):
        if not isinstance(values.get(name), str):
            raise InputError(f"{where}: {name} must be a text, not {values.get(name)!r}")
    unknown = values.keys() - {"name", "source", *_EVENTS}
    if unknown:
        raise InputError(f"{where}: unknown entry {sorted(unknown)[0]!r}; known: {_EVENTS}")
    energies = {event: _energies(values.get(event), f"{where}: {event}") for event in _EVENTS}
    return EnergyTable(values["name"], values["source"], energies)


def _energies(value: object, where: str) -> dict[float, float]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: needs picojoule by size, not {value!r}")
    energies: dict[float, float] = {}
    for size, energy_ in value.items():
        numeric = size.replace(".", "", 1).isdecimal() and float(size) > 0
        if not numeric or type(energy_) not in (int, float) or not 0 < energy_ < float("inf"):
            raise InputError(f"{where}: must be positive picojoule by size, not {size} = {energy_}")
        energies[float(size)] = float(energy_)
    return energies


def energy(program: Program, table: EnergyTable) -> dict[str, Any]:
    """Microjoule of a run, estimated, by part and by layer.

    Parts are ``array``, ``banks``, ``lanes`` of the vector unit, ``memory`` outside, and
    ``program``, which is read from there.

    Parameters
    ----------
    program
        The program; the time that it takes does not matter.
    table
        Energies of events.
    """
    costs = each(program.instructions, lambda x: _cost(x, program.config, table))
    parts = dict.fromkeys(("array", "banks", "lanes", "memory", "program"), 0.0)
    for cost in costs:
        for part, value in cost.items():
            parts[part] += value
    fetched = -(-len(program.code) // program.config.fetch_bytes) * program.config.fetch_bytes
    parts["program"] = 8 * fetched / _ACCESS_BITS * table.of("dram", _ACCESS_BITS)
    return {
        "table": table.name,
        "source": table.source,
        "total_uj": sum(parts.values()) / 1e6,
        "parts_uj": {name: value / 1e6 for name, value in parts.items()},
        "layers_uj": [{"name": x.name, "uj": _layer(x, costs) / 1e6} for x in program.layers],
    }


def _layer(layer: Layer, costs: list[dict[str, float]]) -> float:
    return sum(sum(parts.values()) for parts in costs[layer.first : layer.last])


def _cost(instruction: Instruction, config: Config, table: EnergyTable) -> dict[str, float]:
    """Picojoule of an instruction by part: array, banks, lanes, memory."""
    cost: dict[str, float] = {}
    for part, event, size, count in events_of(instruction, config):
        cost[part] = cost.get(part, 0.0) + count * table.of(event, size)
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
