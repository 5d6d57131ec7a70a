"""Small networks, and training programs run beside the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.differentiate import LOSSES, Loss, Optimizer, TrainingNetwork, differentiate
from pulsarray.compiler.graph import Graph
from pulsarray.compiler.train import Training, compile_training
from pulsarray.compiler.train_interpreter import StepTrace, TrainInterpreter, TrainState
from pulsarray.config import Config, load_config
from pulsarray.model.functional import execute
from pulsarray.program import Program, pack, unpack

__all__ = ["SMALL", "Beside", "Case", "any_case", "differences", "network", "samples"]

SMALL = load_config("train-small", ["dim=4", "bus_bits=64"])
Ints = npt.NDArray[np.int64]


def network(sizes: Sequence[int], functions: Sequence[str], seed: int = 0) -> Graph:
    """Dense layers of random weights, each with a function."""
    random = np.random.default_rng(seed)
    builder = Builder("small", sizes[0])
    for number, function in enumerate(functions):
        shape = sizes[number], sizes[number + 1]
        weight = random.normal(0, shape[0] ** -0.5, shape)
        builder.dense(weight, random.normal(0, 0.1, shape[1]), name=f"fc{number + 1}")
        if function != "identity":
            getattr(builder, function)()
    return builder.build()


def samples(
    training: TrainingNetwork, count: int, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Random inputs, and targets that the loss allows."""
    random = np.random.default_rng(seed)
    inputs, outputs = training.graph.input.size, training.layers[-1].weight.shape[1]
    x = random.normal(0, 1, (count, inputs))
    allowed = training.loss.rule.targets
    if training.loss.name == "cross-entropy":
        return x, np.eye(outputs)[random.integers(0, outputs, count)]
    if allowed is not None:
        return x, random.choice(allowed, (count, outputs))
    return x, random.normal(0, 1, (count, outputs))


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    sizes: Sequence[int]
    functions: Sequence[str]
    loss: Loss
    optimizer: Optimizer
    batch: int
    chunk: int | None
    config: Config


def any_case(seed: int, dims: Sequence[int] = (2, 3, 4, 5, 8), most: int = 64) -> Case:
    """A random network on a random machine: 1 to 4 layers, every function and loss."""
    random = np.random.default_rng(seed)
    dim = int(random.choice(dims))
    config = load_config(
        "train-small",
        [
            f"dim={dim}",
            f"bus_bits={16 << (dim - 1).bit_length()}",
            f"accumulator_depth={random.choice([128, 256])}",
            f"scratchpad_depth={random.choice([512, 1024])}",
        ],
    )
    sizes = [int(random.integers(1, most + 1)) for _ in range(random.integers(2, 6))]
    hidden = ["identity", "relu", "sigmoid", "tanh", "step"]
    functions = [str(random.choice(hidden)) for _ in sizes[1:]]
    loss = Loss(str(random.choice(list(LOSSES))))
    functions[-1] = loss.rule.after or str(random.choice(hidden[:-1]))
    sizes[-1] = max(sizes[-1], 2)
    batch = int(random.integers(1, 34))
    divisors = [n for n in range(1, batch // 2 + 1) if batch % n == 0 and n <= 16]
    chunk = int(random.choice(divisors)) if divisors and random.random() < 0.3 else None
    optimizer = Optimizer(
        momentum=float(random.choice([0.0, 0.9])), weight_decay=float(random.choice([0.0, 0.01]))
    )
    return Case(sizes, functions, loss, optimizer, batch, chunk, config)


class Beside:
    """A training step as programs on the functional model, and in the interpreter."""

    def __init__(self, case: Case, seed: int = 0, frozen: Sequence[str] = ()) -> None:
        graph = network(case.sizes, case.functions, seed)
        self.network = differentiate(graph, case.loss, case.optimizer, frozen)
        self.training: Training = compile_training(
            self.network, case.config, batch=case.batch, chunk=case.chunk
        )
        self.interpreter = TrainInterpreter(self.network, case.config.table_segments)
        x, t = samples(self.network, case.batch, seed + 1)
        self.state: TrainState = self.interpreter.initial(x, t, learning_rate=0.1, batch=case.batch)
        self.x = self.interpreter.encode(self.state, x)
        self.t = self.interpreter.encode_target(self.state, t)
        self.interpreter.calibrate(self.state, self.x, self.t)
        self.program = self.training.first
        self.memory = self.program.memory.copy()
        for name, values in self.training.encode_state(self.state).items():
            self.write(name, values)

    def write(self, name: str, values: Ints) -> None:
        """A tensor into memory."""
        tensor = self.program.tensor(name)
        data = pack(values, tensor, self.program.config)
        self.memory[tensor.address : tensor.address + data.size] = data

    def read(self, name: str) -> Ints:
        """A tensor from memory."""
        return unpack(self.memory, self.program.tensor(name), self.program.config)

    @property
    def chunks(self) -> list[tuple[Ints, Ints]]:
        """Inputs and targets of every chunk."""
        size, count = self.training.chunk, self.training.chunks
        parts = [slice(i * size, (i + 1) * size) for i in range(count)]
        return [(self.x[part], self.t[part]) for part in parts]

    def run(self, program: Program | None) -> None:
        """Run a program on the functional model."""
        if program is not None:
            self.memory = execute(program, self.memory)

    def step(self) -> tuple[TrainState, TrainState, StepTrace]:
        """One step both ways: the state in memory, that of the interpreter, and its trace."""
        for x, t in self.chunks:
            self.write("input", x)
            self.write("target", t)
            self.run(self.training.step or self.training.accumulate)
        self.run(self.training.update)
        found = self.training.decode_state(self.read, self.state)
        trace = self.interpreter.step(self.state, self.chunks)
        return found, self.state, trace


def differences(found: TrainState, wanted: TrainState) -> list[str]:
    """Names of everything that two states do not agree on."""
    wrong = [
        f"{kind} {name}"
        for kind in ("weights", "masters", "velocities")
        for name, values in getattr(wanted, kind).items()
        if not np.array_equal(values, getattr(found, kind)[name])
    ]
    for kind in ("exponents", "counts"):
        values = getattr(wanted, kind)
        wrong += [f"{kind} {n}" for n in values if values[n] != getattr(found, kind)[n]]
    return wrong
