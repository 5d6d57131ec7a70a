"""`import pulsarray`: the same answers as the command line and the parts below it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pulsarray as pa
from pulsarray.api import shown
from pulsarray.compiler import Builder, compile_gemm
from pulsarray.errors import CheckFailed, InputError, PulsarrayError
from pulsarray.model.timing import simulate_timing
from pulsarray.report import build_report
from tests.cli.conftest import Command

RNG = np.random.default_rng(7)


def small_network() -> pa.Network:
    builder = Builder("net", 6).dense(RNG.normal(size=(6, 5)), RNG.normal(size=5)).relu()
    return pa.load(builder.build())


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, pulsarray; print([m for m in sys.modules if m in {heavy}])"
    heavy = ("numpy", "onnx", "rich", "typer", "amaranth", "cocotb", "pandas", "plotly")
    text = code.replace("{heavy}", repr(heavy))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_is_there_and_described() -> None:
    for name in set(pa.__all__) - {"__version__", "PRESETS"}:
        assert getattr(pa, name).__doc__
    assert set(pa.__all__) <= set(dir(pa))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        pa.lode  # noqa: B018


def test_estimates_are_those_of_the_timing_model() -> None:
    config = pa.load_config("tiny", ["dim=8", "bus_bits=64"])
    program = compile_gemm(9, 20, 11, config, seed=3)
    direct = build_report(program, simulate_timing(program, memory_latency=30, memory_interval=2))
    loaded = pa.load("gemm:9x20x11", seed=3)
    compiled = loaded.compile("tiny", dim=8, bus_bits=64)
    report = compiled.estimate(memory_latency=30, memory_interval=2)
    assert report.to_dict() == direct
    same = loaded.estimate("tiny", dim=8, bus_bits=64, memory_latency=30, memory_interval=2)
    assert same.to_dict() == direct
    assert (report.cycles, report.macs) == (direct["cycles"], 9 * 20 * 11)


def test_runs_answer_as_the_network_does() -> None:
    samples = RNG.uniform(-1, 1, (50, 6))
    network = small_network().quantize(samples)
    program = network.compile("tiny", batch=4)
    x = samples[:4]
    done = program.run(x)
    from pulsarray.compiler.interpreter import run_float

    real = run_float(network.graph, x)
    assert np.abs(done.output - real).max() < 0.05 * np.abs(real).max()
    assert list(done.outputs) == [program.program.with_role("output")[0].name]
    name = program.program.with_role("input")[0].name
    np.testing.assert_array_equal(program.run({name: x}).output, done.output)
    assert done.differences is None
    assert done.report is not None
    assert done.report.cycles == program.estimate().cycles


def test_a_simulator_is_compared_with_the_model() -> None:
    program = pa.load("gemm:5x7x3").compile("tiny")
    done = program.run(on="icarus")
    assert done.differences == []
    assert done.result.source == "icarus"
    np.testing.assert_array_equal(done.output, program.run().output)
    assert "identical" in str(done)


def test_a_difference_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsarray.api import running

    program = pa.load("gemm:5x7x3").compile("tiny")
    other = pa.load("gemm:5x7x3", seed=1).compile("tiny").run().result
    monkeypatch.setattr(running, "on_simulator", lambda *_: other)
    with pytest.raises(CheckFailed, match="the model differ: values"):
        program.run(on="icarus")


def test_tables_with_and_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    report = small_network().quantize(RNG.normal(size=(9, 6))).estimate("tiny", batch=3)
    frame = report.layers
    assert isinstance(frame, pd.DataFrame)
    assert frame["cycles"].sum() == report.cycles
    assert frame["units_stream_busy"].sum() == report["units"]["stream"]["busy"]
    assert list(report.units["unit"]) == list(report["units"])
    monkeypatch.setattr(shown, "find_spec", lambda _: None)
    assert report.layers == frame.to_dict("records")


def test_notebooks_and_terminals_show_the_same() -> None:
    report = pa.load("gemm:8x8x8").estimate("tiny")
    page = report._repr_html_()
    assert page.startswith("<pre")
    for text in ("STREAM", f"{report.cycles:,} cycles"):
        assert text in str(report)
        assert text in page
    assert repr(report) == f"<Report of gemm:8x8x8, batch 8: {report.cycles:,} cycles>"


def test_files_are_those_of_the_command_line(command: Command, tmp_path: Path) -> None:
    compiled = pa.load("gemm:6x9x5").compile("tiny")
    compiled.save(tmp_path / "a.pulse")
    assert command("compile", "gemm:6x9x5", "-c", "tiny", "-o", tmp_path / "b.pulse").code == 0
    assert (tmp_path / "a.pulse").read_bytes() == (tmp_path / "b.pulse").read_bytes()
    report = pa.Compiled.load(tmp_path / "b.pulse").estimate()
    report.save(tmp_path / "a.json")
    command("estimate", "gemm:6x9x5", "-c", "tiny", "--report", tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert pa.Report.load(tmp_path / "a.json").to_dict() == report.to_dict()


def test_inspect() -> None:
    told = small_network().inspect("tiny")
    assert (told.macs, told.parameters, told.supported) == (30, 35, True)
    assert next(iter(told.operators["macs"])) == 30
    assert pa.inspect("gemm:4x5x6").macs == 120


def test_training(command: Command, tmp_path: Path) -> None:
    trained = pa.train("xor", epochs=3, seed=2)
    path = tmp_path / "r.json"
    assert command("train", "xor", "--epochs", 3, "--seed", 2, "--report", path).code == 0
    data = json.loads(path.read_text())
    assert trained.losses == data["history"]["losses"]
    assert trained.to_dict()["programs"] == data["programs"]
    assert list(trained.epochs["epoch"]) == [1, 2, 3]
    assert trained.cycles == data["history"]["epochs"][0]["cycles"] * 3
    trained.save_curve(tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().count("\n") == 4
    assert "3 epochs" in repr(trained)


def test_training_of_arrays() -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    t = np.array([[0.0], [1.0], [1.0], [0.0]])
    built_in, by_arrays = pa.train("xor", epochs=2), pa.train("xor", {"x": x, "t": t}, epochs=2)
    assert built_in.losses == by_arrays.losses


def test_training_is_estimated_as_it_is_trained() -> None:
    reports = pa.estimate_training("xor")
    trained = pa.train("xor", epochs=1)
    assert {k: r.to_dict() for k, r in reports.items()} == trained.to_dict()["programs"]
    assert list(reports) == ["step", "forward"]


def test_catalogue() -> None:
    names = pa.catalogue()
    assert list(names.presets["name"]) == list(pa.PRESETS)
    assert "resnet8" in list(names.networks["name"])
    for name in names.workloads["name"]:
        assert name in str(names)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pa.load("resnet9"), "did you mean 'resnet8'"),
        (lambda: pa.load("gemm:4x4x4").compile("tiny", dims=8), "unknown parameter 'dims'"),
        (lambda: pa.load("gemm:4x4x4").compile("tiny", batch=2), "--batch: not for gemm:4x4x4"),
        (lambda: pa.load("gemm:4x4x4").compile("tiny", effort=-1), "--effort: must be at least 0"),
        (lambda: small_network().compile("tiny"), "in Python quantize(samples)"),
        (lambda: small_network().quantize(np.zeros((3, 5))), "samples: shape must be"),
        (lambda: pa.load("gemm:4x4x4").compile("tiny").run(on="vcs"), "on: must be one of model"),
        (lambda: pa.load("gemm:4x4x4").quantize(np.zeros((3, 5))), "in int8 already"),
        (lambda: pa.train("xor", check=True), "--check: the model is what"),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(PulsarrayError) as error:
        call()  # type: ignore[operator]
    assert message in str(error.value)


def test_another_machine_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.pulse"
    pa.load("gemm:4x4x4").compile("tiny").save(path)
    with pytest.raises(InputError, match=r"compiled for configuration tiny \(\w{16}\), not for "):
        pa.Compiled.load(path, pa.PRESETS["small"])
