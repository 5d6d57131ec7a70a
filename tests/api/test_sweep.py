"""Sweeps: the same figures as single estimates, kept whatever happens."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import pulsarray as pa
from pulsarray.api.sweeps import pools, run, works
from pulsarray.api.sweeps.rows import COLUMNS
from pulsarray.api.sweeps.space import Space
from pulsarray.api.sweeps.store import Store
from pulsarray.api.sweeps.values import numbers, settings_of, sizes_of, values
from pulsarray.compiler import Builder, Graph
from pulsarray.compiler.passes import pipeline
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.display.designs import pareto
from pulsarray.errors import CheckFailed, InputError
from pulsarray.zoo.layers import LayerShape, compile_layer, layers_of, read_layers
from tests.cli.conftest import Command

RNG = np.random.default_rng(11)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_figures_are_those_of_estimates() -> None:
    swept = pa.sweep(
        "gemm:9,17x24x12",
        "tiny",
        dim=[4, 8],
        memory_latency=[10, 70],
        memory_interval=[1, 2],
        workers=1,
    )
    assert len(swept) == 16

    @cache
    def compiled(network: str, dim: int, effort: int) -> pa.Compiled:
        return pa.load(network).compile("tiny", effort=effort, dim=dim, bus_bits=8 * dim)

    for row in swept.to_list():
        report = compiled(row["network"], row["dim"], row["effort"]).estimate(
            memory_latency=row["memory_latency"], memory_interval=row["memory_interval"]
        )
        for name in ("cycles", "macs", "bytes_read", "bound_ratio", "mac_utilization"):
            assert row[name] == report[name]
        assert row["fingerprint"] == report["fingerprint"]


@pytest.fixture
def quantizations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by each network that is quantized."""
    made: list[object] = []

    def counted(*arguments: Any) -> Graph:
        made.append(arguments)
        return quantize_graph(*arguments)

    monkeypatch.setattr(pipeline, "quantize_graph", counted)
    return made


def test_networks_are_quantized_once_and_cost_what_they_cost(quantizations: list[object]) -> None:
    works._network.cache_clear()
    swept = pa.sweep(
        "mnist-mlp", "tiny", scratchpad_depth=[512, 1024], workers=1, batch=[1, 3], effort=200
    )
    assert len(quantizations) == 1
    for row in swept.to_list():
        report = pa.load("mnist-mlp").estimate(
            "tiny",
            batch=row["batch"],
            effort=row["effort"],
            scratchpad_depth=row["scratchpad_depth"],
        )
        assert row["cycles"] == report.cycles


def test_a_network_is_quantized_once_for_machines_of_one_arithmetic(
    quantizations: list[object],
) -> None:
    network = pa.load("mnist-mlp")
    narrow = replace(pa.PRESETS["tiny"], acc_bits=24)
    machines: list[str | pa.Config] = ["tiny", "small", narrow, "tiny"]
    programs = [network.compile(machine, effort=0).program for machine in machines]
    assert len(quantizations) == 2
    for machine, program in zip(machines, programs, strict=True):
        alone = pa.load("mnist-mlp").compile(machine, effort=0).program
        assert (alone.code, alone.tensors) == (program.code, program.tensors)
        np.testing.assert_array_equal(alone.memory, program.memory)


def test_quantization_sees_two_parameters_of_a_machine() -> None:
    seen = cast("pa.Config", SimpleNamespace(scale_bits=31))
    graph = Builder("net", 4).dense(RNG.normal(size=(4, 3))).build()
    samples = RNG.normal(size=(5, 4))
    with pytest.raises(AttributeError):
        quantize_graph(graph, samples, seen)
    seen = cast("pa.Config", SimpleNamespace(scale_bits=31, acc_bits=32))
    assert quantize_graph(graph, samples, seen).is_quantized


def test_the_bus_follows_the_array_unless_it_is_set() -> None:
    space = Space(works=["x"], machines=["base"], settings={"dim": (4, 12, 32)})
    assert [d.config.bus_bits for d in space.designs() if d.config] == [32, 128, 256]
    space = Space(works=["x"], machines=["base"], settings={"dim": (16, 32), "bus_bits": (128,)})
    assert [d.config.bus_bits for d in space.designs() if d.config] == [128, 128]


