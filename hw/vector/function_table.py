"""The function tables of one lane."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.rounding import round_half_even, saturate

__all__ = ["FunctionTable", "write_members"]

SHIFT_LIMIT = 40
"""A shift by this or more gives 0, as ``c0 + c1 * f`` has 34 bits."""


def _entries(config: Config) -> int:
    return config.word_bytes // config.operand_bytes


def _depth(config: Config) -> int:
    """Words of one plane of all tables, at least 2 as a memory needs."""
    return max(2, config.tables * max(1, config.table_segments // _entries(config)))


def write_members(config: Config) -> dict[str, Any]:
    """Shapes of the ports through which the tables are filled."""
    return {
        "write": config.table_planes,
        "address": range(_depth(config)),
        "data": config.operand_bits * _entries(config),
    }


class FunctionTable(Shared):
    """Functions of an operand: an entry for each code, or linear on each of its segments.

    Parameters
    ----------
    config
        The machine: tables of an entry for each code with 8-bit operands, of offsets (two planes)
        and slopes (one) with 16-bit operands.

    Members
    -------
    enable, table, argument
        Look up; the result is there in the next cycle, and stays until the next look-up.
    shift
        Right shift of the result, given with it (16-bit operands).
    result
        The function's value.
    write, address, data
        One bit a plane, the word within the plane of all tables, and the word.
    """

    def __init__(self, config: Config) -> None:
        self._bits, self._segments = config.operand_bits, config.table_segments
        self._entries, self._planes = _entries(config), config.table_planes
        self._depth = _depth(config)
        members: dict[str, Any] = {
            "enable": In(1),
            "table": In(3),
            "argument": In(signed(self._bits)),
            "result": Out(signed(self._bits)),
            **{name: In(shape) for name, shape in write_members(config).items()},
        }
        if self._planes > 1:
            members["shift"] = In(6)
        super().__init__(
            members,
            operand_bits=self._bits,
            tables=config.tables,
            segments=self._segments,
            entries=self._entries,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A memory a plane, the choice of an entry in its word, and the line through it."""
        m = Module()
        fraction_bits = self._bits - (self._segments - 1).bit_length()
        entry_bits = (self._entries - 1).bit_length()
        biased = Cat(self.argument[:-1], ~self.argument[-1])
        segment = biased[fraction_bits:]
        entry = Signal(entry_bits, reset_less=True)
        fraction = Signal(fraction_bits, reset_less=True)
        with m.If(self.enable):
            m.d.sync += [entry.eq(segment), fraction.eq(biased)]
        row = Signal(range(self._depth))
        m.d.comb += row.eq(Cat(segment[entry_bits:], self.table))
        planes = [self._plane(m, index, row, entry) for index in range(self._planes)]
        if self._planes == 1:
            m.d.comb += self.result.eq(planes[0])
        else:
            m.d.comb += self.result.eq(self._interpolate(m, planes, fraction))
        return m

    def _plane(self, m: Module, index: int, row: Value, entry: Value) -> Value:
        m.submodules[f"plane{index}"] = words = Memory1R1W(len(self.data), self._depth)
        m.d.comb += [
            words.write_enable.eq(self.write[index]),
            words.write_address.eq(self.address),
            words.write_data.eq(self.data),
            words.read_enable.eq(self.enable),
            words.read_address.eq(row),
        ]
        return words.read_data.word_select(entry, self._bits).as_signed()

    def _interpolate(self, m: Module, planes: list[Value], fraction: Value) -> Value:
        offset = Cat(planes[0], planes[1]).as_signed()
        total = Signal(signed(34))
        shift = Signal(6, name="limited_shift")
        m.d.comb += [
            total.eq(offset + planes[2] * fraction),
            shift.eq(Mux(self.shift < SHIFT_LIMIT, self.shift, SHIFT_LIMIT)),
        ]
        return saturate(round_half_even(total, shift), self._bits)
