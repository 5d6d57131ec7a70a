"""Small recurrent networks to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.recurrent import Gates, gru, lstm, rnn
from pulsarray.compiler.training.differentiate import Loss, Optimizer
from pulsarray.sim.random.training_networks import NetworkSetup

__all__ = ["CELLS", "INPUTS", "RUNS", "answer", "cell", "setup", "spiking"]

INPUTS, HIDDEN, RUNS = 3, 5, 3
CELLS: Mapping[str, tuple[Callable[..., Builder], int, tuple[str, ...]]] = {
    "rnn": (rnn, 1, ("rnn.state",)),
    "gru": (gru, 3, ("gru.state",)),
    "lstm": (lstm, 4, ("lstm.state", "lstm.cell")),
}
"""By kind what makes it, its gates and its states."""


def answer(builder: Builder, size: int) -> Graph:
    """Two classes behind what there is."""
    weight = np.random.default_rng(size).normal(0, 0.5, (size, 2))
    return builder.dense(weight, name="answer").softmax().build()


def cell(kind: str, seed: int) -> Graph:
    """One run."""
    random, (make, count, _) = np.random.default_rng(seed), CELLS[kind]
    gates = Gates(
        random.normal(0, 0.6, (count, INPUTS, HIDDEN)),
        random.normal(0, 0.5, (count, HIDDEN, HIDDEN)),
        random.normal(0, 0.1, (count, HIDDEN)),
    )
    return answer(make(Builder(kind, INPUTS), gates, kind), HIDDEN)


def setup(
    kind: str, seed: int, optimizer: Optimizer | None = None, chunk: int | None = None
) -> NetworkSetup:
    """Several runs, trained."""
    return NetworkSetup(
        graph=over_time(cell(kind, seed), RUNS), loss=Loss("cross-entropy"), batch=4, chunk=chunk,
        optimizer=optimizer or Optimizer(), frozen=CELLS[kind][2],
    )  # fmt: skip


def spiking(
    seed: int, reset: float | None = None, threshold: float = 1.0, chunk: int | None = None
) -> NetworkSetup:
    """Two layers of neurons and traces of their spikes, trained."""
    random = np.random.default_rng(seed)
    builder = Builder("spiking", INPUTS)
    builder.dense(random.normal(0, 1.5, (INPUTS, 6)), random.normal(0, 0.5, 6), name="in")
    builder.lif(6, 0.75, threshold, reset, "one")
    builder.dense(random.normal(0, 1.0, (6, HIDDEN)), name="between")
    builder.lif(HIDDEN, 0.5, 0.7, name="two").leaky(HIDDEN, 0.75, "trace")
    return NetworkSetup(
        graph=over_time(answer(builder, HIDDEN), RUNS), loss=Loss("cross-entropy"), batch=4,
        optimizer=Optimizer(momentum=0.9), chunk=chunk,
        frozen=("one.membrane", "two.membrane", "trace.state"),
    )  # fmt: skip
