"""What all units share: the interface, and the sequencer with queue, IR and start."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES
from pulsarray.hw.blocks.fifo import Fifo
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

    Parameters
    ----------
    instruction_bits, wait
        Width of what is kept of an instruction, and the first bit of its field ``wait``.
    depth
        Instructions that the queue holds.

    Members
    -------
    push, push_instruction, push_index
        FETCH dispatches an instruction (only while ``room``).
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
    pop, pop_index
        An instruction leaves the queue for the IR.
    empty
        Neither queue nor IR holds anything.
    halt, clear
        As in :func:`unit_members`.
    """

    def __init__(self, instruction_bits: int, wait: int, depth: int) -> None:
        self._bits, self._wait, self._depth = instruction_bits, wait, depth
        super().__init__(
            {
                "push": In(1),
                "push_instruction": In(instruction_bits),
                "push_index": In(INDEX_BITS),
                "room": Out(1),
                "available": In(SEMAPHORES),
                "ready": In(1),
                "start": Out(1),
                "instruction": Out(instruction_bits),
                "index": Out(INDEX_BITS),
                "take": Out(SEMAPHORES),
                "occupied": Out(1),
                "missing": Out(SEMAPHORES),
                "pop": Out(1),
                "pop_index": Out(INDEX_BITS),
                "empty": Out(1),
                "halt": In(1),
                "clear": In(1),
            },
            instruction_bits=instruction_bits,
            wait=wait,
            depth=depth,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The IR reloads in the cycle in which its instruction starts."""
        m = Module()
        queue = Fifo(self._bits + INDEX_BITS, self._depth)
        m.submodules.queue = queue
        head, level = queue.head, queue.level
        wait = self.instruction[self._wait :][:SEMAPHORES]
        m.d.comb += [
            self.missing.eq(wait & ~self.available),
            self.start.eq(self.occupied & self.ready & ~self.missing.any() & ~self.halt),
            self.take.eq(Mux(self.start, wait, 0)),
            self.pop.eq((level != 0) & (~self.occupied | self.start)),
            self.pop_index.eq(head[:INDEX_BITS]),
            self.room.eq(level != self._depth),
            self.empty.eq((level == 0) & ~self.occupied),
            queue.push.eq(self.push),
            queue.entering.eq(Cat(self.push_index, self.push_instruction)),
            queue.pop.eq(self.pop),
            queue.clear.eq(self.clear),
        ]
        with m.If(self.pop):
            m.d.sync += [
                Cat(self.index, self.instruction).eq(head),
                self.occupied.eq(1),
            ]
        with m.Elif(self.start):
            m.d.sync += self.occupied.eq(0)
        with m.If(self.clear):
            m.d.sync += self.occupied.eq(0)
        return m