def test_values() -> None:
    assert values("8,0x10,true", "x") == (8, 16, True)
    assert values("8..64*2,100..120+10", "x") == (8, 16, 32, 64, 100, 110, 120)
    assert numbers("3..5", "x") == (3, 4, 5)
    assert sizes_of("gemm:8,16x4x2..4*2") == [
        "gemm:8x4x2",
        "gemm:8x4x4",
        "gemm:16x4x2",
        "gemm:16x4x4",
    ]
    assert settings_of(["dim=8,16", "trace=false"]) == {"dim": (8, 16), "trace": (False,)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gemm:8x8x8", "--set", "dims=8"], "unknown parameter 'dims'"),
        (["gemm:8x8x8", "--set", "dim=8", "--set", "dim=16"], "dim is there twice"),
        (["gemm:8x8x8", "--set", "dim=8..4"], "'8..4' is no range that grows"),
        (["gemm:8x8x8", "--set", "dim=x"], "must be integers, true or false, or ranges"),
        (["gemm:8x8x8", "--set", "dim"], "expected key=values"),
        (["gemm:8x8x8", "--set", "dim=8,8"], "8 is there twice"),
        (["gemm:8x8", "--set", "dim=8"], "expected gemm:MxKxN"),
        (["gemm:8x8x8", "--set", "dim=1"], "no design is a machine; the first: config: dim must"),
        (["resnet9"], "did you mean 'resnet8'"),
        (["gemm:8x8x8", "--batch", "0"], "--batch: must be integers of at least 1, not 0"),
        (["gemm:1..400x1..400x8"], "160,000 points are more than 100,000; say --yes"),
        (["gemm:8x8x8", "-o", "rows.txt"], "must end in .csv or .parquet"),
        (["layers.csv"], "layers.csv: cannot read"),
    ],
)
def test_refusals(command: Command, arguments: list[str], message: str) -> None:
    done = command("sweep", *arguments)
    assert done.code == 2
    assert message in done.err


def test_designs_that_cannot_be_are_told_by_row(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    done = command(
        "sweep", "gemm:8x8x8", "--set", "scratchpad_depth=8,64", "-o", path, "--workers", 1
    )
    assert done.code == 0, done.err
    refused, kept = rows_of(path)
    assert refused["refused"] == "config: scratchpad_depth must be 16 to 32768, not 8"
    assert (refused["cycles"], kept["refused"]) == ("", "")
    assert "1 have no cost; the first: config: scratchpad_depth must be" in done.out


def test_a_sweep_goes_on_where_it_was(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = tmp_path / "r.csv", []
    arguments = ("sweep", "gemm:8x8x8..12", "-c", "tiny", "-o", path, "--workers", 1, "--json")
    whole = json.loads(command(*arguments).out)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:40])  # two rows, and one that was cut short
    measure = run.run_task

    def counted(task: run.Task) -> list[dict[str, Any]]:
        made.append(task.point.work)
        return measure(task)

    monkeypatch.setattr(run, "run_task", counted)
    again = json.loads(command(*arguments).out)
    assert made == ["gemm:8x8x10", "gemm:8x8x11", "gemm:8x8x12"]
    for row in (*whole, *again):
        row.pop("seconds")
    assert again == whole
    assert len(rows_of(path)) == 5


