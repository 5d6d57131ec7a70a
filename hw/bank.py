"""One bank of memory words, with the units that share its two ports."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.memory import Memory1R1W
from pulsarray.hw.ports import ADDRESS_BITS
from pulsarray.hw.shared import Shared
from pulsarray.isa import Unit

__all__ = ["MemoryBank", "WordSelect"]


class MemoryBank(Shared):
    """One bank: a memory, and the choice of who reads and writes it.

    Parameters
    ----------
    bits, depth
        Width and number of its words.
    readers, writers
        Ports of units.

    Members
    -------
    reads, read_addresses[reader]
        Which readers ask, at most one, and where.
    writes, write_addresses[writer], write_data[writer]
        The same for writers. A write outside the bank does nothing.
    data
        The word that was asked for in the cycle before.
    read_held, write_held
        One bit a unit: it holds the read port, the write port.
    conflict
        One bit a unit: a unit before it holds the same port.
    """

    def __init__(self, *, bits: int, depth: int, readers: int, writers: int) -> None:
        self._bits, self._depth, self._readers, self._writers = bits, depth, readers, writers
        super().__init__(
            {
                "reads": In(readers),
                "read_addresses": In(data.ArrayLayout(ADDRESS_BITS, readers)),
                "writes": In(writers),
                "write_addresses": In(data.ArrayLayout(ADDRESS_BITS, writers)),
                "write_data": In(data.ArrayLayout(bits, writers)),
                "data": Out(bits),
                "read_held": In(len(Unit)),
                "write_held": In(len(Unit)),
                "conflict": Out(len(Unit)),
            },
            bits=bits,
            depth=depth,
            readers=readers,
            writers=writers,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The last port that asks wins; a program in which two ask is stopped."""
        m = Module()
        m.submodules.memory = memory = Memory1R1W(self._bits, self._depth)
        read, write = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        m.d.comb += [
            memory.read_enable.eq(self.reads.any() & (read < self._depth)),
            memory.read_address.eq(read),
            memory.write_enable.eq(self.writes.any() & (write < self._depth)),
            memory.write_address.eq(write),
            self.data.eq(memory.read_data),
        ]
        for number in range(self._readers):
            with m.If(self.reads[number]):
                m.d.comb += read.eq(self.read_addresses[number])
        for number in range(self._writers):
            with m.If(self.writes[number]):
                m.d.comb += [
                    write.eq(self.write_addresses[number]),
                    memory.write_data.eq(self.write_data[number]),
                ]
        m.d.comb += self.conflict.eq(_second(self.read_held) | _second(self.write_held))
        return m


def _second(held: Value) -> Value:
    """The units that hold a port which a unit before them holds."""
    return Cat(held[unit] & held[:unit].any() for unit in Unit)


class WordSelect(Shared):
    """A word of one of several banks, for a reader that asked in the cycle before.

    Parameters
    ----------
    bits, banks
        Width of a word; number of banks.

    Members
    -------
    bank
        The bank that is asked, counted from the first.
    rows[bank]
        What the banks give now.
    word
        The one that was asked for.
    """

    def __init__(self, *, bits: int, banks: int) -> None:
        self._banks = banks
        super().__init__(
            {
                "bank": In(range(banks)),
                "rows": In(data.ArrayLayout(bits, banks)),
                "word": Out(bits),
            },
            bits=bits,
            banks=banks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A register and a chain of choices."""
        m = Module()
        asked = Signal.like(self.bank)
        m.d.sync += asked.eq(self.bank)
        for number in range(self._banks):
            with m.If(asked == number):
                m.d.comb += self.word.eq(self.rows[number])
        return m
