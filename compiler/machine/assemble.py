"""From operations in sequential order to a program in the order of time.

FETCH hands out instructions in program order and stops at a full queue, so an instruction should
stand in the program where its time comes. That order is found by running the timing model with the
longest queues a machine can have and sorting by start. It cannot deadlock: whatever an instruction
waits for starts before it in that run, hence stands before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

from pulsarray.compiler.machine.check import check_semaphores
from pulsarray.compiler.machine.emitter import Operation
from pulsarray.config import QUEUE_MAX, Config
from pulsarray.isa import Instruction, Opcode, Unit, encode_all
from pulsarray.model.timing import TimingModel
from pulsarray.run import RunResult

__all__ = ["ASSUMED_LATENCY", "Assembly", "assemble"]

ASSUMED_LATENCY = 64
"""Memory latency, in cycles, that programs are optimized for; they run with any."""
_END = Instruction.make(Opcode.END)


@dataclass(frozen=True)
class Assembly:
    """A program's code.

    Parameters
    ----------
    instructions
        Its instructions, END included.
    layers
        For each instruction but END, the layer it works for.
    timing
        What the timing model says at :data:`ASSUMED_LATENCY`.
    """

    instructions: Sequence[Instruction]
    layers: Sequence[int]
    timing: RunResult

    @property
    def cycles(self) -> int:
        """Cycles at :data:`ASSUMED_LATENCY`."""
        return self.timing.cycles

    @cached_property
    def code(self) -> bytes:
        """Its bytes."""
        return encode_all(self.instructions)

    def boundaries(self, count: int) -> list[tuple[int, int]]:
        """Contiguous ranges of instructions, one a layer.

        Each begins with its layer's first STREAM, or its first VECTOR where it has none; what
        prepares a layer while the one before still runs is in that one's range.
        """
        starts: dict[tuple[int, Unit], int] = {}
        for index, layer in reversed(list(enumerate(self.layers))):
            unit = self.instructions[index].format.unit
            if unit in (Unit.STREAM, Unit.VECTOR):
                starts[layer, unit] = index
        end = len(self.layers)
        limits = [end] * (count + 1)
        for layer in range(count - 1, -1, -1):
            first = starts.get((layer, Unit.STREAM), starts.get((layer, Unit.VECTOR), end))
            limits[layer] = min(first if layer else 0, limits[layer + 1])
        return list(pairwise(limits))


@lru_cache(16)
def _patient(config: Config) -> Config:
    """The machine with the longest queues that there are."""
    return replace(config, queue_depth=QUEUE_MAX)


def assemble(operations: Sequence[Operation], config: Config) -> Assembly:
    """Order the operations."""
    instructions = [operation.instruction() for operation in operations]
    size = sum(instruction.format.bytes for instruction in (*instructions, _END))
    model = TimingModel(_patient(config), instructions, size)
    starts = model.starts(memory_latency=ASSUMED_LATENCY)
    order = sorted(range(len(starts)), key=starts.__getitem__)
    ordered = [instructions[i] for i in order]
    check_semaphores(ordered, config)
    model.reorder(order, config)
    timing = model.run(memory_latency=ASSUMED_LATENCY)
    return Assembly([*ordered, _END], [operations[i].layer for i in order], timing)
