"""Digits of 8 x 8 pixels without labels: neurons that learn by the times of spikes.

After Diehl and Cook (2015): each pixel spikes at random, the more often the brighter it is; few
neurons spike at a time, their own thresholds rise when they do, so that each has its share, and
their weights become like what they spike for. Labels only say, after learning, what each neuron
stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.plasticity import Plasticity, plastic

__all__ = ["NEURONS", "RULE", "RUNS", "Shown", "plastic_digits", "recognized", "shown"]

NEURONS, RUNS = 100, 8
"""Neurons, and runs in which a digit is shown."""
_PIXELS, _CLASSES, _LARGEST = 64, 10, 0.2
RULE = Plasticity(
    decay=0.5, threshold=0.5, margin=0.04, adapt=0.03, recover=0.008, target=1.2,
    grow=0.04 * _LARGEST, fall=0.0, trace_decay=0.6, largest=_LARGEST,
)  # fmt: skip
"""Thresholds rise as often as they recover where each neuron has its share of the spikes."""

Ints = npt.NDArray[np.int64]


def plastic_digits(seed: int) -> Graph:
    """The neurons; inputs are ``pixels`` and ``recovery``, the output ``spikes``."""
    weights = np.random.default_rng(seed).uniform(0.2, 0.7, (_PIXELS, NEURONS)) * RULE.largest
    builder = Builder("stdp-digits", {"pixels": (1, 1, _PIXELS), "recovery": (1, 1, 1)})
    plastic(builder, weights, RULE, "neurons", source="pixels", recovery="recovery")
    return builder.output("spikes", source="neurons").build()


@dataclass(frozen=True, eq=False)
class Shown:
    """Spikes in the order of runs.

    Parameters
    ----------
    inputs
        By the names of the network's inputs, (digits x RUNS, 1, 1, K), 0 or 1.
    labels
        Of the digits.
    """

    inputs: dict[str, Floats]
    labels: Ints


def shown(images: Floats, labels: Ints, seed: int) -> Shown:
    """Digits (N, 64), made equally bright, each for so many runs."""
    random, runs = np.random.default_rng(seed), len(images) * RUNS
    bright = images / images.sum(axis=1, keepdims=True) * images.sum(axis=1).mean()
    pixels = random.random((runs, _PIXELS)) < np.repeat(bright, RUNS, axis=0)
    recovery = random.random((runs, 1)) < RULE.adapt / RULE.recover / NEURONS
    inputs = {"pixels": pixels, "recovery": recovery}
    maps = {name: x.astype(np.float64)[:, None, None] for name, x in inputs.items()}
    return Shown(maps, labels)


def recognized(spikes: Floats, labels: Ints, learned: int) -> float:
    """Share of the digits after the first ``learned`` ones that are told right.

    Each neuron stands for the class that it spiked most for among those; the class whose neurons
    spike most on average is the answer.

    Parameters
    ----------
    spikes
        Of all neurons in all runs, (digits x RUNS, NEURONS).
    labels
        Of all digits.
    learned
        Digits that neurons are named by.
    """
    counts = spikes.reshape(len(labels), RUNS, -1).sum(axis=1)
    first, classes = labels[:learned], range(_CLASSES)
    means = np.array([counts[:learned][first == c].mean(axis=0) for c in classes])
    named = means.argmax(axis=0)
    votes = np.array([counts[:, named == c].sum(axis=1) for c in classes])
    votes = votes / np.maximum(np.bincount(named, minlength=_CLASSES), 1)[:, None]
    return float((votes.argmax(axis=0)[learned:] == labels[learned:]).mean())
