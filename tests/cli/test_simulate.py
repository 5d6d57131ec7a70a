"""simulate and compare: inputs, outputs, reports, events, agreement, regressions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pulsarray.arrays import load_arrays
from pulsarray.config import load_config
from pulsarray.errors import CheckFailed
from pulsarray.program import Program, unpack
from pulsarray.report.schema import check_report
from pulsarray.run import RunResult
from tests.cli.conftest import Command, complaints


def test_model_gives_report_outputs_and_events(
    command: Command, gemm: Path, tmp_path: Path
) -> None:
    report, outputs, events = (tmp_path / name for name in ("r.json", "y.npz", "e.json"))
    done = command("simulate", gemm, "--report", report, "--outputs", outputs, "--events", events)
    assert done.code == 0, done.err
    check_report(json.loads(report.read_text()))
    program = Program.load(gemm)
    rows = json.loads(events.read_text())
    assert [row["index"] for row in rows] == list(range(len(program.instructions) - 1))
    assert all(row["queue"] < row["start"] < row["complete"] for row in rows)
    tensor = program.tensor("y")
    arrays = np.load(outputs)
    assert arrays["y"].shape == (6, 5)
    assert (arrays["y"] == (arrays["y.codes"] - tensor.zero_point) * tensor.scale).all()


def test_inputs_are_used(command: Command, gemm: Path, tmp_path: Path) -> None:
    program, inputs, outputs = Program.load(gemm), tmp_path / "x.npz", tmp_path / "y.npz"
    np.savez(inputs, x=np.zeros((6, 9), np.int8))
    assert command("simulate", gemm, "--inputs", inputs, "--outputs", outputs).code == 0
    assert (np.load(outputs)["y.codes"] == 0).all()
    codes = unpack(program.memory, program.tensor("x"), program.config)
    results = []
    for values in (codes, codes.astype(np.float32)):
        np.savez(inputs, x=values)
        assert command("simulate", gemm, "--inputs", inputs, "--outputs", outputs).code == 0
        results.append(np.load(outputs)["y.codes"])
    assert (results[0] == results[1]).all()
    assert (results[0] != 0).any()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "self", "a/b:0", "x.npy"])
def test_names_of_results(command: Command, gemm: Path, tmp_path: Path, name: str) -> None:
    """No name is special to the file that results are written to."""
    program, outputs = Program.load(gemm), tmp_path / "y.npz"
    tensors = [replace(t, name=name) if t.name == "y" else t for t in program.tensors]
    replace(program, tensors=tensors).save(gemm)
    assert command("simulate", gemm, "--outputs", outputs).code == 0
    arrays = np.load(outputs)
    assert sorted(arrays.files) == sorted([name, f"{name}.codes"])
    assert arrays[name].shape == (6, 5)
    assert (load_arrays(outputs)[f"{name}.codes"] == arrays[f"{name}.codes"]).all()


def test_names_of_results_that_clash(command: Command, gemm: Path, tmp_path: Path) -> None:
    program, outputs = Program.load(gemm), tmp_path / "y.npz"
    extra = replace(program.tensor("y"), name="y.codes")
    replace(program, tensors=[*program.tensors, extra]).save(gemm)
    done = command("simulate", gemm, "--outputs", outputs)
    assert done.code == 2
    assert "y.npz: two outputs would be called 'y.codes'" in done.err
    assert not outputs.exists()


@pytest.mark.parametrize("simulator", ["icarus"])
def test_rtl_is_identical_to_the_model(
    command: Command, gemm: Path, tmp_path: Path, simulator: str
) -> None:
    reports = {}
    for place in ("model", simulator):
        path = tmp_path / f"{place}.json"
        done = command("simulate", gemm, "--on", place, "--report", path)
        assert done.code == 0, done.err
        reports[place] = json.loads(path.read_text())
    assert done.out.count("identical") == 5
    assert reports[simulator].pop("source") == simulator
    reports["model"].pop("source")
    assert reports[simulator] == reports["model"]


def test_waves(command: Command, gemm: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.vcd"
    assert command("simulate", gemm, "--on", "icarus", "--waves", path).code == 0
    assert "$enddefinitions" in path.read_text()
    beside = {entry.name for entry in tmp_path.iterdir()} - {gemm.name}
    assert beside == {"new.vcd", "new.gtkw", "new.sucl"}


def test_interrupted_waves_are_not_kept(tmp_path: Path) -> None:
    from pulsarray.api.waves import kept_whole

    def fail(error: type[BaseException]) -> None:
        with kept_whole(tmp_path / "w.vcd", load_config("tiny")) as part:
            assert part is not None
            part.write_text("half")
            raise error

    for error, kept in ((KeyboardInterrupt, []), (CheckFailed, ["w.gtkw", "w.sucl", "w.vcd"])):
        with pytest.raises(error):
            fail(error)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == kept


def test_a_difference_exits_1(
    command: Command, gemm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulsarray.api import running

    monkeypatch.setattr(running, "on_simulator", lambda program, *_: _broken(program))
    done = command("simulate", gemm, "--on", "icarus")
    assert done.code == 1
    assert "DIFFERENT" in done.out
    assert "icarus and the model differ: values: 1 bytes differ" in done.err
    assert len(complaints(done.err)) == 1


def _broken(program: Program) -> RunResult:
    from pulsarray.sim.device import run_model

    result = run_model(program)
    memory = result.memory.copy()
    memory[0] ^= 1
    return replace(result, memory=memory, source="icarus")


def reports(command: Command, tmp_path: Path, *latencies: int) -> list[Path]:
    paths = [tmp_path / f"latency{latency}.json" for latency in latencies]
    for path, latency in zip(paths, latencies, strict=True):
        command(
            "estimate", "gemm:6x9x5", "-c", "tiny", "--memory-latency", latency, "--report", path
        )
    return paths


def test_compare(command: Command, tmp_path: Path) -> None:
    near, far = reports(command, tmp_path, 10, 100)
    data = json.loads(command("compare", near, far, "--json").out)
    assert data["reports"] == ["latency10", "latency100"]
    assert data["differs"] == {"memory latency": [10, 100]}
    assert command("compare", near, far).code == 0
    assert command("compare", far, near, "--fail-over", 0).code == 0
    done = command("compare", near, far, "--fail-over", 5)
    assert done.code == 1
    assert "latency100 takes" in done.err


def test_compare_as_a_page(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "c.html"
    assert command("compare", *reports(command, tmp_path, 10, 100), "--html", page).code == 0
    assert "latency100" in page.read_text()


def test_compare_of_files_with_one_name(command: Command, tmp_path: Path) -> None:
    (path,) = reports(command, tmp_path, 10)
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / path.name
    twin.write_bytes(path.read_bytes())
    for pair in ((path, twin), (path, path)):
        names = json.loads(command("compare", *pair, "--json").out)["reports"]
        assert len(set(names)) == 2


def test_runs_go_on_from_each_other(command: Command, tmp_path: Path) -> None:
    """A file whose output is kept in an input's place, run by run."""
    step, program = tmp_path / "step.onnx", tmp_path / "step.pulse"
    rows, answers = tmp_path / "rows.npz", tmp_path / "answers.npz"
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3))
        for name in ("x", "past", "sum")
    ]
    add = helper.make_node("Add", ["x", "past"], ["sum"], name="add")
    onnx.save(helper.make_model(helper.make_graph([add], "g", values[:2], values[2:])), step)
    np.savez(rows, x=np.ones((4, 3)))
    options = (step, "--state", "sum=past", "--calibrate", rows, "-c", "tiny")
    assert command("compile", *options, "-o", program).code == 0
    told = ("--inputs", rows, "--runs", 4, "--outputs", answers)
    assert command("simulate", program, *told).code == 0
    sums = np.load(answers)["sum"]
    np.testing.assert_allclose(sums, np.arange(1, 5)[:, None] * np.ones(3), atol=0.02)
    for state, message in (("sum=pats", "'pats' is no input"), ("sum", "needs OUT=IN")):
        wrong = command("compile", *options[:2], state, *options[3:], "-o", program)
        assert (wrong.code, message in wrong.err) == (2, True)
    uneven = command("simulate", program, *told[:2], "--runs", 3)
    assert "4 samples cannot be split into 3 runs" in uneven.err
