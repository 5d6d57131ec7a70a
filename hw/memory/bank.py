"""One bank of memory words, with the units that share its two ports."""

from __future__ import annotations

import functools
import operator
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.ports import BANK_BITS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.isa import Bank, Unit

__all__ = ["READERS", "WRITERS", "MemoryBank", "OperandSelect", "WordSelect", "word_layout"]


def word_layout(depth: int) -> data.StructLayout:
    """The word that a unit asks for: whether it is ``inside`` a bank, and its address there."""
    return data.StructLayout({"inside": 1, "address": range(depth)})


READERS = {
    "scratchpad": (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.VECTOR, Unit.STORE),
    "accumulator": (Unit.VECTOR, Unit.VECTOR, Unit.STORE, Unit.STREAM),
}
"""Who reads banks of a kind."""
WRITERS = {
    "scratchpad": (Unit.LOAD, Unit.VECTOR),
    "accumulator": (Unit.LOAD, Unit.VECTOR, Unit.STREAM),
}
"""Who writes banks of a kind."""


class MemoryBank(Shared):
    """One bank: a memory, the choice of who reads and writes it, and the checks.

    Parameters
    ----------
    accumulator
        Its kind.
    bits, depth
        Width and number of its words.

    Members
    -------
    readers, writers, write_data
        The words that everybody asks for, of any bank.
    read_enables, write_enables, read_holds, write_holds
        One bit each: it asks for a word of this bank; it holds a port of this bank.
    data
        The word that was asked for in the cycle before.
    outside
        One bit a unit that reads, then one a unit that writes: it asks for a word outside the
        bank; nothing is read or written then.
    conflict
        Likewise: a unit before it holds the same port.
    """

    def __init__(self, *, accumulator: bool, bits: int, depth: int) -> None:
        self._bits, self._depth = bits, depth
        kind = "accumulator" if accumulator else "scratchpad"
        self._readers, self._writers = READERS[kind], WRITERS[kind]
        word, readers, writers = word_layout(depth), len(self._readers), len(self._writers)
        super().__init__(
            {
                "readers": In(data.ArrayLayout(word, readers)),
                "writers": In(data.ArrayLayout(word, writers)),
                **{f"read_{name}": In(readers) for name in ("enables", "holds")},
                **{f"write_{name}": In(writers) for name in ("enables", "holds")},
                "write_data": In(data.ArrayLayout(bits, len(self._writers))),
                "data": Out(bits),
                "outside": Out(2 * len(Unit)),
                "conflict": Out(2 * len(Unit)),
            },
            accumulator=accumulator,
            bits=bits,
            depth=depth,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The last port that asks wins; a program in which two ask is stopped."""
        m = Module()
        m.submodules.memory = memory = Memory1R1W(self._bits, self._depth)
        m.d.comb += [
            self.data.eq(memory.read_data),
            memory.write_data.eq(self.write_data[0]),  # what is not written may be anything
        ]
        conflicts, outsides = [], []
        for kind, units, requests in (
            ("read", self._readers, self.readers),
            ("write", self._writers, self.writers),
        ):
            held = Signal(len(Unit), name=f"{kind}_held")
            beyond = Signal(len(Unit), name=f"{kind}_beyond")
            enables, holds = (getattr(self, f"{kind}_{name}") for name in ("enables", "holds"))
            for place, unit in enumerate(units):
                request = requests[place]
                with m.If(holds[place]):
                    m.d.comb += held[unit].eq(1)
                with m.If(enables[place]):
                    m.d.comb += [
                        getattr(memory, f"{kind}_enable").eq(request.inside),
                        getattr(memory, f"{kind}_address").eq(request.address),
                    ]
                    if kind == "write":
                        m.d.comb += memory.write_data.eq(self.write_data[place])
                    with m.If(~request.inside):
                        m.d.comb += beyond[unit].eq(1)
            conflicts.append(Cat(held[unit] & held[:unit].any() for unit in Unit))
            outsides.append(beyond)
        m.d.comb += [
            self.conflict.eq(Cat(conflicts)),
            self.outside.eq(Cat(outsides)),
        ]
        return m


class WordSelect(Shared):
    """A word of one of several banks, for a reader that asked in the cycle before.

    Parameters
    ----------
    bits, banks, first
        Width of a word; banks, and the number of the first.

    Members
    -------
    bank
        The bank that is asked; for any other than these the word says nothing.
    rows[bank]
        What the banks give now.
    word
        The one that was asked for.
    """

    def __init__(self, *, bits: int, banks: int, first: int) -> None:
        self._banks, self._first = banks, first
        super().__init__(
            {
                "bank": In(BANK_BITS),
                "rows": In(data.ArrayLayout(bits, banks)),
                "word": Out(bits),
            },
            bits=bits,
            banks=banks,
            first=first,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A register that holds just what tells the banks apart, and a tree of choices."""
        m = Module()
        asked = Signal(range(max(2, self._banks)))
        m.d.sync += asked.eq(self.bank - self._first)
        m.d.comb += self.word.eq(
            chosen([self.rows[number] for number in range(self._banks)], asked)
        )
        return m


class OperandSelect(Shared):
    """A word of one of several banks of both kinds, for a reader that asked in the cycle before.

    Parameters
    ----------
    dim, operand_bits, acc_bits
        Lanes of a word and widths of both kinds of lanes.
    scratchpads, accumulators
        Banks of each kind.

    Members
    -------
    bank
        The bank that is asked; of one that is none the operands are 0.
    words[bank], sums[bank]
        What the banks give now.
    operand
        The word that was asked for: sums, or the lanes of an operand word plus half their range,
        which are numbers without a sign.
    """

    def __init__(
        self, *, dim: int, operand_bits: int, acc_bits: int, scratchpads: int, accumulators: int
    ) -> None:
        self._dim, self._operand_bits = dim, operand_bits
        words = data.ArrayLayout(signed(operand_bits), dim)
        sums = data.ArrayLayout(signed(acc_bits), dim)
        super().__init__(
            {
                "bank": In(BANK_BITS),
                "words": In(data.ArrayLayout(words, scratchpads)),
                "sums": In(data.ArrayLayout(sums, accumulators)),
                "operand": Out(sums),
            },
            dim=dim,
            operand_bits=operand_bits,
            acc_bits=acc_bits,
            scratchpads=scratchpads,
            accumulators=accumulators,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A register bit a bank: what is not asked for counts as 0, and all are put together."""
        m = Module()
        terms: list[list[Value]] = [[] for _ in range(self._dim)]
        for kind, first in (("words", 0), ("sums", int(Bank.ACCUMULATOR))):
            for number, row in enumerate(getattr(self, kind)):
                asked = Signal(name=f"{kind}_asked{number}")
                m.d.sync += asked.eq(self.bank == first + number)
                for lane in range(self._dim):
                    top = ~row[lane][-1] if kind == "words" else row[lane][-1]
                    value = Cat(row[lane][:-1], top)
                    terms[lane].append(value & asked.replicate(len(value)))
        for lane, parts in enumerate(terms):
            m.d.comb += self.operand[lane].eq(functools.reduce(operator.or_, parts))
        return m
