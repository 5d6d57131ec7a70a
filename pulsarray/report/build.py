"""The report of a run: where every cycle went, and how far from the bound.

It is made from the program, the counters and the trace alone, so the model's and the RTL's are
made by the same code and can be compared field by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulsarray.config import SEMAPHORES
from pulsarray.errors import CheckFailed, InputError
from pulsarray.isa import Opcode, Unit, each
from pulsarray.program import Layer, Program
from pulsarray.registers import FETCH_STATES, UNIT_STATES
from pulsarray.report.bound import Bound, bound_of_layer, bound_of_run
from pulsarray.report.energy import energy
from pulsarray.report.energy_table import EnergyTable, load_table
from pulsarray.report.events import (
    Segment,
    layer_ends,
    layer_work,
    states_between,
    stream_segments,
    transfer_bytes,
    work,
)
from pulsarray.report.explain import explain
from pulsarray.report.hardware import hardware_of
from pulsarray.report.schema import REPORT, SCHEMA_VERSION, check_report
from pulsarray.report.synthesis import KIND, SYNTHESIS
from pulsarray.run import RunResult

__all__ = ["build_report", "differences", "load_report"]


def build_report(
    program: Program, result: RunResult, energies: EnergyTable | None = None
) -> dict[str, Any]:
    """The report of one run, as :data:`pulsarray.report.schema.REPORT` describes it.

    Parameters
    ----------
    program, result
        What ran, and what came of it.
    energies
        Energies of events for the estimate of energy; the default table if not given.

    Raises
    ------
    InputError
        If the configuration has no counters.
    CheckFailed
        If a unit's figures do not sum to the cycles.
    """
    config, counters = program.config, result.counters
    if not config.counters:
        raise InputError("report: the configuration has counters = false; set it to true")
    cycles, layers = result.cycles, program.layers
    bound = bound_of_run(layers, config, result.memory_interval)
    units = _units(program, counters)
    return {
        "schema_version": SCHEMA_VERSION,
        "source": result.source,
        "network": program.network,
        "batch": program.batch,
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "memory": {"latency": result.memory_latency, "interval": result.memory_interval},
        "instructions": len(program.instructions),
        "cycles": cycles,
        **_ratios(cycles, units["stream"]["busy"], bound, program, layers),
        "bytes_read": counters["read_beats"] * config.bus_bytes,
        "bytes_written": counters["write_beats"] * config.bus_bytes,
        "bound": {
            "compute": bound.compute,
            "memory": bound.memory,
            "fill": bound.fill,
            "words": bound.words,
        },
        "units": units,
        "layers": _layers(program, result) if config.trace else [],
        "explanation": explain(program, result, bound, units),
        "energy_estimate": energy(program, energies or load_table()),
        "hardware": hardware_of(config),
        "counters": {name: int(value) for name, value in counters.items()},
    }


def _ratios(
    cycles: int, busy: int, bound: Bound, program: Program, layers: Sequence[Layer]
) -> dict[str, Any]:
    macs = sum(layer.macs for layer in layers)
    return {
        "macs": macs,
        "array_utilization": busy / cycles if cycles else 0.0,
        "mac_utilization": macs / (cycles * program.config.dim**2) if cycles else 0.0,
        "bound_cycles": bound.cycles,
        "bound_ratio": cycles / bound.cycles if bound.cycles else None,
    }


def _units(program: Program, counters: Mapping[str, int]) -> dict[str, Any]:
    units: dict[str, Any] = {}
    waiters, signallers = _semaphore_users(program)
    for unit in Unit:
        name = unit.name.lower()
        states = {state: int(counters[f"{name}_{state}"]) for state in UNIT_STATES}
        waits = [
            {
                "semaphore": k,
                "cycles": int(counters[f"semaphore_{k}_wait"]),
                "signalled_by": signallers[k],
            }
            for k in range(SEMAPHORES)
            if waiters[k] is unit and counters[f"semaphore_{k}_wait"]
        ]
        _check_sum(f"{name} by semaphore", waits, states["wait"])
        _check_sum(name, [{"cycles": value} for value in states.values()], counters["cycles"])
        units[name] = {**states, "waits": waits}
    fetch = {state: int(counters[f"fetch_{state}"]) for state in FETCH_STATES}
    _check_sum("fetch", [{"cycles": value} for value in fetch.values()], counters["cycles"])
    return {**units, "fetch": fetch}


def _check_sum(name: str, parts: list[dict[str, Any]], whole: int) -> None:
    total = sum(part["cycles"] for part in parts)
    if total != whole:
        raise CheckFailed(f"counters: figures of {name} sum to {total}, not to {whole}")


def _semaphore_users(program: Program) -> tuple[list[Unit | None], list[list[str]]]:
    """For each semaphore the unit that waits for it, and the names of those that signal it."""
    waiters: list[Unit | None] = [None] * SEMAPHORES
    signallers: list[list[str]] = [[] for _ in range(SEMAPHORES)]
    users = {
        (unit, x["wait"], x["signal"])
        for x in program.instructions
        if (unit := x.format.unit) is not None
    }
    for unit, wait, signal in sorted(users):
        name = unit.name.lower()
        for k in range(SEMAPHORES):
            if wait >> k & 1:
                waiters[k] = unit
            if signal >> k & 1 and name not in signallers[k]:
                signallers[k].append(name)
    return waiters, [sorted(names) for names in signallers]


def _layers(program: Program, result: RunResult) -> list[dict[str, Any]]:
    works = each(program.instructions, lambda instruction: work(instruction, program.config))
    segments = list(stream_segments(program, result.events, result.cycles, works))
    rows, begin = [], 0
    ends = layer_ends(program, result.events, result.cycles)
    for layer, end in zip(program.layers, ends, strict=True):
        rows.append(_layer(program, segments, works, layer, (begin, end)))
        begin = end
    return rows


def _layer(
    program: Program,
    segments: Sequence[Segment],
    works: Sequence[int],
    layer: Layer,
    span: tuple[int, int],
) -> dict[str, Any]:
    config, cycles = program.config, span[1] - span[0]
    bound = bound_of_layer(layer, config)
    stream = states_between(segments, *span)
    busy = layer_work(program, layer, works)
    units: dict[str, Any] = {name: {"busy": value} for name, value in busy.items()}
    moved = dict.fromkeys((Opcode.LOAD, Opcode.STORE), 0)
    for instruction in program.instructions[layer.first : layer.last]:
        if instruction.op in moved:
            moved[instruction.op] += transfer_bytes(instruction, config)
    return {
        "name": layer.name,
        "kind": layer.kind,
        "m": layer.m,
        "k": layer.k,
        "n": layer.n,
        "cycles": cycles,
        **_ratios(cycles, stream["busy"], bound, program, [layer]),
        "bytes_read": moved[Opcode.LOAD],
        "bytes_written": moved[Opcode.STORE],
        "units": {**units, "stream": stream},
    }


def load_report(path: Path) -> dict[str, Any]:
    """Read a report file, of a run or of a synthesis.

    Raises
    ------
    InputError
        If it is unreadable or not a report of this version.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    is_synthesis = isinstance(report, dict) and report.get("kind") == KIND
    check_report(report, str(path), SYNTHESIS if is_synthesis else REPORT)
    assert isinstance(report, dict)
    return report


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Fields in which two reports of one program differ, ``source`` aside, with both values."""
    return list(_differences("", {**first, "source": ""}, {**second, "source": ""}))


def _differences(where: str, first: Any, second: Any) -> list[str]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = list(dict.fromkeys([*first, *second]))
        pairs = [(f"{where}.{n}" if where else n, first.get(n), second.get(n)) for n in names]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [
            (f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(first, second, strict=True))
        ]
    else:
        return [] if first == second else [f"{where}: {first} and {second}"]
    return [text for name, a, b in pairs for text in _differences(name, a, b)]
