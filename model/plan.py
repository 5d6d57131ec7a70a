"""A program as the timing model needs it: what each instruction costs, not what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod

from pulsarray.config import SEMAPHORES, Config
from pulsarray.errors import UnknownResult
from pulsarray.isa import (
    UNIT_BYTES,
    Bank,
    Instruction,
    Opcode,
    ScaleAction,
    StreamFlag,
    Unit,
    WeightFlag,
)
from pulsarray.model.addresses import getter
from pulsarray.model.channels import Bursts
from pulsarray.stages import scale_cycles

__all__ = ["Plan", "Step", "bits"]


# Enumerations cost more than the arithmetic here, and this runs for every instruction.
_NONE, _ACCUMULATOR, _TABLE = int(Bank.NONE), int(Bank.ACCUMULATOR), int(Bank.TABLE)
_WEIGHT_TRANSPOSE = int(WeightFlag.TRANSPOSE)
_READ, _WRITE = int(ScaleAction.READ), int(ScaleAction.WRITE)
_STREAM_TRANSPOSE, _STREAM_KEEP = int(StreamFlag.TRANSPOSE), int(StreamFlag.KEEP)


@cache
def bits(mask: int) -> tuple[int, ...]:
    """Numbers of the bits set in a semaphore mask, lowest first."""
    return tuple(k for k in range(SEMAPHORES) if mask >> k & 1)


@dataclass(slots=True, eq=False, repr=False)
class Step:
    """One instruction: its cost, then its times as they become known (-1 until then).

    ``work`` are the cycles in which its front issues something; ``words`` the words of a pass
    (STREAM) or of the instruction (VECTOR, 0 for EXPONENT and SCALE); ``tiles`` the tiles of
    WEIGHT or the passes of STREAM; ``first`` the first word written (LOAD).
    """

    index: int
    unit: int
    units: int
    waits: tuple[int, ...]
    signals: tuple[int, ...]
    # Set for the units that use them: setting all would take longer than anything else here.
    work: int = field(init=False)
    bank: int = field(init=False)
    bursts: list[int] = field(init=False)
    word_beats: int = field(init=False)
    words: int = field(init=False)
    tiles: int = field(init=False)
    transposed: bool = field(init=False)
    keep: bool = field(init=False)
    sources: tuple[int, ...] = field(init=False)
    targets: tuple[int, ...] = field(init=False)
    dispatch: int = -1
    queue: int = -1
    start: int = -1
    first: int = -1
    end: int = -1
    complete: int = -1


class Plan:
    """Every instruction's cost.

    Parameters
    ----------
    config, instructions
        The machine, and the program's instructions up to END.
    fetches
        Fetches of its code.

    Members
    -------
    steps, queues
        Every instruction but END, in program order, and by unit.
    waiter
        For each semaphore the unit that waits for it.

    Raises
    ------
    UnknownResult
        If two units wait for the same semaphore.
    """

    def __init__(self, config: Config, instructions: Sequence[Instruction], fetches: int) -> None:
        self.config, self.fetches = config, fetches
        self._word_beats, self._dim = config.beats_per_word, config.dim
        self._scale_cycles, self._word_cycles = scale_cycles(config), config.word_cycles
        self._bursts = Bursts(config)
        self.steps: list[Step] = []
        self.waiter = [-1] * SEMAPHORES
        for index, instruction in enumerate(instructions):
            form, values = instruction.format, instruction.values
            if form.unit is None:
                break
            step = Step(index, form.unit, form.units, bits(values[2]), bits(values[3]))
            _COSTS[form.opcode](self, step, instruction)
            self.steps.append(step)
            if step.waits:
                self._note_waits(step)
        self.queues = self._queues()
        self.fetch_units = sum(step.units for step in self.steps) + 1
        self.units_per_fetch = config.fetch_bytes // UNIT_BYTES
        self.fetch_beats = config.fetch_bytes // config.bus_bytes

    def _queues(self) -> list[list[Step]]:
        return [[step for step in self.steps if step.unit == unit] for unit in Unit]

    def reorder(self, order: Sequence[int], config: Config) -> None:
        """Put the instructions in another order, for a machine with other queues."""
        self.config, self.steps = config, [self.steps[index] for index in order]
        for index, step in enumerate(self.steps):
            step.index = index
        self.queues = self._queues()

    def reset(self) -> None:
        """Forget the times of a run."""
        for step in self.steps:
            step.dispatch = step.queue = step.start = step.first = step.end = step.complete = -1

    def _note_waits(self, step: Step) -> None:
        for k in step.waits:
            if self.waiter[k] not in (-1, step.unit):
                units = f"{Unit(self.waiter[k]).name} and {Unit(step.unit).name}"
                raise UnknownResult(step.index, f"semaphore {k} is waited for by {units}")
            self.waiter[k] = step.unit

    def _transfer(self, step: Step, instruction: Instruction) -> None:
        step.bank = bank = instruction["bank"]
        step.bursts = self._bursts.lengths(instruction)
        step.word_beats = self._word_beats * (4 if _ACCUMULATOR <= bank < _TABLE else 1)
        step.work = sum(step.bursts) if step.unit == Unit.STORE else len(step.bursts)

    def _weight(self, step: Step, instruction: Instruction) -> None:
        step.bank, flags, outer, inner = _WEIGHT(instruction.values)
        step.tiles = outer * inner
        step.work = step.tiles * self._dim
        step.transposed = bool(flags & _WEIGHT_TRANSPOSE)

    def _stream(self, step: Step, instruction: Instruction) -> None:
        step.bank, target, flags, inner, *counts = _STREAM(instruction.values)
        split = len(counts) - inner
        step.tiles, step.words = prod(counts[:split]), prod(counts[split:])
        step.work = step.tiles * step.words
        step.targets = (target,)
        step.transposed = bool(flags & _STREAM_TRANSPOSE)
        step.keep = bool(flags & _STREAM_KEEP)

    def _vector(self, step: Step, instruction: Instruction) -> None:
        a, b, target, acc, *counts = _VECTOR(instruction.values)
        step.words = prod(counts)
        step.work = step.words * self._word_cycles
        step.sources = (a,) if b == _NONE else (a, b)
        step.targets = tuple(bank for bank in (target, acc) if bank != _NONE)

    def _exponent(self, step: Step, instruction: Instruction) -> None:
        """One cycle of VECTOR's front, nothing else."""
        step.work, step.words = 1, 0
        step.sources = step.targets = ()

    def _scale(self, step: Step, instruction: Instruction) -> None:
        """VECTOR's front until its pipeline is empty."""
        step.work, step.words = self._scale_cycles, 0
        bank, action = (instruction["bank"],), instruction["action"]
        step.sources = bank if action == _READ else ()
        step.targets = bank if action == _WRITE else ()


_WEIGHT = getter(Opcode.WEIGHT, "bank", "flags", "count0", "count1")
_STREAM = getter(
    Opcode.STREAM,
    *("source_bank", "target_bank", "flags", "inner"),
    *(f"count{level}" for level in range(5)),
)
_VECTOR = getter(
    Opcode.VECTOR,
    *("a_bank", "b_bank", "target_bank", "acc_bank"),
    *(f"count{level}" for level in range(4)),
)
_COSTS = {
    Opcode.LOAD: Plan._transfer,
    Opcode.STORE: Plan._transfer,
    Opcode.WEIGHT: Plan._weight,
    Opcode.STREAM: Plan._stream,
    Opcode.VECTOR: Plan._vector,
    Opcode.EXPONENT: Plan._exponent,
    Opcode.SCALE: Plan._scale,
}
