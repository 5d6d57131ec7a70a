"""The report: sums, bounds, causes, layers, schema, differences."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsarray.config import PRESETS, Config
from pulsarray.errors import CheckFailed, InputError
from pulsarray.isa import Instruction, Opcode, encode_all
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Layer, Program
from pulsarray.registers import UNIT_STATES
from pulsarray.report import build_report, differences, load_report
from pulsarray.report.bound import bound_of_run
from pulsarray.report.events import work
from pulsarray.report.schema import REPORT, check_report, json_schema
from pulsarray.run import RunResult

TINY = PRESETS["tiny"]
make = Instruction.make


def mask(*numbers: int) -> int:
    return sum(1 << n for n in numbers)


def product(m: int, tiles: int, address: int, *, wait: int = 0) -> list[Instruction]:
    """Load, multiply and write back M x 4 tiles times 4 tiles x 4."""
    return [
        make(Opcode.LOAD, bank=0, run=m * tiles, address=address, signal=mask(0)),
        make(Opcode.LOAD, bank=1, run=4 * tiles, address=address + 2048, signal=mask(1)),
        make(Opcode.WEIGHT, bank=1, count1=tiles, stride1=4, wait=mask(1)),
        make(
            Opcode.STREAM, target_bank=0x40, inner=1, fresh=8, count3=tiles, source_stride3=m,
            count4=m, source_stride4=1, target_stride4=1, wait=mask(0) | wait, signal=mask(2),
        ),
        make(Opcode.VECTOR, a_bank=0x40, target_bank=2, count3=m, a_stride3=1, target_stride3=1,
             wait=mask(2), signal=mask(3)),
        make(Opcode.STORE, bank=2, run=m, address=address + 4096, wait=mask(3), signal=mask(4)),
    ]  # fmt: skip


def program(config: Config = TINY, m: int = 8, tiles: int = 3) -> Program:
    """Two layers; the second starts when the first is in memory."""
    first, second = product(m, tiles, 16384), product(m, tiles, 32768, wait=mask(4))
    code = encode_all([*first, *second, make(Opcode.END)])
    memory = np.zeros(65536, np.uint8)
    memory[: len(code)] = np.frombuffer(code, np.uint8)
    shape = {
        "m": m,
        "k": 4 * tiles,
        "n": 4,
        "read_bytes": 4 * tiles * (m + 4),
        "write_bytes": 4 * m,
    }
    layers = [
        Layer(name="one", kind="dense", first=0, last=6, **shape),
        Layer(name="two", kind="dense", first=6, last=12, **shape),
    ]
    return Program(
        config=config, code=code, code_address=0, memory=memory, tensors=[], layers=layers,
        network="pair", batch=m,
    )  # fmt: skip


def report_of(program_counted: Program, **times: int) -> dict[str, Any]:
    return build_report(program_counted, simulate_timing(program_counted, **times))


@pytest.mark.parametrize("m", [1, 2, 8, 30])
@pytest.mark.parametrize("latency", [1, 70])
def test_every_cycle_is_accounted_for(m: int, latency: int) -> None:
    report = report_of(program(m=m), memory_latency=latency)
    cycles = report["cycles"]
    assert sum(row["cycles"] for row in report["explanation"]) == cycles - report["bound_cycles"]
    for name, unit in report["units"].items():
        assert sum(value for state, value in unit.items() if state != "waits") == cycles, name
        if name != "fetch":
            assert sum(wait["cycles"] for wait in unit["waits"]) == unit["wait"]
    assert report["bound_ratio"] == cycles / report["bound_cycles"] >= 1


@pytest.mark.parametrize("m", [1, 8, 30])
def test_layers_sum_to_the_run(m: int) -> None:
    report = report_of(program(m=m))
    layers, units = report["layers"], report["units"]
    assert sum(layer["cycles"] for layer in layers) == report["cycles"]
    assert sum(layer["macs"] for layer in layers) == report["macs"] == 2 * m * 12 * 4
    for name in ("load", "weight", "stream", "vector", "store"):
        assert sum(layer["units"][name]["busy"] for layer in layers) == units[name]["busy"]
    for state in UNIT_STATES:
        assert sum(layer["units"]["stream"][state] for layer in layers) == units["stream"][state]
    for layer in layers:
        assert sum(layer["units"]["stream"].values()) == layer["cycles"]
        assert layer["cycles"] >= layer["bound_cycles"]


def test_waits_name_who_signals() -> None:
    stream = report_of(program())["units"]["stream"]
    assert {w["semaphore"]: w["signalled_by"] for w in stream["waits"]} == {
        0: ["load"],
        4: ["store"],
    }


def test_causes_are_named() -> None:
    causes = {row["cause"]: row for row in report_of(program())["explanation"]}
    assert {"begin", "semaphore 0", "semaphore 4", "drain", "end store", "bound"} <= causes.keys()
    assert causes["semaphore 4"]["text"].startswith("waited for STORE")
    assert causes["bound"]["cycles"] < 0


def test_bytes_are_beats_on_the_bus() -> None:
    made = program()
    report = report_of(made)
    fetched = -(-len(made.code) // TINY.fetch_bytes) * TINY.fetch_bytes
    moved = sum(layer["bytes_read"] for layer in report["layers"])
    assert report["bytes_read"] == moved + fetched
    assert report["bytes_written"] == sum(layer["bytes_written"] for layer in report["layers"])
    assert report["counters"]["read_beats"] * TINY.bus_bytes == report["bytes_read"]


def test_without_trace_there_are_no_layers_but_every_cycle() -> None:
    report = report_of(program(replace(TINY, trace=False)))
    assert report["layers"] == []
    assert sum(row["cycles"] for row in report["explanation"]) == (
        report["cycles"] - report["bound_cycles"]
    )


def test_without_counters_there_is_no_report() -> None:
    made = program(replace(TINY, counters=False))
    with pytest.raises(InputError, match="counters = false; set it to true"):
        build_report(made, simulate_timing(made))


def test_without_layers_there_is_no_bound() -> None:
    report = report_of(replace(program(), layers=[]))
    assert (report["bound_cycles"], report["bound_ratio"]) == (0, None)
    assert sum(row["cycles"] for row in report["explanation"]) == report["cycles"]


def test_wrong_counters_are_refused() -> None:
    made = program()
    result = simulate_timing(made)
    counters = {**result.counters, "load_idle": result.counters["load_idle"] + 1}
    with pytest.raises(CheckFailed, match=r"^counters: figures of load sum to \d+, not to \d+$"):
        build_report(made, replace(result, counters=counters))


@pytest.mark.parametrize(
    ("m", "k", "n", "compute"),
    [(64, 64, 64, 16 * 64 + 53), (1, 16, 16, 16 - 15 + 53), (20, 17, 1, 2 * 20 + 53)],
)
def test_bound_of_a_product(m: int, k: int, n: int, compute: int) -> None:
    layer = Layer(name="", kind="", first=0, last=0, m=m, k=k, n=n, read_bytes=160, write_bytes=33)
    bound = bound_of_run([layer], PRESETS["base"], interval=2)
    assert (bound.compute, bound.memory) == (compute, 20)
    assert bound.cycles == compute


def test_bound_by_the_bus() -> None:
    layer = Layer(name="", kind="", first=0, last=0, m=1, k=4, n=4, read_bytes=4000)
    assert bound_of_run([layer], TINY, interval=3).cycles == 3000


def test_work_of_loads_counts_bursts() -> None:
    # 300 words of 4 bytes from 4096 - 400: 400 bytes to the page's end, then 800; bursts of 64.
    config = replace(TINY, burst_beats=16)
    load = make(Opcode.LOAD, run=300, address=4096 - 400)
    assert work(load, config) == 7 + 13
    wide = make(Opcode.LOAD, bank=0x40, run=2, address=0, count0=3, memory_stride0=1024)
    assert work(wide, TINY) == 3
    assert work(make(Opcode.EXPONENT, register=1), TINY) == 1


def test_report_fits_its_schema() -> None:
    report = json.loads(json.dumps(report_of(program())))
    check_report(report)
    schema = json_schema()
    assert set(schema["properties"]) == set(report)
    earlier_ones_lack = {"energy_estimate", "hardware"}
    assert set(schema["required"]) == set(report) - earlier_ones_lack
    assert schema["properties"]["bound_ratio"]["type"] == ["number", "null"]


def test_every_field_is_described_once() -> None:
    names = [entry.name for entry in REPORT.entries]
    assert len(names) == len(set(names))
    assert all(entry.doc for entry in REPORT.entries)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "report: schema_version must be 1, not 99; make the report again"),
        ({"cycles": "9"}, "report: cycles: must be an integer, not '9'"),
        ({"cycles": True}, "report: cycles: must be an integer, not True"),
        ({"lunch": 1}, "report: unknown field 'lunch'"),
        ({"layers": [3]}, "report: layers[0]: must be an object, not 3"),
        ({"memory": {"latency": 1}}, "report: memory: field 'interval' is missing"),
        ({"units": []}, "report: units: must be an object, not []"),
    ],
)
def test_report_wrong(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        check_report({**report_of(program()), **change})


def test_load_report(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    report = report_of(program())
    path.write_text(json.dumps(report))
    assert load_report(path) == report


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "must be an object"), ("{}", "no report of")]
)
def test_load_report_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_report(path)


def test_differences_name_the_field() -> None:
    first = report_of(program())
    assert differences(first, {**first, "source": "icarus"}) == []
    second = json.loads(json.dumps(first))
    second["units"]["load"]["busy"] += 1
    second["layers"][1]["name"] = "three"
    busy = first["units"]["load"]["busy"]
    assert differences(first, second) == [
        f"units.load.busy: {busy} and {busy + 1}",
        "layers[1].name: two and three",
    ]


def test_result_source_is_the_only_difference_between_places() -> None:
    made = program()
    result: RunResult = simulate_timing(made)
    assert (
        differences(
            build_report(made, result), build_report(made, replace(result, source="verilator"))
        )
        == []
    )
