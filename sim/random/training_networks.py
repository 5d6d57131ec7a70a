"""Random networks that learn: every operator in any order, as a beginner may put them together.

Most can be trained; what cannot must be refused by name. Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

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
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.sim.random.cases import Case, Group
from pulsarray.sim.random.convolution_training import convolution_config
from pulsarray.sim.random.training import DIMS, samples, training_config

__all__ = [
    "DIMS",
    "NetworkSetup",
    "Prepared",
    "draw_network_groups",
    "groups_of",
    "network_config",
    "prepare",
]

MOST_OPERATORS, MOST_CHANNELS, LARGEST_IMAGE, LARGEST_BATCH = 8, 12, 9, 6
_RATE = 0.1
_INPUTS = ((1, 28, 28), (28, 28, 1), (8, 8), (1, 1, 6))
"""Shapes of images as people write them."""


class _Drawing:
    """A network that grows by one operator after the other."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.first = self._input()
        self.builder = Builder("random", self.first)
        self.kept: list[str] = []
        self.operators: dict[str, Callable[[], object]] = {
            "flatten": self.builder.flatten,
            "dense": self.dense,
            "convolution": self.convolution,
            "maximum": self.maximum,
            "average": self.average,
            "global": self.builder.global_average_pool,
            "norm": self.norm,
            "drop": self.drop,
            "activate": self.activate,
            "keep": self.keep,
            "join": self.join,
            "other": self.other,
        }
        self.chances = np.array([1, 3, 7, 4, 2, 1, 2, 3, 6, 2, 4, 0.2])

    def _input(self) -> tuple[int, ...]:
        kind = self.random.random()
        if kind < 0.1:
            return _INPUTS[self.random.integers(len(_INPUTS))]
        if kind < 0.3:
            return (self.whole(1, 24),)
        return self.whole(1, LARGEST_IMAGE), self.whole(1, LARGEST_IMAGE), self.whole(1, 6)

    def whole(self, low: int, high: int) -> int:
        """A number of ``low .. high``."""
        return int(self.random.integers(low, high + 1))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        """Two of them, mostly the same."""
        first = self.whole(low, high)
        return (first, first) if self.random.random() < 0.6 else (first, self.whole(low, high))

    def normal(self, *shape: int) -> Floats:
        """Weights."""
        return self.random.normal(0, np.prod(shape[:-1]) ** -0.5, shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the last result."""
        return self._shape_of(self.builder.last)

    def some(self) -> None:
        """Some operators, in any order."""
        chances = self.chances / self.chances.sum()
        for _ in range(self.whole(0, MOST_OPERATORS)):
            self.operators[self.random.choice(list(self.operators), p=chances)]()

    def dense(self, outputs: int = 0) -> None:
        """A dense layer, after Flatten if it must."""
        if len(self.shape) > 1:
            self.builder.flatten()
        n = outputs or self.whole(1, 3 * MOST_CHANNELS)
        self.builder.dense(self.normal(self.shape[0], n), self.bias(n), name="fc")

    def bias(self, n: int) -> Floats | None:
        """Or none."""
        return self.random.normal(0, 0.1, n) if self.random.random() < 0.7 else None

    def window(self, least: int = 1) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Kernel, padding on both sides and dilation that mostly fit."""
        height, width, _ = self.shape
        rows, columns = self.pair(least, 4)
        kernel = min(rows, height), min(columns, width)
        some = self.random.random() < 0.3
        padding = (self.whole(0, kernel[0] // 2), self.whole(0, kernel[1] // 2))
        fits = all(2 * k - 1 <= size for k, size in zip(kernel, (height, width), strict=True))
        dilation = (2, 2) if fits and self.random.random() < 0.1 else (1, 1)
        return kernel, padding if some else (0, 0), dilation

    def convolution(self) -> None:
        """A convolution of any kind; a dense layer where there is no map."""
        if len(self.shape) != 3:
            return self.dense()
        kernel, padding, dilation = self.window()
        channels, groups = self.shape[2], 1
        if self.random.random() < 0.2:
            groups = int(
                self.random.choice([g for g in range(1, channels + 1) if not channels % g])
            )
        n = groups * self.whole(1, max(1, MOST_CHANNELS // groups))
        self.builder.convolution(
            self.normal(*kernel, channels // groups, n), self.bias(n), padding=padding,
            stride=self.pair(1, 2), dilation=dilation, groups=groups, name="conv",
        )  # fmt: skip
        return None

    def maximum(self) -> None:
        """A maximum pooling."""
        if len(self.shape) == 3:
            kernel, padding, dilation = self.window(2)
            side = self.random.random() < 0.6
            self.builder.max_pool(
                kernel, None if side else self.pair(1, 2), (0, 0) if side else padding,
                (1, 1) if side else dilation, name="pool",
            )  # fmt: skip

    def average(self) -> None:
        """An average pooling, seldom one that overlaps."""
        if len(self.shape) == 3:
            kernel, padding, _ = self.window(2)
            side = self.random.random() < 0.9
            self.builder.average_pool(
                kernel, None if side else self.pair(1, 2), (0, 0) if side else padding, name="mean"
            )

    def norm(self) -> None:
        """Batch normalization, mostly after a layer."""
        if self.random.random() < 0.8 and not self.builder.last.startswith(("conv", "fc")):
            self.convolution()
        n = self.shape[-1]
        scale, shift = self.random.uniform(0.5, 1.5, n), self.random.normal(0, 0.1, n)
        self.builder.batch_norm(scale, shift, np.zeros(n), np.ones(n), name="norm")

    def drop(self) -> None:
        """Dropout."""
        self.builder.dropout(float(self.random.choice((0.0, 0.1, 0.5, 0.75))), name="drop")

    def activate(self) -> None:
        """An activation, of anything."""
        names: tuple[str, ...]
        if self.builder.last.startswith(("conv", "fc")):
            names = ("relu", "relu", "sigmoid", "tanh", "step", "gelu", "silu")
        else:
            names = ("relu", "relu", "tanh", "sigmoid", "gelu", "silu")
        name = self.random.choice(names)
        if self.random.random() < 0.02:
            self.builder.clip(-1.0, 1.0)
        else:
            getattr(self.builder, name)()

    def keep(self) -> None:
        """Remember a value for a sum."""
        self.kept.append(self.builder.last)

    def join(self) -> None:
        """The sum with a value from before of this shape; sometimes one by itself."""
        same = [name for name in self.kept if self._shape_of(name) == self.shape]
        if self.random.random() < 0.05:
            same = [self.builder.last]
        if not same and self.kept and len(self.shape) == 3 and self._shape_of(self.kept[-1]):
            # A residual block: a convolution that keeps the shape.
            return self._block()
        if same:
            self.builder.add(str(self.random.choice(same)), name="add")
        return None

    def _block(self) -> None:
        source, channels = self.builder.last, self.shape[2]
        self.builder.convolution(self.normal(3, 3, channels, channels), padding=1, name="conv")
        self.builder.add(source, name="add")

    def _shape_of(self, name: str) -> tuple[int, ...]:
        if name == "input":
            return self.first
        graph = self.builder.build()
        node = next(node for node in graph.nodes if node.name == name)
        return graph.values[node.output].shape

    def other(self) -> None:
        """What training does not know."""
        self.builder.shuffle(self.random.permutation(self.shape[-1]).tolist())

    def end(self, loss: Loss) -> None:
        """An end that mostly suits the loss."""
        if self.random.random() < 0.95:
            self.dense(self.whole(2, 10))
        suits = loss.rule.after or str(self.random.choice(("", "", "relu", "sigmoid", "tanh")))
        if self.random.random() < 0.05:
            suits = str(self.random.choice(("softmax", "sigmoid", "step")))
        if self.random.random() < 0.03:
            self.drop()
        if suits:
            getattr(self.builder, suits)()


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkSetup:
    """What is trained, and how.

    Parameters
    ----------
    graph, loss, optimizer, frozen
        As for :func:`~pulsarray.compiler.training.differentiate.differentiate`.
    batch, chunk
        As for :func:`~pulsarray.compiler.training.train.compile_training`.
    """

    graph: Graph
    loss: Loss
    optimizer: Optimizer = field(default_factory=Optimizer)
    frozen: tuple[str, ...] = ()
    batch: int = 1
    chunk: int | None = None

    @classmethod
    def draw(cls, random: np.random.Generator) -> NetworkSetup:
        """Any network.

        Raises
        ------
        InputError
            If it is none: a window does not fit, or nothing reads a value.
        """
        loss = Loss(str(random.choice(list(LOSSES))))
        drawing = _Drawing(random)
        drawing.some()
        drawing.end(loss)
        graph = drawing.builder.build()
        batch = int(random.integers(1, LARGEST_BATCH + 1))
        parts = [n for n in range(1, batch + 1) if batch % n == 0]
        layers = [node.name for node in graph.nodes if node.name.startswith(("fc", "conv"))]
        return cls(
            graph=graph,
            loss=loss,
            optimizer=Optimizer(
                momentum=float(random.choice((0.0, 0.9))),
                weight_decay=float(random.choice((0.0, 0.01))),
            ),
            frozen=tuple(layers[:1]) if random.random() < 0.08 else (),
            batch=batch,
            chunk=int(random.choice(parts)) if random.random() < 0.2 else None,
        )

    @property
    def name(self) -> str:
        """In a few words."""
        kinds = " ".join(node.name for node in self.graph.nodes)
        chunk = "" if self.chunk is None else f" chunk={self.chunk}"
        shapes = " ".join(str(value.shape) for value in self.graph.inputs)
        return f"{shapes} {kinds} {self.loss.name} batch={self.batch}{chunk}"

    def network(self) -> TrainingNetwork:
        """What a step computes.

        Raises
        ------
        InputError
            If it cannot be trained.
        """
        return differentiate(self.graph, self.loss, self.optimizer, self.frozen)


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """A network on a machine, with random data and what it starts from."""

    training: Training
    interpreter: TrainInterpreter
    state: TrainState
    inputs: Floats
    targets: Floats

    @property
    def program(self) -> Program:
        """A step, or the first part of one, all of it in the memory image."""
        training, chunk = self.training, self.training.chunk
        x = self.interpreter.encode(self.state, self.inputs)[:chunk]
        t = self.interpreter.encode_target(self.state, self.targets)[:chunk]
        values = training.encode_state(self.state) | {"input": x, "target": t}
        return training.filled(training.first, values)


def prepare(setup: NetworkSetup, config: Config, seed: int) -> Prepared:
    """Compile a network, with random data.

    Raises
    ------
    InputError
        If it cannot be trained, or not on this machine.
    """
    network = setup.network()
    training = compile_training(network, config, batch=setup.batch, chunk=setup.chunk)
    interpreter = TrainInterpreter(network, config.table_segments)
    x, t = samples(network, setup.batch, seed)
    state = interpreter.initial(x, t, learning_rate=_RATE, batch=setup.batch, seed=seed)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    return Prepared(training=training, interpreter=interpreter, state=state, inputs=x, targets=t)


def network_config(random: np.random.Generator, dim: int) -> Config:
    """A machine for them, with tables for several functions: one in two has little room."""
    drawn = training_config if random.random() < 0.5 else convolution_config
    return replace(drawn(random, dim), tables=8)


@dataclass(frozen=True)
class _Networks(Group):
    """A machine and random networks that it can train, as ``draw`` draws them."""

    draw: Callable[[np.random.Generator], NetworkSetup] = NetworkSetup.draw

    def cases(self) -> Iterator[Case]:
        """Draw the cases."""
        index = count = 0
        while count < self.count:
            random = np.random.default_rng((self.seed, index))
            try:
                setup = self.draw(random)
                program = prepare(setup, self.config, index).program
            except InputError:
                continue
            finally:
                index += 1
            latency, interval = int(random.integers(1, 100)), int(random.choice((1, 1, 2)))
            count += 1
            yield Case(f"{setup.name} seed={self.seed}/{index - 1}", program, latency, interval)


def draw_network_groups(seed: int, cases: int) -> list[Group]:
    """Two machines for each D."""
    return groups_of(seed, cases, NetworkSetup.draw)


def groups_of(
    seed: int, cases: int, draw: Callable[[np.random.Generator], NetworkSetup]
) -> list[Group]:
    """The same of networks that something else draws."""
    share = [cases // (2 * len(DIMS))] * (2 * len(DIMS))
    for index in range(cases - sum(share)):
        share[index] += 1
    groups: list[Group] = []
    for index, count in enumerate(share):
        number = seed * 100 + 30 + index
        config = network_config(np.random.default_rng(number), DIMS[index // 2])
        groups.append(_Networks("networks", number, config, count, draw))
    return [group for group in groups if group.count]
