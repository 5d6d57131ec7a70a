"""Timelines: what the trace says, lane by lane."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

import pulsarray as pa
from pulsarray.isa import Opcode, VectorFlag
from pulsarray.program import Program
from pulsarray.report.timeline import UPDATE, spans
from tests.cli.conftest import Command


@pytest.fixture
def step(command: Command, tmp_path: Path) -> Path:
    path = tmp_path / "step.pulse"
    assert command("compile", "xor", "--training", "--batch", 4, "-o", path).code == 0
    return path


def test_lanes_are_what_the_trace_says() -> None:
    compiled = pa.load("gemm:40x40x40").compile("tiny")
    result = compiled.run().result
    drawn = spans(compiled.program, result)
    work = {span.index: span for span in drawn if not span.waits}
    assert len(work) == len(result.events)
    for index, _, start, complete in result.events.tolist():
        assert (work[index].first, work[index].complete) == (start, complete)
        assert work[index].after <= max(complete, start) + 1
    for unit in {span.unit for span in drawn}:
        lane = [span for span in drawn if span.unit == unit]
        for before, after in pairwise(lane):
            assert before.after <= after.first


def test_waits_of_the_array_are_those_of_its_counter() -> None:
    compiled = pa.load("gemm:40x40x40").compile("tiny")
    run = compiled.run()
    assert run.report is not None
    waits = [s for s in spans(compiled.program, run.result) if s.waits and s.unit == "STREAM"]
    counted = run.report["units"]["stream"]["wait"]
    assert sum(span.after - span.first for span in waits) == counted > 0


def test_phases_of_training(step: Path) -> None:
    compiled = pa.Compiled.load(step)
    drawn = spans(compiled.program, compiled.run().result)
    phases = {span.phase for span in drawn}
    assert phases == {"forward", "backward", "input gradient", "weight gradient", UPDATE}
    for span in drawn:
        opcode = compiled.program.instructions[span.index].op
        if span.phase == UPDATE:
            assert opcode in (Opcode.LOAD, Opcode.STORE, Opcode.VECTOR, Opcode.SCALE)
            assert (opcode in (Opcode.LOAD, Opcode.STORE)) == bool(span.tensor)
        if span.waits:
            assert "SEM" in span.waits


def test_files_of_simulate_estimate_and_train(command: Command, step: Path, tmp_path: Path) -> None:
    traces = []
    for arguments in (
        ("simulate", step),
        ("estimate", step),
        ("train", "xor", "--batch", 4, "--epochs", 1),
    ):
        path = tmp_path / f"{arguments[0]}.json"
        done = command(*arguments, "--timeline", path)
        assert done.code == 0, done.err
        traces.append(json.loads(path.read_text()))
    assert traces[0] == traces[1] == traces[2]
    events = [event for event in traces[0]["traceEvents"] if event["ph"] == "X"]
    program = Program.load(step)
    assert {event["args"]["index"] for event in events} == set(range(len(program.instructions) - 1))
    names = {e["args"]["name"] for e in traces[0]["traceEvents"] if e["name"] == "thread_name"}
    assert names == {"LOAD", "WEIGHT", "STREAM", "VECTOR", "STORE"}


def test_pages(command: Command, step: Path, tmp_path: Path) -> None:
    page = tmp_path / "t.html"
    assert command("simulate", step, "--timeline", page).code == 0
    text = page.read_text()
    assert len(list(tmp_path.glob("plotly-*.min.js"))) == 1
    assert page.stat().st_size < 500_000
    for told in ("fc1 weight gradient", "waits for SEM", "fc1.weight.master", "cycles on"):
        assert told in text


def test_pages_wrong(
    command: Command, step: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulsarray.display import timeline

    done = command("simulate", step, "--timeline", tmp_path / "t.txt")
    assert (done.code, "--timeline: must end in .html or .json" in done.err) == (2, True)
    done = command(
        "estimate", "gemm:8x8x8", "--set", "trace=false", "--timeline", tmp_path / "t.json"
    )
    assert (done.code, "trace = false; set it to true" in done.err) == (2, True)
    monkeypatch.setattr(timeline, "MOST_SPANS", 10)
    done = command("simulate", step, "--timeline", tmp_path / "t.html")
    assert (done.code, "write .json and open it in Perfetto" in done.err) == (2, True)


def test_updates_are_computed_by_instructions_that_subtract(step: Path) -> None:
    compiled = pa.Compiled.load(step)
    drawn = spans(compiled.program, compiled.run().result)
    updates = {span.index for span in drawn if span.phase == UPDATE and span.unit == "VECTOR"}
    subtract = {
        index
        for index, instruction in enumerate(compiled.program.instructions)
        if instruction.op is Opcode.VECTOR and instruction["flags"] & VectorFlag.SUB_AFTER
    }
    scales = {index for index in updates if compiled.program.instructions[index].op is Opcode.SCALE}
    assert updates - scales == subtract
    assert len(subtract) == 4
    assert scales
