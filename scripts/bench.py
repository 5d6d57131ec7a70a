"""Measure everything that is claimed, print it with its bar, write docs/benchmarks.md.

Exit code 1 if a bar is missed. Usage: make bench, or python scripts/bench.py [--no-scale-sim];
with --networks only the section on convolutional networks is measured and written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import networks, scale_sim
from benchmarks import training as training_bench
from pulsarray import compiler
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import PRESETS, load_config
from pulsarray.display.view import view
from pulsarray.hw.emit import generate
from pulsarray.model.functional import execute
from pulsarray.model.timing import TimingModel, simulate_timing
from pulsarray.program import Program, pack, unpack
from pulsarray.report import build_report
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.tensors import codes_of
from pulsarray.zoo.networks import accuracy, built_in, load_digits
from pulsarray.zoo.workloads import workload

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
HEADING = "## Convolutional networks"
BASE = PRESETS["base"]
TIMING_RUNS = 25
XORS = ("xor", "xor-2-2-1", "xor-tanh", "xor-2-2-1-tanh")

console = Console(width=110, highlight=False)


@dataclass(frozen=True)
class Row:
    """One figure: what, the value, and the bar with whether it is reached ("" without one)."""

    what: str
    value: str
    bar: str = ""
    reached: bool = True


@dataclass
class Figures:
    """All rows and pictures."""

    rows: list[Row] = field(default_factory=list)
    accounts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, value: str, bar: str = "", reached: bool = True) -> None:
        """Keep and print one."""
        self.rows.append(Row(what, value, bar, reached))
        mark = "" if not bar else " [green]reached[/green]" if reached else " [red]MISSED[/red]"
        console.print(f"{what}: [bold]{value}[/bold] {f'(bar: {bar})' if bar else ''}{mark}")


def seconds_of(work: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def median_seconds(work: Callable[[], object]) -> float:
    """How long something takes, in the middle of many times."""
    return float(np.median([seconds_of(work) for _ in range(TIMING_RUNS)]))


def large_product(figures: Figures, with_scale_sim: bool) -> None:
    """GEMM 512x512x512: utilization, and the speed of model, Verilator and SCALE-Sim."""
    program = compile_gemm(512, 512, 512, BASE)
    result = simulate_timing(program)
    share = result.counters["stream_busy"] / result.cycles
    what = "GEMM 512x512x512, base, latency 64"
    figures.add(f"{what}: cycles", f"{result.cycles:,} ({len(program.instructions)} instructions)")
    figures.add(f"{what}: array busy", f"{share:.3%}", "at least 99 %", share >= 0.99)
    speeds(figures, program, what, with_scale_sim)
    account(figures, program, result)


def speeds(figures: Figures, program: Program, what: str, with_scale_sim: bool) -> None:
    """The same program on Verilator and on the timing model, and SCALE-Sim on the same product."""
    simulate(program, "verilator")  # builds
    got: list[RunResult] = []
    rtl = seconds_of(lambda: got.append(simulate(program, "verilator")))
    cycles = got[0].cycles
    differences = compare(run_model(program), got[0], program)
    figures.add(
        f"{what}: RTL against model",
        differences[0] if differences else "identical",
        "identical",
        not differences,
    )
    figures.add(
        "Verilator with cocotb and memory, base", f"{cycles / rtl:,.0f} machine cycles a second",
        "at least 150,000", cycles / rtl >= 150_000,
    )  # fmt: skip
    model = TimingModel.of(program)
    run = median_seconds(model.run)
    whole = median_seconds(lambda: TimingModel.of(program).run())
    figures.add(
        f"{what}: timing model",
        f"{run * 1e3:.2f} ms a run, {rtl / run:,.0f} times faster than Verilator ({rtl:.2f} s); "
        f"{whole * 1e3:.2f} ms with the plan of the program, {rtl / whole:,.0f} times",
        "at least 1,000 times",
        rtl / run >= 1000,
    )
    if with_scale_sim:
        figures.add(
            f"{what}: cycles and time of the three",
            f"RTL {cycles:,} in {rtl:.2f} s, model {cycles:,} in {run * 1e3:.2f} ms, "
            f"SCALE-Sim 3.0.0 {scale_sim_text()}",
        )


def scale_sim_text() -> str:
    """What SCALE-Sim says of the large product, or why it says nothing."""
    try:
        peer = scale_sim.run(512, 512, 512, BASE.dim)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"not run: {error}"
    seconds = f"{peer.seconds:.1f} s ({peer.cpu_seconds:.1f} CPU s)"
    return f"{peer.cycles:,} (ideal memory) in {seconds}"


def small_product(figures: Figures) -> None:
    """GEMM 64x64x64."""
    program = compile_gemm(64, 64, 64, BASE)
    result = simulate_timing(program)
    figures.add(
        "GEMM 64x64x64, base, latency 64: cycles", f"{result.cycles:,}", "at most 1,400",
        result.cycles <= 1400,
    )  # fmt: skip
    account(figures, program, result)


def account(figures: Figures, program: Program, result: RunResult) -> None:
    """Print where the cycles went; every cycle above the bound has a cause."""
    report = build_report(program, result)
    above = report["cycles"] - report["bound_cycles"]
    explained = sum(row["cycles"] for row in report["explanation"])
    with console.capture() as capture:
        console.print(view(report))
    text = capture.get()
    console.print(text, markup=False)
    name = f"{program.network}, batch {program.batch}"
    figures.accounts.append((name, text))
    figures.add(
        f"{name}: cycles above the bound, explained", f"{explained:,} of {above:,}", "all",
        explained == above,
    )  # fmt: skip


def digits(figures: Figures) -> None:
    """The MNIST network: cycles, and accuracy on the 1,000 test images."""
    graph, samples = built_in("mnist-mlp")
    for batch in (1, 64):
        program = compiler.compile(graph, BASE, batch=batch, calibration=samples)
        account(figures, program, simulate_timing(program))
    data = load_digits()
    config = PRESETS["small"]
    program = compiler.compile(graph, config, batch=1000, calibration=samples)
    tensor, memory = program.with_role("input")[0], program.memory.copy()
    packed = pack(codes_of(data.test_images, tensor, program), tensor, config)
    memory[tensor.address : tensor.address + packed.size] = packed
    codes = unpack(execute(program, memory), program.with_role("output")[0], config)
    quantized = float(np.mean(codes.argmax(axis=1) == data.test_labels))
    real = accuracy(graph, data.test_images, data.test_labels)
    figures.add(
        "MNIST 784-16-16-10, 1,000 test images", f"int8 {quantized:.1%}, float {real:.1%}",
        "within 1 point", quantized >= real - 0.01,
    )  # fmt: skip


def training(figures: Figures) -> None:
    """Cycles of training steps, RTL against model, and accuracy beside float64."""
    large = training_bench.large_step()
    what = "train 512-512-512, batch 64, train"
    cycles = large.result.cycles
    ratio = cycles / large.forward
    figures.add(
        f"{what}: cycles of a step", f"{cycles:,}, {ratio:.2f} times the forward pass",
        "at most 3.15 times", ratio <= 3.15,
    )  # fmt: skip
    figures.add(
        f"{what}: array busy from first to last pass", f"{large.busy:.1%}", "at least 90 %",
        large.busy >= 0.9,
    )  # fmt: skip
    figures.add(f"{what}: array busy by product", large.products)
    against_rtl(figures, f"{what}: RTL against model", large.program)
    mnist = training_bench.step_cost(workload("mnist-mlp"), PRESETS["train"], 16)
    figures.add("train MNIST 784-16-16-10, batch 16, train: cycles of a step",
                f"{mnist.result.cycles:,} ({mnist.phases})")  # fmt: skip
    against_rtl(figures, "train MNIST, batch 16: RTL against model", mnist.program)
    xor = training_bench.step_cost(workload("xor"), PRESETS["train-small"], 1)
    figures.add("train XOR 2-4-1, batch 1, train-small: cycles of a step",
                f"{xor.result.cycles:,} ({xor.phases})")  # fmt: skip
    for name, config, batch in (("lenet", "train", 8), ("resnet-digits", "train-small", 20)):
        what = f"train {name}, batch {batch}, {config}"
        step = training_bench.step_cost(workload(name), PRESETS[config], batch)
        figures.add(f"{what}: cycles of a step", f"{step.result.cycles:,} ({step.phases})")
        figures.add(f"{what}: array busy by product", step.products)
        against_rtl(figures, f"{what}: RTL against model", step.program)
    accuracies: list[training_bench.Accuracy] = []
    seconds = seconds_of(lambda: accuracies.append(training_bench.accuracy("mnist-mlp", 0)))
    figures.add("train MNIST on the model, 5 epochs of 4,000 images (with float64 beside)",
                f"{seconds:.0f} s", "under 60 s", seconds < 60)  # fmt: skip
    reached("mnist-mlp, 5 epochs", accuracies[0], figures)
    for name in ("logistic-regression", "softmax-regression", "digits-hinge"):
        reached(name, training_bench.accuracy(name, 0), figures)
    for name in XORS:
        seeds = [training_bench.accuracy(name, seed) for seed in range(10)]
        machine = sum(one.machine == 1 for one in seeds)
        real = sum(one.real == 1 for one in seeds)
        figures.add(f"train {name}: seeds of 10 with 4 of 4", f"machine {machine}, float64 {real}",
                    "as many", machine >= real)  # fmt: skip


def reached(name: str, reached_by: training_bench.Accuracy, figures: Figures) -> None:
    """Accuracy of machine and float64."""
    figures.add(
        f"train {name}: test accuracy",
        f"machine {reached_by.machine:.1%}, float64 {reached_by.real:.1%}",
        "within 1 point", reached_by.machine >= reached_by.real - 0.01,
    )  # fmt: skip


def against_rtl(figures: Figures, what: str, program: Program) -> None:
    """One run on Verilator compared with the model."""
    differences = compare(run_model(program), simulate(program, "verilator"), program)
    figures.add(what, differences[0] if differences else "identical", "identical", not differences)


def convolutional(figures: Figures) -> None:
    """The networks of the onnx package, MLPerf Tiny's and LeNet."""
    with console.capture() as capture:
        bars = networks.onnx_part(console)
        bars += networks.tiny_part(console)
        bars += networks.lenet_part(console)
    text = capture.get()
    console.print(text, markup=False)
    figures.accounts.append(("", text))
    for bar in bars:
        figures.add(*bar)


