"""A processor that drives the machine: digits read and learned by firmware, equal to the model.

A RISC-V processor (PicoRV32), a generated machine that trains and one memory, on Verilator. The
firmware, in C with the driver of `driver/c/`, reads 8 MNIST digits with a network of 784-16-16-10,
trains it on 8 others for one step, and reads the first ones again. All of the buffer after each
run, the cycles and the answers are compared with the model. Exit code 1 if anything differs.
Usage: make soc-demo
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from examples.soc.system import Bytes, System, build, require_tools
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.state import TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import Config, load_config
from pulsarray.errors import CheckFailed, PulsarrayError
from pulsarray.files import cache_folder
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.device import Device, run_model
from pulsarray.trainer.setup import Options
from pulsarray.trainer.trainer import Trainer
from pulsarray.zoo.networks import load_digits
from pulsarray.zoo.workloads import workload

__all__ = ["Digits", "Run", "demonstrate", "model_runs", "system_runs"]

Ints = npt.NDArray[np.int64]

CONFIG = load_config("train-small", ["trace=false", "dim=4", "bus_bits=64"])
WORKLOAD = "mnist-mlp"
BATCH = 8

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Digits:
    """Digits as the firmware has them: pixels of 8 bits, (8, 784), and labels."""

    pixels: Ints
    labels: Ints

    @property
    def images(self) -> npt.NDArray[np.float64]:
        """As the network sees them."""
        return self.pixels / 255.0

    @property
    def targets(self) -> npt.NDArray[np.float64]:
        """What the network should answer."""
        return np.asarray(np.eye(10)[self.labels])


@dataclass(frozen=True, eq=False)
class Run:
    """A run of a program: what it is, the buffer after it, its cycles, and answers if any."""

    what: str
    memory: Bytes
    cycles: int
    answers: list[int]

    def differences(self, other: Run) -> list[str]:
        """In what another run is not the same, in words."""
        places = np.flatnonzero(self.memory != other.memory)
        pairs = {"cycles": (self.cycles, other.cycles), "answers": (self.answers, other.answers)}
        differences = [f"{name}: {a}, not {b}" for name, (a, b) in pairs.items() if a != b]
        if places.size:
            differences.append(f"memory: {places.size} bytes from 0x{places[0]:x}")
        return differences


@dataclass(frozen=True, eq=False)
class Learned:
    """A network that has been trained for a while, and can go on."""

    training: Training
    interpreter: TrainInterpreter
    state: TrainState

    @property
    def programs(self) -> dict[str, Program]:
        """A step and the outputs, on the memory image of this state."""
        values = self.training.encode_state(self.state)
        assert self.training.step is not None
        pair = {"step": self.training.step, "forward": self.training.forward}
        return {name: self.training.filled(program, values) for name, program in pair.items()}


def learned(config: Config, steps: int) -> Learned:
    """The network after so many steps on the model."""
    task = workload(WORKLOAD)
    training = compile_training(task.network(0), config, batch=BATCH)
    data, rates = task.data(), Options(epochs=1, rates=lambda _: task.learning_rate)
    part = type(data)(data.inputs[: BATCH * steps], data.targets[: BATCH * steps])
    with Device("model") as device:
        trainer = Trainer(training, device, part, rates)
        trainer.run()
        state = trainer.state
    return Learned(training, TrainInterpreter(training.network, config.table_segments), state)


def chosen() -> tuple[Digits, Digits]:
    """Digits to read, and others to train on."""
    digits = load_digits()
    pairs = (digits.test_images, digits.test_labels), (digits.train_images, digits.train_labels)
    first, second = (
        Digits(np.rint(images[-BATCH:] * 255).astype(np.int64), labels[-BATCH:])
        for images, labels in pairs
    )
    return first, second


# What the model says


def model_runs(network: Learned, test: Digits, training: Digits) -> Iterator[Run]:
    """The firmware's runs on the model."""
    programs, state = network.programs, network.state
    memory = programs["step"].memory.copy()
    encode = network.interpreter
    for what, name, digits in (
        ("classify", "forward", test),
        ("train", "step", training),
        ("classify", "forward", test),
    ):
        program = programs[name]
        _put(memory, program, "input", network.training.pack(encode.encode(state, digits.images)))
        if name == "step":
            _put(memory, program, "target", encode.encode_target(state, digits.targets))
        result = run_model(program, memory)
        assert result.memory is not None
        memory = result.memory.copy()
        outputs = unpack(memory, program.tensor("output"), program.config)
        answers = outputs.argmax(axis=1).tolist() if name == "forward" else []
        yield Run(what, result.memory, result.cycles, answers)


