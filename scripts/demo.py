"""The main job: a network that reads digits, on generated RTL, equal to the golden model.

Trains 784-16-16-10 on MNIST in float, quantizes it to int8, compiles it for `small`, runs 256 test
images on the model and on Verilator and 16 on Icarus, and compares every byte of memory, every
cycle, counter and event. Then it trains on the machine itself, `train-small` on Verilator: XOR from
random weights until all four answers are right, and the same MNIST network for 60 steps of batch
16, each step compared with the model in the same way. Exit code 1 if anything differs.
Usage: make demo
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pulsarray import compiler
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.training.data import TrainingData
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import PRESETS
from pulsarray.display.view import view
from pulsarray.errors import PulsarrayError
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program, pack, unpack
from pulsarray.report import build_report, differences
from pulsarray.report.products import PRODUCTS, product_shares
from pulsarray.run import RunResult
from pulsarray.sim import builds
from pulsarray.sim.compare import compare
from pulsarray.sim.device import Device, run_model, simulate
from pulsarray.tensors import codes_of
from pulsarray.trainer.history import History
from pulsarray.trainer.setup import Options
from pulsarray.trainer.trainer import Trainer
from pulsarray.zoo.networks import Digits, accuracy, built_in, load_digits
from pulsarray.zoo.workloads import workload

CONFIG = PRESETS["small"]
IMAGES = {"verilator": 256, "icarus": 16}
TRAIN_CONFIG = PRESETS["train-small"]
TRAIN_MEMORY = 1 << 20
TRAIN_IMAGES, TEST_IMAGES = 960, 200
XOR_EPOCHS = 100
SHOWN = 8
PLAIN_SHOWN = 4
SIDE = 28

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Run:
    """One program on the model and on a simulator, with the same images."""

    simulator: str
    program: Program
    expected: RunResult
    got: RunResult

    def differences(self) -> list[str]:
        """What is not identical."""
        faults = compare(self.expected, self.got, self.program)
        reports = (build_report(self.program, result) for result in (self.expected, self.got))
        return faults + differences(*reports)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done and how long it took; a spinner meanwhile on a terminal."""
    begin = time.perf_counter()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        bar.add_task(what)
        yield
    console.print(f"[green]✓[/green] {what} [dim]{time.perf_counter() - begin:.1f} s[/dim]")


def with_images(
    network: Graph, images: npt.NDArray[np.float64]
) -> tuple[Program, npt.NDArray[np.uint8]]:
    """The program for a batch of images, and memory with the images in it."""
    program = compiler.compile(network, CONFIG, batch=len(images), name="mnist-mlp")
    tensor = program.with_role("input")[0]
    memory = program.memory.copy()
    data = pack(codes_of(images, tensor, program), tensor, CONFIG)
    memory[tensor.address : tensor.address + data.size] = data
    return program, memory


def answers(program: Program, result: RunResult) -> npt.NDArray[np.int64]:
    """The digit that each image of a batch was taken for."""
    assert result.memory is not None
    codes = unpack(result.memory, program.with_role("output")[0], CONFIG)
    return np.asarray(codes.argmax(axis=1))


def run_on(simulator: str, network: Graph, digits: Digits) -> Run:
    """The first test images on a simulator and on the model."""
    program, memory = with_images(network, digits.test_images[: IMAGES[simulator]])
    return Run(
        simulator,
        program,
        run_model(program, memory),
        simulate(program, simulator, memory=memory),
    )


def picture(image: npt.NDArray[np.float64], label: int, answer: int) -> Panel:
    """A digit in half blocks, two rows of pixels a line."""
    pixels = (image.reshape(SIDE, SIDE)[2:26, 2:26] * 255).astype(int)
    text = Text()
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            colors = f"rgb({above},{above},{above}) on rgb({below},{below},{below})"
            text.append("▀", style=colors)
        text.append("\n")
    right = answer == label
    verdict = f"[{'green' if right else 'red'}]is {label}, answer {answer}[/]"
    text.rstrip()
    return Panel.fit(text, title=verdict, border_style="dim")


def plain_picture(image: npt.NDArray[np.float64], label: int, answer: int) -> list[str]:
    """The same in lines of characters, for a file or a terminal without colours."""
    shades = " .:-=+*#%@"
    pixels = image.reshape(SIDE, SIDE)[2:26:2, 2:26]
    lines = ["".join(shades[int(value * 9.99)] for value in row) for row in pixels]
    return [*lines, f"is {label}, answer {answer}".center(24)]


