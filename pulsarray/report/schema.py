"""The report's schema as data: JSON Schema, checker and ``docs/report.md`` derive from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pulsarray.errors import InputError
from pulsarray.isa import Unit
from pulsarray.registers import FETCH_STATES, UNIT_STATES

__all__ = ["REPORT", "SCHEMA_VERSION", "Entry", "check_report", "json_schema"]

SCHEMA_VERSION = 1
"""Version of the report; it changes when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Entry:
    """One field of the report.

    Parameters
    ----------
    name
        Name of the field.
    kind
        ``integer``, ``number``, ``string``, ``object`` (fields are ``entries``), ``list`` (of
        objects with ``entries``), ``strings`` (a list of them) or ``map`` (any names to integers
        or booleans).
    doc
        What it says, with its unit.
    entries
        Fields of the object, or of each object of the list.
    nullable
        Whether it may be null.
    optional
        Whether reports of earlier releases may lack it.
    """

    name: str
    kind: str
    doc: str
    entries: tuple[Entry, ...] = ()
    nullable: bool = False
    optional: bool = False


_STATE_DOCS = {
    "busy": "cycles in which the unit did its work",
    "stall": "cycles in which its front had an instruction and could not proceed",
    "wait": "cycles in which its next instruction waited for a semaphore",
    "start": "cycles that only started an instruction",
    "drain": "cycles in which nothing was left to issue and results were still on their way",
    "idle": "cycles without an instruction",
}
_FETCH_DOCS = {
    "busy": "cycles in which 32 bytes of the program were taken in",
    "queue": "cycles in which an instruction waited for room in its unit's queue",
    "memory": "cycles in which the program had not arrived from memory",
    "idle": "cycles after the END was dispatched",
}


def _states(docs: Mapping[str, str], names: tuple[str, ...]) -> Iterator[Entry]:
    for name in names:
        yield Entry(name, "integer", docs[name])


_WAITS = Entry(
    "waits",
    "list",
    "the unit's `wait` by semaphore; their cycles sum to it",
    (
        Entry("semaphore", "integer", "number of the semaphore"),
        Entry("cycles", "integer", "cycles waited for it (the lowest empty one counts)"),
        Entry("signalled_by", "strings", "units whose instructions signal it"),
    ),
)


def _units() -> Iterator[Entry]:
    for unit in Unit:
        states = (*_states(_STATE_DOCS, UNIT_STATES), _WAITS)
        doc = f"{unit.name}: six figures that sum to `cycles`, and its waits"
        yield Entry(unit.name.lower(), "object", doc, states)
    states = tuple(_states(_FETCH_DOCS, FETCH_STATES))
    yield Entry("fetch", "object", "FETCH: four figures that sum to `cycles`", states)


def _layer_units() -> Iterator[Entry]:
    busy = Entry("busy", "integer", "cycles of work of the layer's own instructions")
    for unit in Unit:
        if unit is Unit.STREAM:
            states = tuple(_states(_STATE_DOCS, UNIT_STATES))
            doc = "STREAM: six figures that sum to the layer's `cycles`"
            yield Entry("stream", "object", doc, states)
        else:
            yield Entry(unit.name.lower(), "object", unit.name, (busy,))


def _figures() -> tuple[Entry, ...]:
    """Fields that a run and a layer share."""
    return (
        Entry("macs", "integer", "multiply-accumulates of the mathematics, M x K x N"),
        Entry(
            "array_utilization",
            "number",
            "cycles in which the array takes a word (STREAM `busy`), divided by `cycles`",
        ),
        Entry("mac_utilization", "number", "`macs` divided by `cycles` and by D x D"),
        Entry(
            "bound_cycles",
            "integer",
            "no program on this configuration can take fewer cycles (a layer's: the array alone)",
        ),
        Entry(
            "bound_ratio",
            "number",
            "`cycles` divided by `bound_cycles`: 1.0 is the best possible",
            nullable=True,
        ),
        Entry("bytes_read", "integer", "bytes read from memory"),
        Entry("bytes_written", "integer", "bytes written to memory"),
    )


