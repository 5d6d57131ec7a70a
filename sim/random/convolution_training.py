"""Random convolutions that learn: forward, input gradient and weight gradient in one step.

The convolution stands between a product that needs its input's gradient, and a dense layer;
sometimes it is pooled, or its source is added to its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.sim.random.cases import Case, Group
from pulsarray.sim.random.machines import fewer_lanes

__all__ = [
    "DIMS",
    "ConvolutionSetup",
    "convolution_cases",
    "convolution_config",
    "convolution_step",
    "draw_learning_groups",
]

DIMS = (2, 4, 5, 8)
"""Values of D that are drawn."""
MOST_CHANNELS, LARGEST_IMAGE, LARGEST_BATCH = 40, 17, 3
MOST_WORDS = 20_000
"""Bound on the words of a product, so that a simulation takes seconds."""
_RATE = 0.1
_OUTPUTS = 3


@dataclass(frozen=True, kw_only=True)
class ConvolutionSetup:
    """One convolution and what is around it.

    Parameters
    ----------
    batch, height, width
        Images and their size.
    inputs, outputs, groups
        Channels, and groups of them.
    window
        What its kernel sees.
    function
        The activation after it.
    pool, pool_stride
        Size of the windows that are pooled, 1 for none, and how far they are apart.
    adds
        Whether its source is added to its result, where the shapes allow it.
    momentum
        Of the optimizer.
    """

    batch: int
    height: int
    width: int
    inputs: int
    outputs: int
    groups: int
    window: Window
    function: str
    pool: int
    pool_stride: int
    adds: bool
    momentum: float

    @classmethod
    def draw(cls, random: np.random.Generator, dim: int = 1, most: int = 0) -> ConvolutionSetup:
        """Any convolution whose kernel fits the padded image.

        Parameters
        ----------
        random
            Draws it.
        dim, most
            With ``most``, words that enter an array of D x D in one product, at most.
        """
        while True:
            drawn = cls._any(random)
            if drawn is not None and (not most or drawn.words(dim) <= most):
                return drawn

    @classmethod
    def _any(cls, random: np.random.Generator) -> ConvolutionSetup | None:
        """One, or None if its kernel does not fit."""

        def pair(low: int, high: int) -> tuple[int, int]:
            first, second = random.integers(low, high + 1, 2)
            return int(first), int(second)

        kernel, stride, dilation = pair(1, 7), pair(1, 3), pair(1, 2)
        padding = (*pair(0, 3), *pair(0, 3))
        height, width = pair(1, LARGEST_IMAGE)
        inputs, outputs = pair(1, MOST_CHANNELS)
        groups = int(random.integers(2, 6)) if random.random() < 0.3 else 1
        inputs, outputs = (groups * max(1, n // groups) for n in (inputs, outputs))
        adds = bool(random.random() < 0.2)
        if adds:
            kernel = (kernel[0] // 2 * 2 + 1, kernel[1] // 2 * 2 + 1)
            stride, outputs = (1, 1), inputs
            top, left = (kernel[axis] // 2 * dilation[axis] for axis in (0, 1))
            padding = (top, left, top, left)
        pool = int(random.integers(1, 4))
        window = Window(kernel, stride, padding, dilation)
        try:
            result = window.output(height, width)
        except InputError:
            return None
        return cls(
            batch=int(random.integers(1, LARGEST_BATCH + 1)),
            height=height,
            width=width,
            inputs=inputs,
            outputs=outputs,
            groups=groups,
            window=window,
            function=str(random.choice(("identity", "relu", "tanh"))),
            pool=pool if min(result) >= pool else 1,
            pool_stride=max(1, pool - int(random.integers(0, 2))),
            adds=adds,
            momentum=float(random.choice((0.0, 0.9))),
        )

    def words(self, dim: int) -> int:
        """Words that enter the array in the forward product."""
        rows, columns = self.window.output(self.height, self.width)
        taps = self.window.kernel[0] * self.window.kernel[1]
        tiles = taps * -(-self.inputs // dim) * -(-self.outputs // dim)
        return self.batch * rows * columns * tiles

    @property
    def name(self) -> str:
        """In a few words."""
        window = self.window
        parts = [
            f"{self.batch}x{self.height}x{self.width}x{self.inputs}-{self.outputs}",
            f"kernel={window.kernel} stride={window.stride} padding={window.padding}",
            f"dilation={window.dilation} groups={self.groups} {self.function} "
            f"pool={self.pool}/{self.pool_stride}",
        ]
        return " ".join(parts) + (" add" if self.adds else "")

    def network(self, seed: int) -> TrainingNetwork:
        """The network with random weights."""
        random = np.random.default_rng(seed)

        def normal(*shape: int) -> Floats:
            return random.normal(0, np.prod(shape[:-1]) ** -0.5, shape)

        builder = Builder("random", (self.height, self.width, 2))
        builder.convolution(normal(1, 1, 2, self.inputs), name="before").relu(name="source")
        builder.convolution(
            normal(*self.window.kernel, self.inputs // self.groups, self.outputs),
            random.normal(0, 0.1, self.outputs),
            stride=self.window.stride,
            padding=self.window.padding,
            dilation=self.window.dilation,
            groups=self.groups,
            name="conv",
        )
        if self.adds:
            builder.add("source").relu()
        elif self.function != "identity":
            getattr(builder, self.function)()
        if self.pool > 1:
            builder.max_pool(self.pool, stride=self.pool_stride)
        builder.flatten()
        size = builder.build().output.size
        builder.dense(normal(size, _OUTPUTS), name="after")
        return differentiate(builder.build(), Loss("mse"), Optimizer(momentum=self.momentum))

    def samples(self, seed: int) -> tuple[Floats, Floats]:
        """Random inputs and targets."""
        random = np.random.default_rng(seed)
        x = random.normal(0, 1, (self.batch, self.height * self.width * 2))
        return x, random.normal(0, 1, (self.batch, _OUTPUTS))


def convolution_config(random: np.random.Generator, dim: int) -> Config:
    """A machine that can train such a network."""
    word = 16 << (dim - 1).bit_length()
    bus = int(random.choice((word, word // 2))) if dim > 2 else word
    config = Config(
        dim=dim,
        operand_bits=16,
        acc_bits=48,
        scale_bits=0,
        training=True,
        bus_bits=bus,
        scratchpad_banks=int(random.integers(7, 9)),
        scratchpad_depth=int(random.choice((2048, 4096))),
        accumulator_banks=int(random.integers(4, 6)),
        accumulator_depth=int(random.choice((128, 256))),
        parameter_depth=8,
        tables=4,
        outstanding=int(random.integers(1, 9)),
        queue_depth=int(random.integers(1, 7)),
    )
    return fewer_lanes(random, config)


def convolution_step(
    setup: ConvolutionSetup, config: Config, seed: int
) -> tuple[Program, Training, TrainInterpreter, TrainState]:
    """A step on random data, all of it in the memory image, and what it starts from."""
    network = setup.network(seed)
    training = compile_training(network, config, batch=setup.batch)
    interpreter = TrainInterpreter(network, config.table_segments)
    x, t = setup.samples(seed)
    state = interpreter.initial(x, t, learning_rate=_RATE, batch=setup.batch)
    inputs, targets = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, inputs, targets)
    part = {"input": inputs, "target": targets}
    assert training.step is not None
    program = training.filled(training.step, training.encode_state(state) | part)
    return program, training, interpreter, state


def convolution_cases(config: Config, seed: int, count: int) -> list[Case]:
    """Steps on one machine, each with a memory of its own."""
    cases = []
    for index in range(count):
        random = np.random.default_rng((seed, index))
        setup = ConvolutionSetup.draw(random, config.dim, MOST_WORDS)
        latency, interval = int(random.integers(1, 100)), int(random.choice((1, 1, 2)))
        program, *_ = convolution_step(setup, config, seed * 1000 + index)
        cases.append(Case(f"{setup.name} seed={seed}/{index}", program, latency, interval))
    return cases


class _Learning(Group):
    """A machine and random steps for it."""

    def cases(self) -> Iterator[Case]:
        """Draw the cases."""
        yield from convolution_cases(self.config, self.seed, self.count)


def draw_learning_groups(seed: int, cases: int) -> list[Group]:
    """Two machines for each D."""
    share = [cases // (2 * len(DIMS))] * (2 * len(DIMS))
    for index in range(cases - sum(share)):
        share[index] += 1
    groups: list[Group] = []
    for index, count in enumerate(share):
        number = seed * 100 + 60 + index
        config = convolution_config(np.random.default_rng(number), DIMS[index // 2])
        groups.append(_Learning("learning", number, config, count))
    return [group for group in groups if group.count]