def _put(memory: Bytes, program: Program, name: str, values: Ints) -> None:
    tensor = program.tensor(name)
    data = pack(values, tensor, program.config)
    memory[tensor.address : tensor.address + data.size] = data


# What the system does


def digits_source(network: Learned, test: Digits, training: Digits) -> str:
    """What ``digits.h`` declares, in C."""
    encode, state = network.interpreter, network.state
    shades = np.resize(np.arange(256) / 255.0, (1, 784))
    codes = encode.encode(state, shades)[0, :256]
    off, on = encode.encode_target(state, np.eye(10)[:1])[0, [1, 0]]
    lines = ['#include "digits.h"']
    for name, digits in (("test_digits", test), ("training_digits", training)):
        pixels = ",\n".join(f"{{{_list(row)}}}" for row in digits.pixels)
        lines.append(f"const struct digits {name} = {{{{{pixels}}}, {{{_list(digits.labels)}}}}};")
    lines.append(f"const short code_of_pixel[256] = {{{_list(codes)}}};")
    lines.append(f"const short code_of_target[2] = {{{off}, {on}}};")
    return "\n".join([*lines, ""])


def _list(values: Iterable[int]) -> str:
    return ", ".join(str(int(value)) for value in values)


def system_runs(system: System, buffer_bytes: int) -> Iterator[Run]:
    """The firmware's runs on the system.

    Raises
    ------
    CheckFailed
        If it reports an error, or ends early.
    """
    what, cycles, buffer, number = "", 0, 0, 0
    answers: list[int] = []
    for line in system.run():
        word, _, rest = line.partition(" ")
        if word in ("classify", "train", "end") and what:
            memory = system.memory(number)[buffer : buffer + buffer_bytes]
            yield Run(what, memory, cycles, answers)
            what, answers, number = "", [], number + 1
        if word in ("classify", "train"):
            what = word
        elif word == "buffer":
            buffer = int(rest)
        elif word == "cycles":
            cycles = int(rest)
        elif word == "answer":
            answers.append(int(rest))
        elif line != "end 0" and not line.startswith("-"):
            raise CheckFailed(f"soc-demo: the firmware says {line!r}")


# The demonstration


def demonstrate(config: Config, folder: Path, steps: int = 500) -> list[tuple[Run, Run]]:
    """Build and run the system; pairs of what the model gives and what the system gave."""
    require_tools()
    test, training = chosen()
    with console.status(f"train {WORKLOAD} for {steps} steps on the model"):
        network = learned(config, steps)
        expected = list(model_runs(network, test, training))
    with console.status("build firmware and system"):
        begin = time.perf_counter()
        programs = network.programs
        system = build(programs, folder, data=digits_source(network, test, training))
        console.print(f"built in {folder} [dim]{time.perf_counter() - begin:.1f} s[/dim]")
    pairs = []
    for want, got in zip(expected, system_runs(system, programs["step"].memory.size), strict=True):
        console.print(f"{got.what}: {got.cycles:,} cycles", *got.answers)
        pairs.append((want, got))
    return pairs


def _table(pairs: list[tuple[Run, Run]], labels: Ints) -> Table:
    table = Table(title="The system against the model", title_justify="left")
    for name in ("run", "digits", "right", "cycles", "bytes compared", "against the model"):
        table.add_column(name, justify="right")
    for want, got in pairs:
        right = str(np.sum(np.array(got.answers) == labels)) if got.answers else ""
        differences = want.differences(got)
        verdict = f"[red]{differences[0]}[/red]" if differences else "[green]identical[/green]"
        cells = [str(BATCH), right, f"{got.cycles:,}", f"{got.memory.size:,}", verdict]
        table.add_row(got.what, *cells)
    return table


def main() -> int:
    """Run everything; 1 if system and model differ."""
    begin = time.perf_counter()
    console.rule("[bold]Pulsarray: firmware on a RISC-V processor drives the machine", align="left")
    pairs = demonstrate(CONFIG, cache_folder() / "soc")
    labels = chosen()[0].labels
    console.print("they are:", *labels.tolist())
    console.print(_table(pairs, labels))
    console.print(f"[dim]{time.perf_counter() - begin:.1f} s in all[/dim]")
    return 1 if any(want.differences(got) for want, got in pairs) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PulsarrayError as error:
        Console(stderr=True).print(f"{error}", markup=False, highlight=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
