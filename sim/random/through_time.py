"""Random networks that learn through time: cells, neurons, traces and loops of any kind.

Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.recurrent import Gates, gru, lstm, rnn
from pulsarray.compiler.training.differentiate import LOSSES, Loss, Optimizer
from pulsarray.sim.random.cases import Group
from pulsarray.sim.random.training_networks import NetworkSetup, groups_of

__all__ = ["draw_time_groups", "draw_time_network"]

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


def draw_time_groups(seed: int, cases: int) -> list[Group]:
    """Two machines for each D."""
    return groups_of(seed, cases, draw_time_network)