def verilog(figures: Figures) -> None:
    """Time and length of generated Verilog."""
    text: list[str] = []
    seconds = seconds_of(lambda: text.append(generate(BASE)))
    lines = len(text[0].splitlines())
    figures.add("generate, D = 16", f"{seconds:.1f} s", "under 5 s", seconds < 5)
    figures.add("generate, D = 16: lines", f"{lines:,}", "under 3,000", lines < 3000)
    wide = load_config("base", ["dim=64", "bus_bits=512"])
    seconds = seconds_of(lambda: generate(wide))
    figures.add("generate, D = 64", f"{seconds:.1f} s", "under 60 s", seconds < 60)


def machine() -> str:
    """Date, machine and versions."""
    line = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    commit = done.stdout.strip() or "none"
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    packages = ("amaranth", "cocotb", "numpy", "verilator")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    date = datetime.now(UTC).date().isoformat()
    python = platform.python_version()
    return f"{date}, commit {commit}, {model}, Python {python}, {versions}"


def page(figures: Figures, where: str) -> str:
    """docs/benchmarks.md up to the convolutional networks."""
    lines = ["# Benchmarks", "", f"Written by `make bench`: {where}."]
    lines += ["Times depend on the machine, cycles do not. Others' tools on the same shapes are"]
    lines += ["[beside](peers.md).", "", *_markdown(figures.rows), ""]
    for name, text in figures.accounts:
        lines += [f"## {name}", "", *_picture(text), ""]
    return "\n".join(lines)


