"""What all units share: the interface, and the sequencer with queue, IR and start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.blocks.shared import Shared

__all__ = ["Sequencer", "unit_members"]


def unit_members(instruction_bits: int) -> dict[str, Any]:
    """Ports that every unit has (docs/machine.md, section 3).

    Members
    -------
    start, instruction, index
        In cycle s: the instruction and its number.
    ready
        The front can take a start in this cycle.
    active, stall
        The front is at work; and cannot proceed in this cycle.
    busy
        Some instruction has started and is not complete.
    complete, complete_index, complete_signal
        In cycle c: which instruction completes, and the semaphores that it signals.
    error, error_index
        An error code in the cycle in which the error is found, and the instruction.
    halt
        An error happened: issue nothing more.
    clear
        Forget everything.
    """
    return {
        "start": In(1),
        "instruction": In(instruction_bits),
        "index": In(INDEX_BITS),
        "ready": Out(1),
        "active": Out(1),
        "stall": Out(1),
        "busy": Out(1),
        "complete": Out(1),
        "complete_index": Out(INDEX_BITS),
        "complete_signal": Out(SEMAPHORES),
        "error": Out(4),
        "error_index": Out(INDEX_BITS),
        "halt": In(1),
        "clear": In(1),
    }


class Sequencer(Shared):
    """Queue, instruction register and start of one unit.

    The instruction register is what the queue's memory read last, and one more row of the memory
    takes what FETCH is gathering: nothing is copied from one to the other.

    Parameters
    ----------
    parts
        Bits that are kept of each part of an instruction (:func:`packed_parts`).
    wait
        The first bit of the field ``wait`` in what is kept.
    depth
        Instructions that the queue holds.
    blocks
        Whether its memory is made of block RAM; else of tables.

    Members
    -------
    write, part[number], part_index
        FETCH shows parts of the instruction that it gathers (one bit each), and its index with
        part 0; there is always room for one instruction.
    push
        FETCH dispatches that instruction (only while ``room``).
    room
        The queue has room.
    available
        Semaphores that count at least one.
    ready, start, instruction, index
        To the unit: as in :func:`unit_members`.
    take
        Semaphores to take one from, in the cycle of the start.
    occupied
        The IR holds an instruction; ``missing`` semaphores keep it from starting.
    pop
        An instruction leaves the queue for the IR.
    empty
        Neither queue nor IR holds anything.
    halt, clear
        As in :func:`unit_members`.
    """

    def __init__(self, parts: Sequence[int], wait: int, depth: int, *, blocks: bool) -> None:
        self._parts, self._wait, self._depth = parts, wait, depth
        self._style = "block" if blocks else "distributed"
        bits = sum(parts)
        super().__init__(
            {
                "write": In(len(parts)),
                "part": In(bits),
                "part_index": In(INDEX_BITS),
                "push": In(1),
                "room": Out(1),
                "available": In(SEMAPHORES),
                "ready": In(1),
                "start": Out(1),
                "instruction": Out(bits),
                "index": Out(INDEX_BITS),
                "take": Out(SEMAPHORES),
                "occupied": Out(1),
                "missing": Out(SEMAPHORES),
                "pop": Out(1),
                "empty": Out(1),
                "halt": In(1),
                "clear": In(1),
            },
            **{f"part{number}": bits for number, bits in enumerate(parts)},
            wait=wait,
            depth=depth,
            blocks=blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The IR reloads in the cycle in which its instruction starts."""
        m = Module()
        level = Signal(range(self._depth + 1))
        wait = self.instruction[self._wait :][:SEMAPHORES]
        m.d.comb += [
            self.missing.eq(wait & ~self.available),
            self.start.eq(self.occupied & self.ready & ~self.missing.any() & ~self.halt),
            self.take.eq(Mux(self.start, wait, 0)),
            self.pop.eq((level != 0) & (~self.occupied | self.start)),
            self.room.eq(level != self._depth),
            self.empty.eq((level == 0) & ~self.occupied),
        ]
        m.d.sync += level.eq(level + self.push - self.pop)
        with m.If(self.pop):
            m.d.sync += self.occupied.eq(1)
        with m.Elif(self.start):
            m.d.sync += self.occupied.eq(0)
        with m.If(self.clear):
            m.d.sync += [self.occupied.eq(0), level.eq(0)]
        self._rows(m)
        return m

    def _rows(self, m: Module) -> None:
        """A ring: the queue, and the row that FETCH fills, which is not one that is read."""
        rows = self._depth + 1
        enter, leave = Signal(range(rows), name="enter"), Signal(range(rows), name="leave")
        for moved, place in ((self.push, enter), (self.pop, leave)):
            with m.If(moved):
                m.d.sync += place.eq(Mux(place == rows - 1, 0, place + 1))
            with m.If(self.clear):
                m.d.sync += place.eq(0)
        first = 0
        for number, bits in enumerate(self._parts):
            written, read = self.part[first : first + bits], self.instruction[first : first + bits]
            if number == 0:
                written, read = Cat(written, self.part_index), Cat(read, self.index)
            m.submodules[f"part{number}"] = store = Memory1R1W(len(written), rows, self._style)
            m.d.comb += [
                store.write_enable.eq(self.write[number]),
                store.write_address.eq(enter),
                store.write_data.eq(written),
                store.read_enable.eq(self.pop),
                store.read_address.eq(leave),
                read.eq(store.read_data),
            ]
            first += bits
