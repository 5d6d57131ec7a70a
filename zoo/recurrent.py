"""Networks with state that learn digits: row by row, or from spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.recurrent import Gates, gru, lstm, rnn

__all__ = ["CELLS", "SHOWN", "recurrent_rows", "spiking_digits"]

SHOWN = 5
"""Runs in which spiking neurons are shown a digit."""
_NEURONS, _DECAY = 32, 0.75

_PIXELS, _CLASSES = 64, 10
CELLS: Mapping[str, tuple[Callable[..., Builder], int]] = {
    "lstm": (lstm, 4),
    "gru": (gru, 3),
    "rnn": (rnn, 1),
}
"""By name, what makes a cell, and how many gates that has."""
_KEEPS = 2
"""Which of an LSTM's is the one that keeps."""


def recurrent_rows(name: str, kind: str, side: int, hidden: int, keep: float, seed: int) -> Graph:
    """A cell of so many units that sees a row of an image a run, and a dense layer at the end.

    An LSTM's gate that keeps has the bias ``keep`` at first: with 1 it forgets late
    (Jozefowicz et al. 2015).
    """
    random, (make, count) = np.random.default_rng(seed), CELLS[kind]
    gates = Gates(
        random.normal(0, side**-0.5, (count, side, hidden)),
        random.normal(0, hidden**-0.5, (count, hidden, hidden)),
        np.zeros((count, hidden)),
    )
    if kind == "lstm":
        gates.biases[_KEEPS] = keep
    builder = make(Builder(name, side), gates, kind)
    builder.dense(random.normal(0, hidden**-0.5, (hidden, _CLASSES)), name="answer").softmax()
    return over_time(builder.build(), side)


def spiking_digits(seed: int) -> Graph:
    """Leaky integrate-and-fire neurons, whose spikes leave traces that a dense layer reads."""
    random, builder = np.random.default_rng(seed), Builder("spiking-digits", _PIXELS)
    builder.dense(random.normal(0, 2.0 * _PIXELS**-0.5, (_PIXELS, _NEURONS)), name="pixels")
    builder.lif(_NEURONS, _DECAY).leaky(_NEURONS, _DECAY, "trace")
    builder.dense(random.normal(0, _NEURONS**-0.5, (_NEURONS, _CLASSES)), name="answer").softmax()
    return over_time(builder.build(), SHOWN)