_PART_DOCS = {
    "array": "products and sums of the array",
    "banks": "words of banks read and written",
    "lanes": "sums and products of the vector unit",
    "memory": "bytes that LOAD and STORE move",
    "program": "bytes of the program that are fetched",
}


def _energy() -> Iterator[Entry]:
    """Fields of the estimate of energy."""
    units = (*(unit.name.lower() for unit in Unit), "fetch")
    yield Entry("table", "string", "name of the table of energies")
    yield Entry("source", "string", "where its figures come from")
    yield Entry("total_uj", "number", "microjoule of the run")
    parts = tuple(Entry(name, "number", doc) for name, doc in _PART_DOCS.items())
    yield Entry("parts_uj", "object", "microjoule by what happens; they sum to the total", parts)
    spent = tuple(Entry(name, "number", f"of {name.upper()}'s instructions") for name in units)
    yield Entry("units_uj", "object", "microjoule by unit; they sum to the total", spent)
    layer = (
        Entry("name", "string", "name in the network"),
        Entry("uj", "number", "microjoule of its instructions; the program is in no layer"),
    )
    yield Entry("layers_uj", "list", "microjoule by layer", layer)


_HARDWARE_DOCS = {
    "lut_equivalents": "logic in look-up tables; null on gates",
    "ff": "flip-flops",
    "dsp": "multiplier blocks; null on gates",
    "block_ram": "block RAMs, half a one counts as 0.5; null on gates",
    "gates": "NAND2 equivalents without memories; null on an FPGA",
    "fmax_mhz": "highest clock frequency; null where the machine was not placed",
}


def _hardware() -> Iterator[Entry]:
    """What is said of a machine on a target."""
    yield Entry("target", "string", "`ecp5`, `xilinx7` or `gates`")
    for name, doc in _HARDWARE_DOCS.items():
        yield Entry(name, "number", doc, nullable=True)
    yield Entry("date", "string", "when it was synthesized")
    yield Entry("commit", "string", "which commit was synthesized")


REPORT = Entry(
    "report",
    "object",
    "What a run cost",
    (
        Entry("schema_version", "integer", "version of this schema"),
        Entry("source", "string", "`model`, `icarus` or `verilator`"),
        Entry("network", "string", "what the program was compiled from"),
        Entry("batch", "integer", "rows of input that one run takes"),
        Entry("config", "map", "every parameter of the configuration"),
        Entry("fingerprint", "string", "of the configuration, 16 hexadecimal digits"),
        Entry(
            "memory",
            "object",
            "the memory outside",
            (
                Entry("latency", "integer", "cycles from an address to its first beat"),
                Entry("interval", "integer", "cycles a beat"),
            ),
        ),
        Entry("instructions", "integer", "instructions of the program, END included"),
        Entry("cycles", "integer", "cycles from start to interrupt"),
        *_figures(),
        Entry(
            "bound",
            "object",
            "what `bound_cycles` is the larger of",
            (
                Entry("compute", "integer", "cycles that the array needs, `fill` included"),
                Entry("memory", "integer", "cycles that the bus needs for operands and results"),
                Entry("fill", "integer", "cycles to fill and empty an empty array"),
                Entry("words", "integer", "words that must be streamed"),
            ),
        ),
        Entry("units", "object", "where each unit's cycles went", tuple(_units())),
        Entry(
            "layers",
            "list",
            "one row a layer; empty where the configuration has no trace",
            (
                Entry("name", "string", "name in the network"),
                Entry("kind", "string", "operator"),
                Entry("m", "integer", "rows of the product; 0 without one"),
                Entry("k", "integer", "its inner dimension"),
                Entry("n", "integer", "its columns"),
                Entry(
                    "cycles",
                    "integer",
                    "from the last word streamed for the layer before to the last one for this "
                    "(the last layer's: to the end), so that all layers' sum to the run's",
                ),
                *_figures(),
                Entry("units", "object", "what each unit did for it", tuple(_layer_units())),
            ),
        ),
        Entry(
            "explanation",
            "list",
            "every cycle above the bound by cause: their cycles sum to `cycles` - `bound_cycles`",
            (
                Entry("cause", "string", "name of the cause"),
                Entry("cycles", "integer", "cycles in which the array did not stream for it"),
                Entry("text", "string", "what it means"),
            ),
        ),
        Entry(
            "energy_estimate",
            "object",
            "an estimate: exact counts of events times a table of energies per event",
            tuple(_energy()),
            optional=True,
        ),
        Entry(
            "hardware",
            "list",
            "what the machine, without `trace`, takes on each target for which `make bench-synth` "
            "synthesized it; empty for other machines",
            tuple(_hardware()),
            optional=True,
        ),
        Entry("counters", "map", "the machine's performance counters, by name"),
    ),
)
"""The report."""