def test_a_file_of_something_else_is_left_alone(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("a,b\n1,2\n")
    done = command("sweep", "gemm:8x8x8", "-o", path)
    assert (done.code, "no sweep of this release" in done.err) == (2, True)
    assert path.read_text() == "a,b\n1,2\n"


def test_interruption_keeps_what_is_done(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, measure = tmp_path / "r.csv", run.run_task

    def interrupted(task: run.Task) -> list[dict[str, Any]]:
        if task.point.work == "gemm:8x8x9":
            raise KeyboardInterrupt
        return measure(task)

    monkeypatch.setattr(run, "run_task", interrupted)
    done = command("sweep", "gemm:8x8x8..12", "-c", "tiny", "-o", path, "--workers", 1)
    assert done.code == 130
    assert [row["network"] for row in rows_of(path)] == ["gemm:8x8x8"]


def test_full_disk(tmp_path: Path) -> None:
    """The file size limit of the process stands in for a disk without room."""
    path = tmp_path / "r.csv"
    arguments = ["sweep", "gemm:8x8x8..40", "-c", "tiny", "-o", str(path), "--workers", "1"]
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        f"from pulsarray.cli.main import run; raise SystemExit(run({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "r.csv: cannot write: File too large; " in done.stderr
    with Store(path) as store:
        assert 0 < len(store.rows) < 33
        assert [row["network"] for row in store.rows] == [
            f"gemm:8x8x{n}" for n in range(8, 8 + len(store.rows))
        ]


def _die(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(CheckFailed, match=r"a worker died, .* at one of: .*number 3.*is kept"):
        list(pools.on_processes(_die, range(6), 2, lambda task: f"number {task}"))


def test_workers_end_with_a_leader_that_is_killed() -> None:
    """Its output ends when no process holds it any more."""
    task = "import os, time; os.write(1, b'.'); time.sleep(60)"
    code = (
        "from pulsarray.api.sweeps.pools import on_processes; "
        f"list(on_processes(exec, [{task!r}] * 2, 2, str))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        assert leader.stdout.read(2) == b".."
        leader.kill()
        assert leader.communicate(timeout=30) == (b"", None)


def test_processes_give_what_one_gives() -> None:
    both = [
        pa.sweep("gemm:8x8x8..10", "tiny", dim=[4, 8], workers=workers).to_list()
        for workers in (1, 2)
    ]
    for rows in both:
        for row in rows:
            row.pop("seconds")
    assert both[0] == both[1]


@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
@pytest.mark.filterwarnings("ignore")
def test_dask() -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        swept = pa.sweep("gemm:8x8x8..10", "tiny", dask=cluster.scheduler_address).to_list()
    direct = pa.sweep("gemm:8x8x8..10", "tiny", workers=1).to_list()
    assert [row["cycles"] for row in swept] == [row["cycles"] for row in direct]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    first = pa.sweep("gemm:8x8x8", "tiny", scratchpad_depth=[8, 64], workers=1, file=path)
    both = pa.sweep("gemm:8x8x8,9", "tiny", scratchpad_depth=[8, 64], workers=1, file=path)
    assert both.to_list()[::2] == first.to_list()
    assert both.to_list()[3]["macs"] == 8 * 8 * 9


def test_layers_of_a_network() -> None:
    graph = (
        Builder("net", (9, 9, 3))
        .convolution(RNG.normal(size=(3, 3, 3, 8)), padding=1)
        .relu()
        .convolution(RNG.normal(size=(3, 3, 8, 8)), padding=1)
        .relu()
        .convolution(RNG.normal(size=(3, 3, 8, 8)), padding=1)
        .build()
    )
    shapes = layers_of(graph)
    assert sorted(shapes.values()) == [1, 2]
    quantized = quantize_graph(graph, RNG.normal(size=(2, 9, 9, 3)), pa.PRESETS["tiny"])
    assert layers_of(quantized) == shapes
    macs = sum(
        count * compile_layer(shape, pa.PRESETS["tiny"], batch=1, effort=0).layers[0].macs
        for shape, count in shapes.items()
    )
    assert macs == graph.macs


def test_scale_sim_lists(command: Command, tmp_path: Path) -> None:
    path, output = tmp_path / "net.csv", tmp_path / "r.csv"
    path.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, "
        "Num Filter, Strides,\nConv1, 10, 10, 3, 3, 4, 8, 1,\nConv2, 8, 8, 1, 1, 8, 16, 2,\n"
    )
    (_, first), (name, second) = read_layers(path)
    assert name == "Conv2"
    assert first.window.output(first.height, first.width) == (8, 8)
    assert second.window.output(second.height, second.width) == (4, 4)
    assert command("sweep", path, "-c", "tiny", "-o", output, "--workers", 1).code == 0
    (row,) = rows_of(output)
    assert int(row["macs"]) == 8 * 8 * 9 * 4 * 8 + 4 * 4 * 8 * 16
    path.write_text("Layer, M, N, K,\nfc, 5, 7, 9,\n")
    assert read_layers(path) == [
        ("fc", LayerShape(height=1, width=1, channels=9, filters=7, rows=5))
    ]
    report = pa.load("gemm:5x9x7").estimate("tiny", effort=4000)
    rows = pa.sweep(path, "tiny", workers=1).to_list()
    assert (rows[0]["cycles"], rows[0]["macs"]) == (report.cycles, report.macs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Layer, M, N, K,\n", "needs a heading and at least one layer"),
        ("Layer, M, N, K,\nfc, 5, 7,\n", "row 2, 'fc': needs M, N, K"),
        ("Layer, M, N, K,\nfc, 5, x, 2,\n", "row 2, 'fc': must be a positive number, not 'x'"),
        ("Layer, H,\nc, 5, 5, 3, 3, 4, 8,\n", "row 2, 'c': needs height, width, kernel rows"),
        ("Layer, H,\nc, 2, 5, 3, 3, 4, 8, 1,\n", "row 2, 'c': a kernel of (3, 3)"),
        ("Layer, H,\nc, 9, 9, 3, 3, 4, 8, 1, 1:2,\n", "sparsity 1:2 is not supported"),
    ],
)
def test_scale_sim_lists_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "net.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_layers(path)
    assert message in str(error.value)


def test_fronts() -> None:
    def row(cycles: int, multipliers: int, chip_bytes: int, work: str = "a") -> dict[str, Any]:
        return {
            **dict.fromkeys(COLUMNS, ""),
            "network": work,
            "cycles": cycles,
            "multipliers": multipliers,
            "chip_bytes": chip_bytes,
        }

    rows = [
        row(9, 4, 4),
        row(5, 8, 4),
        row(9, 4, 5),
        row(5, 8, 4),
        row(4, 9, 9),
        row(99, 9, 9, "b"),
    ]
    front = [rows.index(kept) for kept in pareto(rows)]
    assert front == [4, 1, 0, 5]


def test_the_page_shares_its_script(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = command(
        *("sweep", "gemm:8,16x8x8", "-c", "tiny", "--set", "dim=4,8", "--set"),
        *("scratchpad_depth=64,128", "--workers", 1, "--html", page),
    )
    assert done.code == 0, done.err
    text = page.read_text()
    (script,) = tmp_path.glob("plotly-*.min.js")
    assert f'<script src="{script.name}"></script>' in text
    assert page.stat().st_size < 200_000 < script.stat().st_size
    for title in ("Roofline", "bytes on chip", "gemm:8x8x8: fewest cycles", "Best designs"):
        assert title in text