def section(figures: Figures, where: str) -> str:
    """The rest of it."""
    lines = [HEADING, "", f"Measured by `make bench`: {where}.", ""]
    lines += ["ResNet-50 on Verilator, layer by layer and whole, is `make bench-resnet50`.", ""]
    lines += [*_markdown(figures.rows), ""]
    for _, text in figures.accounts:
        lines += [*_picture(text), ""]
    return "\n".join(lines)


def _picture(text: str) -> list[str]:
    return ["```text", *(line.rstrip() for line in text.strip("\n").splitlines()), "```"]


def _markdown(rows: list[Row]) -> list[str]:
    lines = ["| what | measured | bar |", "|---|---|---|"]
    for row in rows:
        bar = row.bar and f"{row.bar}{'' if row.reached else ' (missed)'}"
        lines.append(f"| {row.what} | {row.value} | {bar} |")
    return lines


def write(figures: Figures, maps: Figures) -> None:
    """The page; what was not measured stays."""
    where = machine()
    first, _, last = PAGE.read_text(encoding="utf-8").partition(HEADING)
    first = page(figures, where) + "\n" if figures.rows else first
    last = section(maps, where) if maps.rows else HEADING + last
    PAGE.write_text(first + last, encoding="utf-8")


def main() -> int:
    """Measure all; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-scale-sim", action="store_true", help="leave SCALE-Sim out")
    parser.add_argument("--networks", action="store_true", help="only convolutional networks")
    options = parser.parse_args()
    figures, maps = Figures(), Figures()
    if not options.networks:
        verilog(figures)
        small_product(figures)
        large_product(figures, not options.no_scale_sim)
        digits(figures)
        training(figures)
    convolutional(maps)
    write(figures, maps)
    rows = figures.rows + maps.rows
    table = Table(title="Bars")
    for name in ("what", "measured", "bar"):
        table.add_column(name)
    for row in rows:
        if row.bar:
            table.add_row(row.what, row.value, row.bar, style="" if row.reached else "red")
    console.print(table)
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
