"""When each unit worked on which instruction, and what it waited for, from a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from pulsarray.errors import InputError
from pulsarray.isa import Instruction, Opcode, ScaleAction, Unit
from pulsarray.operations import Semaphore
from pulsarray.program import Layer, Program
from pulsarray.report.events import stream_end
from pulsarray.report.listing import tensor_at
from pulsarray.report.products import product_kind
from pulsarray.run import RunResult

__all__ = ["UPDATE", "Span", "chrome_trace", "spans", "told"]

UPDATE = "update"
"""New values of what a training keeps, after the forward pass: computed, and moved."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Cycles ``first`` to ``after - 1`` of a unit.

    Parameters
    ----------
    unit, first, after
        Who and when: from an instruction's start to the next one's, or to its own completion (of a
        STREAM the last word that it reads).
    index, text
        The instruction.
    layer, phase
        What it is part of; of a training ``forward``, ``input gradient``, ``weight gradient``,
        ``backward`` (what lies between) or ``update``, else no phase.
    tensor
        What it moves from or to memory; empty for others.
    complete
        The cycle of its completion.
    waits
        What the unit waited for in this span; empty if it worked.
    """

    unit: str
    first: int
    after: int
    index: int
    text: str
    layer: str
    phase: str = ""
    tensor: str = ""
    complete: int
    waits: str = ""


def spans(program: Program, result: RunResult) -> list[Span]:
    """Waits and work of all units, in the order of time.

    Raises
    ------
    InputError
        If the machine has no trace.
    """
    if not program.config.trace:
        raise InputError("timeline: the configuration has trace = false; set it to true")
    about = _Program(program)
    drawn = [
        span
        for unit in Unit
        for span in about.lane(
            [e for e in result.events.tolist() if about.unit(e[0]) is unit], result.cycles
        )
    ]
    return sorted(drawn, key=lambda span: (span.first, span.index))


def told(program: Program) -> Iterator[tuple[Unit, dict[str, str]]]:
    """For each instruction of a unit in order: the unit, and what a timeline says of it.

    Keys: ``opcode``, ``layer``, ``phase``, ``tensor``, ``waits`` (what it may wait for) and
    ``fields``, the rest of its assembler text.
    """
    about = _Program(program)
    for index in range(len(program.instructions)):
        unit = about.unit(index)
        if unit is not None:
            yield unit, about.words(index)


class _Program:
    """What there is to say about a program's instructions."""

    def __init__(self, program: Program) -> None:
        self._program, self._code = program, program.instructions
        self._layers = [x for x in program.layers for _ in range(x.first, x.last)]
        self._states = {tensor.name for tensor in program.with_role("state")}
        self._signallers = _signallers(self._code)
        self._trains = "training" in program.notes
        self._computed = set(self._kept_by_vector()) if self._trains else set()

    def unit(self, index: int) -> Unit | None:
        """Who executes an instruction."""
        return self._code[index].format.unit

    def lane(self, events: Sequence[Sequence[int]], cycles: int) -> Iterator[Span]:
        """Spans of one unit, from its events in order."""
        free = 0
        starts = [event[2] for event in events[1:]]
        for (index, queue, start, complete), following in zip(
            events, [*starts, cycles], strict=True
        ):
            told = self._told(index, complete)
            first = max(queue + 1, free)
            if self._code[index]["wait"] and first < start:
                yield Span(first=first, after=start, waits=self._reasons(index), **told)
            free = max(start + 1, min(self._end(index, complete) + 1, following))
            yield Span(first=start, after=free, **told)

    def _end(self, index: int, complete: int) -> int:
        """The last cycle of a unit's front: of STREAM it is known, of others the completion."""
        instruction = self._code[index]
        if instruction.op is Opcode.STREAM:
            return stream_end(instruction, complete, self._program.config)
        return complete

    def _told(self, index: int, complete: int) -> dict[str, Any]:
        instruction = self._code[index]
        layer = self._layers[index] if index < len(self._layers) else None
        return {
            "unit": "" if instruction.format.unit is None else instruction.format.unit.name,
            "index": index,
            "text": instruction.text(),
            "layer": "" if layer is None else layer.name,
            "phase": self._phase(instruction, index, layer),
            "tensor": self._tensor(instruction),
            "complete": complete,
        }

    def words(self, index: int) -> dict[str, str]:
        """What is to be said of an instruction whenever it runs."""
        span = self._told(index, 0)
        opcode, _, fields = span["text"].partition(" ")
        named = {name: span[name] for name in ("layer", "phase", "tensor")}
        return {**named, "opcode": opcode, "waits": self._reasons(index), "fields": fields}

    def _reasons(self, index: int) -> str:
        """Semaphores that an instruction takes, with the units that signal them."""
        return ", ".join(
            f"{semaphore.name} from {signallers}"
            for semaphore, signallers in self._signallers.items()
            if self._code[index]["wait"] & semaphore
        )

    def _tensor(self, instruction: Instruction) -> str:
        moves = instruction.op in (Opcode.LOAD, Opcode.STORE)
        return tensor_at(self._program, instruction["address"]) if moves else ""

    def _phase(self, instruction: Instruction, index: int, layer: Layer | None) -> str:
        if not self._trains or layer is None:
            return ""
        if instruction.op is Opcode.STREAM:
            return product_kind(instruction, index, self._program.layers)
        if layer.kind != "backward":
            return layer.kind
        steers = instruction.op is Opcode.SCALE and instruction["action"] != ScaleAction.READ
        kept = steers or index in self._computed or self._keeps(instruction)
        return UPDATE if kept else layer.kind

    def _keeps(self, instruction: Instruction) -> bool:
        """Whether an instruction moves a tensor that a training keeps."""
        return self._tensor(instruction).partition(" + ")[0] in self._states

    def _kept_by_vector(self) -> Iterator[int | None]:
        """For each STORE of what a training keeps, the VECTOR that computed its first word."""
        written: dict[int, list[tuple[int, int, int]]] = {}
        for index, instruction in enumerate(self._code):
            if instruction.op is Opcode.VECTOR:
                words = prod(instruction[f"count{level}"] for level in range(4))
                for place in ("target", "acc"):
                    first = instruction[place]
                    lies = (first, first + words, index)
                    written.setdefault(instruction[f"{place}_bank"], []).append(lies)
            elif instruction.op is Opcode.STORE and self._keeps(instruction):
                word, places = instruction["local"], written.get(instruction["bank"], [])
                writers = (at for first, after, at in reversed(places) if first <= word < after)
                yield next(writers, None)


