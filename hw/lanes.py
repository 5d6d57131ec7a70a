"""All lanes of the vector unit, with their parameters, tables and the reduction over them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.lane import RESULT_CYCLE, Lane, lane_controls
from pulsarray.hw.parameters import COLUMNS, ParameterColumn
from pulsarray.hw.ports import ADDRESS_BITS
from pulsarray.hw.reduction import Reduction
from pulsarray.hw.shared import Shared
from pulsarray.isa import Reduce

__all__ = ["COLUMN_CYCLES", "Lanes"]

COLUMN_CYCLES = {"bias": 0, "constant": 0, "shift": 2, "multiplier": 3}
"""Cycle in which a column of parameters is read, the one before its lanes need it."""
_PORTS = {
    "bias": "bias",
    "constant": "constant",
    "shift": "lane_shift",
    "multiplier": "lane_multiplier",
}


class Lanes(Shared):
    """From the words of both sources to the words that are written, seven cycles later.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    valid
        Bit i: there is a word that was issued i cycles before.
    control1 and so on
        What all lanes are told in that cycle: layouts of :attr:`pulsarray.hw.lane.Lane.controls`.
    a_words, a_sums, b_words, b_sums
        What the banks gave, in cycle 1.
    row0, row2, row3
        Row of parameters of the words in those cycles.
    count, reduce
        Lanes that count, and the reduction, in cycle 7.
    codes, sums
        The words that result, in cycle 7.
    parameter_write, parameter_address, parameter_data
        A word for the parameter bank, in the format of an accumulator word in memory.
    table_write, table_address, table_data
        A word for the table bank, as in memory; absent without tables.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        dim = config.dim
        words = data.ArrayLayout(signed(config.operand_bits), dim)
        sums = data.ArrayLayout(signed(config.acc_bits), dim)
        self.controls = lane_controls(
            config.operand_bits, config.scale_bits, config.vector_multiply, config.tables
        )
        members: dict[str, Any] = {
            "valid": In(RESULT_CYCLE + 1),
            **{f"control{cycle}": In(layout) for cycle, layout in self.controls.items()},
            **{f"{source}_words": In(words) for source in "ab"},
            **{f"{source}_sums": In(sums) for source in "ab"},
            **{f"row{cycle}": In(ADDRESS_BITS) for cycle in sorted({*COLUMN_CYCLES.values()})},
            "count": In(range(dim + 1)),
            "reduce": In(2),
            "codes": Out(words),
            "sums": Out(sums),
            "parameter_write": In(1),
            "parameter_address": In(ADDRESS_BITS),
            "parameter_data": In(8 * config.acc_word_bytes),
        }
        if config.tables:
            members |= {
                "table_write": In(1),
                "table_address": In(ADDRESS_BITS),
                "table_data": In(8 * config.word_bytes),
            }
        super().__init__(
            members,
            dim=dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            depth=config.parameter_depth,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
        )

    def _lane(self) -> Lane:
        config = self._config
        return Lane(
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            table_entries=config.word_bytes // config.operand_bytes,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The lanes, and what is beside them."""
        m = Module()
        lanes = [self._lane() for _ in range(self._config.dim)]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [
                lane.valid.eq(self.valid),
                lane.a_word.eq(self.a_words[number]),
                lane.a_sum.eq(self.a_sums[number]),
                lane.b_word.eq(self.b_words[number]),
                lane.b_sum.eq(self.b_sums[number]),
            ]
            for cycle in self.controls:
                name = f"control{cycle}"
                m.d.comb += getattr(lane, name).eq(getattr(self, name))
        self._parameters(m, lanes)
        if self._config.tables:
            self._tables(m, lanes)
        self._reduce(m, lanes)
        return m

    def _parameters(self, m: Module, lanes: list[Lane]) -> None:
        """The four columns; a write outside the bank does nothing."""
        config = self._config
        widths = {
            "bias": config.acc_bits,
            "multiplier": config.scale_bits,
            "shift": 8,
            "constant": config.acc_bits,
        }
        place, row = self.parameter_address[:2], self.parameter_address[2:]
        slots = self.parameter_data[: 8 * config.acc_slot_bytes * config.dim]
        for number, name in enumerate(COLUMNS):
            if not widths[name]:
                continue
            column = ParameterColumn(
                dim=config.dim,
                bits=widths[name],
                slot_bits=8 * config.acc_slot_bytes,
                depth=config.parameter_depth,
            )
            m.submodules[f"{name}_column"] = column
            cycle = COLUMN_CYCLES[name]
            mine = (place == number) & (row < config.parameter_depth)
            read = getattr(self, f"row{cycle}")
            m.d.comb += [
                column.write.eq(self.parameter_write & mine),
                column.write_row.eq(row),
                column.write_data.eq(slots),
                column.read.eq(self.valid[cycle] & (read < config.parameter_depth)),
                column.row.eq(read),
            ]
            for lane, value in zip(lanes, column.lanes, strict=True):
                m.d.comb += getattr(lane, _PORTS[name]).eq(value)

    def _tables(self, m: Module, lanes: list[Lane]) -> None:
        """Every lane has all tables; a word is for one plane of one of them."""
        config = self._config
        word_bits = (config.table_words - 1).bit_length()
        planes, plane_of_all = config.table_planes, self.table_address[word_bits:]
        words = config.tables * planes * config.table_words
        table, plane = Signal(3), Signal(range(max(2, planes)))
        number = Signal(range(8 * planes))
        m.d.comb += number.eq(plane_of_all)
        if planes == 1:
            m.d.comb += table.eq(number)
        else:
            # Division by three of a number below 32.
            m.d.comb += [table.eq((number * 11) >> 5), plane.eq(number - 3 * table)]
        writes = self.table_write & (self.table_address < words)
        for lane in lanes:
            m.d.comb += [
                lane.table_address.eq(Cat(self.table_address[:word_bits], table)),
                lane.table_data.eq(self.table_data),
                *(lane.table_write[i].eq(writes & (plane == i)) for i in range(planes)),
            ]

    def _reduce(self, m: Module, lanes: list[Lane]) -> None:
        config = self._config
        for name, bits, values in (
            ("codes", config.operand_bits, [lane.code for lane in lanes]),
            ("sums", config.acc_bits, [lane.sum for lane in lanes]),
        ):
            m.submodules[f"{name}_reduction"] = reduction = Reduction(dim=config.dim, bits=bits)
            m.d.comb += [
                reduction.lanes.eq(Cat(values)),
                reduction.count.eq(self.count),
                reduction.is_max.eq(self.reduce == Reduce.MAX),
                reduction.is_sum.eq(self.reduce == Reduce.SUM),
                getattr(self, name).eq(reduction.result),
            ]
