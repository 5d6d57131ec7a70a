"""Random training steps: networks of one to four layers, every activation, loss and optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import (
    LOSSES,
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import Config
from pulsarray.program import Program
from pulsarray.sim.random.machines import fewer_lanes

__all__ = ["DIMS", "Setup", "dense_network", "samples", "training_config", "training_program"]

DIMS = (2, 3, 4, 5, 8)
"""Values of D that are drawn."""
WIDEST, LARGEST_BATCH, MOST_LAYERS = 64, 33, 4
_HIDDEN = ("identity", "relu", "sigmoid", "tanh", "step")
_RATE = 0.1


def dense_network(sizes: Sequence[int], functions: Sequence[str], seed: int = 0) -> Graph:
    """Dense layers of random weights, each with a function."""
    random = np.random.default_rng(seed)
    builder = Builder("random", sizes[0])
    for number, function in enumerate(functions):
        shape = sizes[number], sizes[number + 1]
        weight = random.normal(0, shape[0] ** -0.5, shape)
        builder.dense(weight, random.normal(0, 0.1, shape[1]), name=f"fc{number + 1}")
        if function != "identity":
            getattr(builder, function)()
    return builder.build()


def samples(network: TrainingNetwork, count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Random inputs, and targets that the loss allows."""
    random = np.random.default_rng(seed)
    inputs, outputs = prod(network.input_shape), network.last.weight.shape[1]
    x = random.normal(0, 1, (count, inputs))
    pixels = network.judged
    if network.loss.name == "cross-entropy":
        return x, np.eye(outputs)[random.integers(0, outputs, count * pixels)].reshape(count, -1)
    if network.loss.rule.targets is not None:
        return x, random.choice(network.loss.rule.targets, (count, outputs * pixels))
    return x, random.normal(0, 1, (count, outputs * pixels))


def training_config(random: np.random.Generator, dim: int) -> Config:
    """A small machine that can train; every bus ratio and queue depth occurs."""
    word = 16 << (dim - 1).bit_length()
    bus = int(random.choice((word, word // 2, word // 4)))
    config = Config(
        dim=dim,
        operand_bits=16,
        acc_bits=48,
        scale_bits=0,
        training=True,
        bus_bits=bus,
        burst_beats=int(random.choice([b for b in (16, 32, 64, 256) if b * bus >= 256])),
        scratchpad_banks=int(random.integers(6, 9)),
        scratchpad_depth=int(random.choice((512, 1024))),
        accumulator_banks=int(random.integers(4, 7)),
        accumulator_depth=int(random.choice((128, 256))),
        parameter_depth=8,
        tables=4,
        outstanding=int(random.integers(1, 9)),
        queue_depth=int(random.integers(1, 7)),
    )
    return fewer_lanes(random, config)


@dataclass(frozen=True)
class Setup:
    """What is trained, and how.

    Parameters
    ----------
    sizes, functions
        Widths, the input's first, and the function after each layer.
    loss, optimizer, batch, chunk
        As for :func:`~pulsarray.compiler.training.train.compile_training`.
    """

    sizes: Sequence[int]
    functions: Sequence[str]
    loss: Loss
    optimizer: Optimizer = field(default_factory=Optimizer)
    batch: int = 1
    chunk: int | None = None

    @classmethod
    def draw(cls, random: np.random.Generator) -> Setup:
        """Any network of up to four layers of up to 64 outputs, batches of up to 33."""
        layers = int(random.integers(1, MOST_LAYERS + 1))
        sizes = [int(random.integers(1, WIDEST + 1)) for _ in range(layers + 1)]
        functions = [str(random.choice(_HIDDEN)) for _ in range(layers)]
        loss = Loss(str(random.choice(list(LOSSES))))
        functions[-1] = loss.rule.after or str(random.choice(_HIDDEN[:-1]))
        sizes[-1] = max(sizes[-1], 2)
        batch = int(random.integers(1, LARGEST_BATCH + 1))
        parts = [n for n in range(1, batch // 2 + 1) if batch % n == 0 and n <= 8]
        chunk = int(random.choice(parts)) if parts and random.random() < 0.2 else None
        momentum, decay = float(random.choice((0.0, 0.9))), float(random.choice((0.0, 0.01)))
        optimizer = Optimizer(momentum=momentum, weight_decay=decay)
        return cls(sizes, functions, loss, optimizer, batch, chunk)

    @property
    def name(self) -> str:
        """In a few words."""
        shape = "-".join(map(str, self.sizes))
        parts = [shape, *self.functions, self.loss.name, f"batch={self.batch}"]
        if self.optimizer.momentum:
            parts.append("momentum")
        if self.optimizer.weight_decay:
            parts.append("decay")
        return " ".join(parts)

    def network(self, seed: int, frozen: Sequence[str] = ()) -> TrainingNetwork:
        """The network with random weights."""
        graph = dense_network(self.sizes, self.functions, seed)
        return differentiate(graph, self.loss, self.optimizer, frozen)


def training_program(setup: Setup, config: Config, seed: int) -> Program:
    """A step, or the first part of one, on random data, all of it in the memory image."""
    network = setup.network(seed)
    training = compile_training(network, config, batch=setup.batch, chunk=setup.chunk)
    interpreter = TrainInterpreter(network, config.table_segments)
    x, t = samples(network, setup.batch, seed)
    state = interpreter.initial(x, t, learning_rate=_RATE, batch=setup.batch)
    inputs, targets = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, inputs, targets)
    part = {"input": inputs[: training.chunk], "target": targets[: training.chunk]}
    return training.filled(training.first, training.encode_state(state) | part)