def show_digits(digits: Digits, labels: npt.NDArray[np.int64]) -> None:
    """Some test images with what the machine made of them, mistakes among them if there are any."""
    wrong = np.flatnonzero(labels != digits.test_labels[: len(labels)])[:2]
    right = [i for i in range(len(labels)) if i not in wrong][: SHOWN - len(wrong)]
    chosen = sorted([*right, *wrong.tolist()])
    if console.is_terminal and console.color_system:
        panels = (
            picture(digits.test_images[i], int(digits.test_labels[i]), int(labels[i]))
            for i in chosen
        )
        console.print(Columns(panels))
        return
    count = min(PLAIN_SHOWN, max(2, (console.width + 4) // 28))
    pictures = [
        plain_picture(digits.test_images[i], int(digits.test_labels[i]), int(labels[i]))
        for i in sorted([*right[: count - len(wrong[:1])], *wrong[:1].tolist()])
    ]
    for parts in zip(*pictures, strict=True):
        console.print("    ".join(parts).rstrip(), markup=False)


def identity_table(runs: list[Run]) -> Table:
    """What was compared, and how it came out."""
    table = Table(title="RTL against the golden model", title_justify="left")
    for name in ("simulator", "images", "memory bytes", "cycles", "events", "counters", "report"):
        table.add_column(name, justify="right")
    for run in runs:
        faults = run.differences()
        got = run.got
        size = 0 if got.memory is None else got.memory.size
        counts = (size, got.cycles, got.events.size, len(got.counters))
        cells = [f"{count:,}" for count in counts]
        verdict = "[green]identical[/green]" if not faults else f"[red]{faults[0]}[/red]"
        table.add_row(run.simulator, f"{run.program.batch}", *cells, verdict)
    return table


@dataclass(frozen=True)
class Trained:
    """A training on Verilator: its programs, and what came of it."""

    training: Training
    history: History
    answers: npt.NDArray[np.float64]


def train_on_machine(name: str, data: TrainingData, epochs: int) -> Trained:
    """A built-in workload on Verilator, every run compared with the model."""
    task = workload(name)
    training = compile_training(task.network(0), TRAIN_CONFIG, batch=task.batch)
    options = Options(epochs=epochs, rates=lambda _: task.learning_rate)
    with Device("verilator", check=True) as device:
        trainer = Trainer(training, device, data, options)
        history = trainer.run()
        assert data.test_inputs is not None
        return Trained(training, history, trainer.outputs(data.test_inputs))


def digit_data(digits: Digits) -> TrainingData:
    """Images for a short run, and some to test with."""
    targets = np.eye(10)
    train, test = slice(TRAIN_IMAGES), slice(TEST_IMAGES)
    return TrainingData(
        inputs=digits.train_images[train],
        targets=targets[digits.train_labels[train]],
        test_inputs=digits.test_images[test],
        test_targets=targets[digits.test_labels[test]],
    )


def show_training(xor: Trained, mnist: Trained) -> None:
    """The truth table as learned, and the short run on digits."""
    console.print()
    truth = workload("xor").data()
    pairs = zip(truth.inputs.astype(int), xor.answers[:, 0], strict=True)
    answers = ", ".join(f"{a} xor {b} = {answer:.2f}" for (a, b), answer in pairs)
    console.print(f"XOR on RTL after {len(xor.history.losses)} steps of one sample: {answers}")
    losses = mnist.history.losses
    groups = [np.mean(losses[i : i + len(losses) // 6]) for i in range(0, len(losses), 10)]
    course = " ".join(f"{value:.2f}" for value in groups)
    accuracy = mnist.history.epochs[-1].test_accuracy
    console.print(
        f"MNIST on RTL, {len(losses)} steps of 16 images: loss {course}, "
        f"{accuracy:.1%} of {TEST_IMAGES} test images"
    )
    table = Table(title="Training on RTL", title_justify="left")
    for heading in ("network", "steps", "cycles a step", "forward", "input gradient",
                    "weight gradient", "against the model"):  # fmt: skip
        table.add_column(heading, justify="right")
    for name, trained in (("XOR 2-4-1", xor), ("784-16-16-10", mnist)):
        step = trained.training.step
        assert step is not None
        result = simulate_timing(step)
        shares = product_shares(step, result.events)
        parts = [f"{shares[kind].utilization:.1%} busy" for kind in PRODUCTS]
        steps = str(len(trained.history.losses))
        table.add_row(name, steps, f"{result.cycles:,}", *parts, "[green]identical[/green]")
    console.print(table)


def main() -> int:
    """Run everything; 1 if RTL and model differ."""
    begin = time.perf_counter()
    console.rule("[bold]Pulsarray: digits on generated RTL", align="left")
    with step("train 784-16-16-10 (13,002 parameters) on 4,000 MNIST digits, float NumPy"):
        digits = load_digits()
        graph, samples = built_in("mnist-mlp")
    with step("quantize to int8; all 1,000 test images on the model"):
        network = quantize_graph(graph, samples, CONFIG)
        program, memory = with_images(network, digits.test_images)
        labels = answers(program, run_model(program, memory))
        quantized = float(np.mean(labels == digits.test_labels))
    with step(f"generate Verilog of `small` (D = {CONFIG.dim})"):
        path = builds.verilog(CONFIG)
    console.print(f"  {len(path.read_text().splitlines()):,} lines: {path}", style="dim")
    what = "build and run on Verilator (256 images) and Icarus (16)"
    with step(what), ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: run_on(name, network, digits), IMAGES))
    with step(f"generate and build `train-small` (D = {TRAIN_CONFIG.dim}, 16 bits) on Verilator"):
        builds.machine(TRAIN_CONFIG, "verilator", TRAIN_MEMORY)
    with step(
        f"train XOR 2-4-1 on Verilator, {4 * XOR_EPOCHS} steps, each compared with the model"
    ):
        xor = train_on_machine("xor", workload("xor").data(), XOR_EPOCHS)
    with step(f"train 784-16-16-10 on Verilator, {TRAIN_IMAGES // 16} steps, each compared"):
        mnist = train_on_machine("mnist-mlp", digit_data(digits), 1)
    console.print()
    show_digits(digits, answers(runs[0].program, runs[0].got))
    real = accuracy(graph, digits.test_images, digits.test_labels)
    count = len(digits.test_labels)
    console.print(f"accuracy on {count:,} test images: float {real:.1%}, int8 {quantized:.1%}")
    console.print(identity_table(runs))
    console.print(view(build_report(runs[0].program, runs[0].got)))
    show_training(xor, mnist)
    console.print(f"\n[dim]{time.perf_counter() - begin:.1f} s in all[/dim]")
    return 1 if any(run.differences() for run in runs) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PulsarrayError as error:
        Console(stderr=True).print(f"demo: {error}", markup=False, highlight=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
