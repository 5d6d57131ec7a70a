"""Random networks with state: cells, neurons, traces and loops of any kind, as they run or learn.

Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.passes.unroll import over_time, unrolled
from pulsarray.compiler.recurrent import Gates, gru, lstm, rnn
from pulsarray.compiler.training.differentiate import LOSSES, Loss, Optimizer
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.sim.random.cases import Case, Group
from pulsarray.sim.random.maps import map_config, with_inputs
from pulsarray.sim.random.training_networks import DIMS, NetworkSetup, groups_of

__all__ = ["Stream", "draw_stream", "draw_time_groups", "draw_time_network", "stream_config"]

_SAMPLES = 24
MOST_RUNS, MOST_PARTS, WIDEST, LARGEST_BATCH = 4, 3, 9, 5
_OPTIMIZERS = (
    Optimizer(),
    Optimizer(momentum=0.9, weight_decay=0.01),
    Optimizer(momentum=0.9, squares=0.99),
)


class _Drawing:
    """One run of a network that grows by one part after the other, each from vector to vector."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.size = self.whole(1, WIDEST)
        self.builder = Builder("time", self.size)
        self.states: list[str] = []
        self.parts: dict[str, Callable[[str], None]] = {
            "cell": self.cell,
            "lif": self.neurons,
            "trace": self.trace,
            "loop": self.loop,
        }

    def whole(self, low: int, high: int) -> int:
        """A number of ``low .. high``."""
        return int(self.random.integers(low, high + 1))

    def normal(self, *shape: int) -> Floats:
        """Weights."""
        return self.random.normal(0, shape[-2] ** -0.5, shape)

    def some(self) -> None:
        """Some parts, in any order."""
        for number in range(self.whole(1, MOST_PARTS)):
            kind = str(self.random.choice(list(self.parts)))
            self.parts[kind](f"{kind}{number}")

    def dense(self, size: int, name: str) -> None:
        """A dense layer."""
        bias = self.random.normal(0, 0.2, size)
        self.builder.dense(self.normal(self.size, size), bias, name=name)
        self.size = size

    def cell(self, name: str) -> None:
        """An LSTM, a GRU or a plain RNN."""
        size = self.whole(1, WIDEST)
        make, count, states = (
            (lstm, 4, ("state", "cell")),
            (gru, 3, ("state",)),
            (rnn, 1, ("state",)),
        )[self.whole(0, 2)]
        gates = Gates(
            self.normal(count, self.size, size), self.normal(count, size, size),
            self.random.normal(0, 0.2, (count, size)),
        )  # fmt: skip
        make(self.builder, gates, name)
        self.states += [f"{name}.{state}" for state in states]
        self.size = size

    def neurons(self, name: str) -> None:
        """Spiking neurons, mostly behind a dense layer."""
        if self.random.random() < 0.8:
            self.dense(self.whole(1, WIDEST), f"{name}.in")
        decay = float(self.random.choice((0.5, 0.75, 0.9, 1.0)))
        threshold = float(self.random.choice((1.0, 0.5, 0.3)))
        reset = None if self.random.random() < 0.6 else 0.0
        self.builder.lif(self.size, decay, threshold, reset, name)
        self.states.append(f"{name}.membrane")

    def trace(self, name: str) -> None:
        """What was there before, less and less of it."""
        self.builder.leaky(self.size, float(self.random.choice((0.5, 0.9))), name)
        self.states.append(f"{name}.state")

    def loop(self, name: str) -> None:
        """A state of any contents with the sum, difference or product of what is there."""
        source, state = self.builder.last, f"{name}.state"
        self.builder.state(state, self.random.uniform(-0.5, 0.5, self.size))
        weight = self.normal(self.size, self.size)
        self.builder.dense(weight, name=f"{name}.again", source=state)
        join = str(self.random.choice(("add", "subtract", "multiply")))
        getattr(self.builder, join)(source, f"{name}.{join}")
        function = str(self.random.choice(("", "relu", "silu", "gelu")))
        if function:
            getattr(self.builder, function)(f"{name}.{function}")
        self.builder.keep(state)
        self.states.append(state)


def draw_time_network(random: np.random.Generator) -> NetworkSetup:
    """Any network of up to three parts and four runs."""
    loss, drawing = Loss(str(random.choice(list(LOSSES)))), _Drawing(random)
    drawing.some()
    drawing.dense(int(random.integers(2, 6)), "answer")
    if loss.rule.after:
        getattr(drawing.builder, loss.rule.after)()
    graph = over_time(drawing.builder.build(), int(random.integers(1, MOST_RUNS + 1)))
    batch = int(random.integers(1, LARGEST_BATCH + 1))
    parts = [n for n in range(1, batch + 1) if batch % n == 0]
    return NetworkSetup(
        graph=graph, loss=loss, frozen=tuple(drawing.states), batch=batch,
        optimizer=_OPTIMIZERS[int(random.integers(len(_OPTIMIZERS)))],
        chunk=int(random.choice(parts)) if random.random() < 0.2 else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """Several runs of a network in int8 as one program, whose inputs are random."""

    graph: Graph
    program: Program
    codes: Mapping[str, npt.NDArray[np.int64]]


def draw_stream(random: np.random.Generator, config: Config) -> Stream:
    """Any network of up to three parts and four runs that is possible on a machine."""
    while True:
        drawing = _Drawing(random)
        drawing.some()
        drawing.dense(drawing.whole(1, WIDEST), "answer")
        graph = drawing.builder.build()
        data = random.normal(size=(_SAMPLES, graph.input.size))
        runs, batch = drawing.whole(1, MOST_RUNS), drawing.whole(1, 3)
        try:
            whole = unrolled(quantize_graph(graph, data, config), runs)
            program = compiler.compile(whole, config, batch=batch)
        except InputError:
            continue
        shapes = {value.name: value.shape for value in whole.inputs}
        codes = {n: random.integers(-128, 128, (batch, *shape)) for n, shape in shapes.items()}
        return Stream(whole, replace(program, memory=with_inputs(program, codes)), codes)


def stream_config(random: np.random.Generator, dim: int) -> Config:
    """A machine for them: with products of two results."""
    return replace(map_config(random, dim), scale_bits=31, vector_multiply=True)


class _Streams(Group):
    """A machine and random networks with state in int8."""

    def cases(self) -> Iterator[Case]:
        """Draw the cases."""
        for index in range(self.count):
            random = np.random.default_rng((self.seed, index))
            stream = draw_stream(random, self.config)
            name = " ".join(node.name for node in stream.graph.nodes)
            yield Case(f"{name} seed={self.seed}/{index}", stream.program, index + 1, 1)


def draw_time_groups(seed: int, cases: int) -> list[Group]:
    """Two machines that train for each D, and one that does not."""
    count = cases // 3
    share = [count // len(DIMS) + (n < count % len(DIMS)) for n in range(len(DIMS))]
    streams = [
        _Streams("streams", number, stream_config(np.random.default_rng(number), dim), some)
        for number, (dim, some) in enumerate(zip(DIMS, share, strict=True), seed * 100 + 60)
    ]
    learning = groups_of(seed, cases - count, draw_time_network)
    return [*learning, *(group for group in streams if group.count)]
