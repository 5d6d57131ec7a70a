"""Networks with state that learn digits of 8 x 8 pixels: row by row, or from spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.recurrent import Gates, gru, lstm, rnn

__all__ = ["CELLS", "SHOWN", "recurrent_digits", "spiking_digits"]

SHOWN = 5
"""Runs in which spiking neurons are shown a digit."""
_NEURONS, _DECAY = 32, 0.75

_ROWS, _COLUMNS, _CLASSES, _HIDDEN = 8, 8, 10, 16
CELLS: Mapping[str, tuple[Callable[..., Builder], int]] = {
    "lstm": (lstm, 4),
    "gru": (gru, 3),
    "rnn": (rnn, 1),
}
"""By name, what makes a cell, and how many gates that has."""


def recurrent_digits(kind: str, seed: int) -> Graph:
    """A cell of 16 units that sees a row a run, and a dense layer behind the last run."""
    random, (make, count) = np.random.default_rng(seed), CELLS[kind]
    gates = Gates(
        random.normal(0, _COLUMNS**-0.5, (count, _COLUMNS, _HIDDEN)),
        random.normal(0, _HIDDEN**-0.5, (count, _HIDDEN, _HIDDEN)),
        np.zeros((count, _HIDDEN)),
    )
    builder = make(Builder(f"{kind}-digits", _COLUMNS), gates, kind)
    builder.dense(random.normal(0, _HIDDEN**-0.5, (_HIDDEN, _CLASSES)), name="answer").softmax()
    return over_time(builder.build(), _ROWS)


def spiking_digits(seed: int) -> Graph:
    """Leaky integrate-and-fire neurons, whose spikes leave traces that a dense layer reads."""
    random, pixels = np.random.default_rng(seed), _ROWS * _COLUMNS
    builder = Builder("spiking-digits", pixels)
    builder.dense(random.normal(0, 2.0 * pixels**-0.5, (pixels, _NEURONS)), name="pixels")
    builder.lif(_NEURONS, _DECAY).leaky(_NEURONS, _DECAY, "trace")
    builder.dense(random.normal(0, _NEURONS**-0.5, (_NEURONS, _CLASSES)), name="answer").softmax()
    return over_time(builder.build(), SHOWN)