def _signallers(instructions: Sequence[Instruction]) -> dict[Semaphore, str]:
    """For each semaphore the units that signal it."""
    names: dict[Semaphore, set[str]] = {semaphore: set() for semaphore in Semaphore}
    for instruction in instructions:
        if instruction.format.unit is not None:
            for semaphore in Semaphore:
                if instruction["signal"] & semaphore:
                    names[semaphore].add(instruction.format.unit.name)
    return {semaphore: "/".join(sorted(units)) for semaphore, units in names.items()}


def chrome_trace(program: Program, result: RunResult) -> dict[str, Any]:
    """Spans in the form that Chrome and Perfetto open; a cycle is told as a microsecond.

    Raises
    ------
    InputError
        If the machine has no trace.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": program.network}}
    ]
    for unit in Unit:
        about = {"ph": "M", "pid": 1, "tid": int(unit)}
        events.append({**about, "name": "thread_name", "args": {"name": unit.name}})
        events.append({**about, "name": "thread_sort_index", "args": {"sort_index": int(unit)}})
    events += [_event(span) for span in spans(program, result)]
    other = {"unit": "a microsecond is a cycle", "config": program.config.label}
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": other}


def _event(span: Span) -> dict[str, Any]:
    name = "wait" if span.waits else " ".join(filter(None, (span.layer, span.phase))) or span.text
    told = ("index", "text", "layer", "phase", "tensor", "complete", "waits")
    return {
        "ph": "X",
        "name": name,
        "cat": "wait" if span.waits else span.phase or "work",
        "pid": 1,
        "tid": int(Unit[span.unit]),
        "ts": span.first,
        "dur": span.after - span.first,
        "args": {field: getattr(span, field) for field in told if getattr(span, field) != ""},
    }