_JSON_TYPES = {"integer": "integer", "number": "number", "string": "string"}


def json_schema(entry: Entry = REPORT) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a field, of the whole report by default."""
    schema = _json_type(entry)
    if entry.nullable:
        schema["type"] = [schema["type"], "null"]
    schema["description"] = entry.doc
    if any(inner.name == "schema_version" for inner in entry.entries):
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _json_type(entry: Entry) -> dict[str, Any]:
    match entry.kind:
        case "object":
            return _json_object(entry)
        case "list":
            return {"type": "array", "items": _json_object(entry)}
        case "strings":
            return {"type": "array", "items": {"type": "string"}}
        case "map":
            return {"type": "object", "additionalProperties": {"type": ["integer", "boolean"]}}
        case _:
            return {"type": _JSON_TYPES[entry.kind]}


def _json_object(entry: Entry) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {inner.name: json_schema(inner) for inner in entry.entries},
        "required": [inner.name for inner in entry.entries if not inner.optional],
        "additionalProperties": False,
    }


def check_report(value: object, where: str = "report", entry: Entry = REPORT) -> None:
    """Check that a decoded JSON value is a report of this version.

    Raises
    ------
    InputError
        If it is not; the text names the field.
    """
    if isinstance(value, dict) and any(e.name == "schema_version" for e in entry.entries):
        version = value.get("schema_version")
        if "schema_version" not in value:
            raise InputError(
                f"{where}: no report of simulate, estimate or synth (no schema_version)"
            )
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{where}: schema_version must be {SCHEMA_VERSION}, not {version!r}; "
                "make the report again with this release"
            )
    if entry.nullable and value is None:
        return
    if not _has_kind(value, entry.kind):
        raise InputError(f"{where}: must be {_KIND_NAMES[entry.kind]}, not {value!r:.60}")
    if entry.kind == "object":
        _check_object(value, where, entry)
    elif entry.kind == "list":
        assert isinstance(value, list)
        for number, item in enumerate(value):
            _check_object(item, f"{where}[{number}]", entry)


_KIND_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "strings": "a list of strings",
    "object": "an object",
    "list": "a list",
    "map": "an object of integers",
}


def _has_kind(value: object, kind: str) -> bool:
    match kind:
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "string":
            return isinstance(value, str)
        case "strings":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "map":
            return isinstance(value, dict) and all(type(v) in (int, bool) for v in value.values())
        case "list":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _check_object(value: object, where: str, entry: Entry) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be an object, not {value!r:.60}")
    known = {inner.name for inner in entry.entries}
    unknown = sorted(value.keys() - known)
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}")
    for inner in entry.entries:
        if inner.name in value:
            check_report(value[inner.name], f"{where}: {inner.name}", inner)
        elif not inner.optional:
            raise InputError(f"{where}: field {inner.name!r} is missing")
