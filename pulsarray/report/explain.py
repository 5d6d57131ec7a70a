"""Every cycle of a run above its bound, by cause, as the array (STREAM) saw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulsarray.isa import Opcode
from pulsarray.program import Program
from pulsarray.report.bound import Bound
from pulsarray.run import RunResult

__all__ = ["explain"]

_Rows = list[tuple[str, int, str]]


def explain(
    program: Program, result: RunResult, bound: Bound, units: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Causes with their cycles, which sum exactly to ``result.cycles - bound.cycles``.

    Every cycle in which the array did not take a word has one cause. The last row, negative,
    takes off those of them that the bound has too. ``units`` are the report's.
    """
    stream = units["stream"]
    rows: _Rows = [
        (
            "extra words",
            stream["busy"] - bound.words,
            "words streamed beyond those that the mathematics needs",
        ),
        ("weights", stream["stall"], _stall_text(units["weight"])),
        *((f"semaphore {w['semaphore']}", w["cycles"], _wait_text(w)) for w in stream["waits"]),
        ("start", stream["start"], "a cycle that only started an instruction"),
        ("drain", stream["drain"], "nothing to stream while the last sums were on their way"),
        *_idle(program, result, stream["idle"]),
        (
            "bound",
            -(bound.cycles - bound.words),
            "taken off: cycles that the bound needs beside streaming",
        ),
    ]
    return [
        {"cause": cause, "cycles": cycles, "text": text} for cause, cycles, text in rows if cycles
    ]


_WAITED_FOR = {
    "load": "data from memory",
    "weight": "operands to be free to overwrite",
    "stream": "the array's own sums",
    "vector": "the vector unit's results, or an accumulator bank that it empties",
    "store": "results to be written to memory",
}


def _stall_text(weight: Mapping[str, Any]) -> str:
    text = "the array was ready before its next weights"
    waits = [f"{w['cycles']:,} for {_names(w)}" for w in weight["waits"]]
    return f"{text} (cycles that WEIGHT itself waited: {', '.join(waits)})" if waits else text


def _names(wait: Mapping[str, Any]) -> str:
    return "/".join(name.upper() for name in wait["signalled_by"])


def _wait_text(wait: Mapping[str, Any]) -> str:
    what = " or ".join(_WAITED_FOR[name] for name in wait["signalled_by"])
    return f"waited for {_names(wait)}: {what}"


def _idle(program: Program, result: RunResult, idle: int) -> _Rows:
    """STREAM's idle cycles: before its first instruction, between, and by unit after its last."""
    if not result.events.size:
        return [("idle", idle, "the array had no instruction")]
    last: dict[str, int] = {}
    first = result.cycles
    for index, queue, _, complete in result.events.tolist():
        instruction = program.instructions[index]
        unit = instruction.format.unit
        assert unit is not None
        last[unit.name] = max(last.get(unit.name, -1), complete)
        if instruction.op is Opcode.STREAM:
            first = min(first, queue + 1)
    if "STREAM" not in last:
        return [("idle", idle, "the array had no instruction")]
    before = first
    now, tail = last["STREAM"] + 1, []
    for name, text in (("VECTOR", "last results computed"), ("STORE", "last results written")):
        end = max(now, last.get(name, -1) + 1)
        tail.append((f"end {name.lower()}", end - now, f"after the array was done: {text}"))
        now = end
    tail.append(("end", result.cycles - now, "after the array was done: the machine stops"))
    between = idle - before - sum(cycles for _, cycles, _ in tail)
    return [
        ("begin", before, "before the first STREAM was fetched and decoded"),
        ("fetch", between, "the next STREAM was not fetched and decoded yet"),
        *tail,
    ]
