"""Two networks trained against each other on digits of 8 x 8 pixels (Goodfellow et al., 2014).

The discriminator learns to tell digits from what the generator makes of noise; the generator
learns, through the discriminator, to have its pictures taken for digits (the non-saturating loss).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.float_reference import FloatNetwork

__all__ = [
    "FIXED",
    "NOISE",
    "FloatAdversaries",
    "Networks",
    "networks",
    "noise",
    "samples",
    "together",
]

NOISE = 16
"""Elements of the generator's input."""
_LIMIT = 4.0
_PIXELS, _HIDDEN = 64, (48, 48)
_GENERATOR, _DISCRIMINATOR = ("g1", "g2"), ("d1", "d2")


@dataclass(frozen=True)
class Networks:
    """What is trained.

    Parameters
    ----------
    discriminator
        Pictures to the probability of being real.
    generator
        Noise through the generator and the discriminator, whose layers do not learn.
    sampler
        Noise to pictures.
    """

    discriminator: TrainingNetwork
    generator: TrainingNetwork
    sampler: TrainingNetwork


def networks(seed: int, momentum: float) -> Networks:
    """Both networks with random weights; layers of one name are the same layer."""
    random = np.random.default_rng(seed)
    sizes = ((NOISE, _HIDDEN[0]), (_HIDDEN[0], _PIXELS), (_PIXELS, _HIDDEN[1]), (_HIDDEN[1], 1))
    weights = [random.normal(0, np.sqrt(2 / k), (k, n)) for k, n in sizes]
    functions = ("relu", "sigmoid", "relu", "sigmoid")
    names = (*_GENERATOR, *_DISCRIMINATOR)

    def chain(name: str, first: int, last: int) -> Graph:
        builder = Builder(name, sizes[first][0])
        for number in range(first, last):
            builder.dense(weights[number], name=names[number])
            getattr(builder, functions[number])()
        return builder.build()

    loss, optimizer = Loss("binary-cross-entropy"), Optimizer(momentum=momentum)
    return Networks(
        differentiate(chain("discriminator", 2, 4), loss, optimizer),
        differentiate(chain("generator", 0, 4), loss, optimizer, _DISCRIMINATOR),
        differentiate(chain("sampler", 0, 2), Loss("mse"), optimizer),
    )


def samples(pictures: Floats, seed: int) -> tuple[Floats, Floats]:
    """What :func:`together` reads, with noise of its own for each picture; and its targets."""
    random, count = np.random.default_rng(seed), len(pictures)
    parts = [pictures, noise(random, count), noise(random, count)]
    return np.concatenate(parts, axis=1), np.tile([1.0, 0.0, 1.0], (count, 1))


def noise(random: np.random.Generator, samples: int) -> Floats:
    """Normal noise, (samples, :data:`NOISE`), cut to +-4."""
    return np.clip(random.normal(0, 1, (samples, NOISE)), -_LIMIT, _LIMIT)


def together(seed: int) -> Graph:
    """Both networks and all that is between them as one, which three answers come from.

    Real pictures, those that the generator makes of noise, and those of other noise, through the
    discriminator each; targets are 1, 0 and 1. The generator does not learn from the second, nor
    the discriminator from the third: :data:`FIXED` has what is to be frozen. So a step is one of
    each network, both with the weights from before it (the non-saturating loss).
    """
    random = np.random.default_rng(seed)
    builder = Builder("gan-digits", {"picture": _PIXELS, "first": NOISE, "second": NOISE})
    sizes = {"g1": (NOISE, _HIDDEN[0]), "g2": (_HIDDEN[0], _PIXELS)}
    sizes |= {"d1": (_PIXELS, _HIDDEN[1]), "d2": (_HIDDEN[1], 1)}
    weights = {name: random.normal(0, np.sqrt(2 / k), (k, n)) for name, (k, n) in sizes.items()}
    for path, source in enumerate(("picture", "first", "second")):
        if path:
            builder.dense(weights["g1"], name=f"g1@{path}", source=source).relu()
            builder.dense(weights["g2"], name=f"g2@{path}").sigmoid()
            source = builder.last
        builder.dense(np.eye(_PIXELS), name=f"shown@{path}", source=source)
        builder.dense(weights["d1"], name=f"d1@{path}").relu()
        builder.dense(weights["d2"], name=f"d2@{path}")
        builder.dense(np.eye(3)[[path]], name=f"answer{path}")
        if path:
            builder.add("answer0" if path == 1 else "both", "both" if path == 1 else "all")
    graph = builder.dense(np.eye(3), name="end").sigmoid().build()
    firsts = {"g1": 1, "g2": 1, "shown": 0, "d1": 0, "d2": 0}
    read = {
        f"{name}@{path}.{what}": f"{name}@{first}.{what}"
        for name, first in firsts.items()
        for path in range(first + 1, 3)
        for what in ("weight", "bias")
    }
    return graph.rebuilt([node.renamed(read) for node in graph.nodes])


FIXED = ("g1@1", "g2@1", "d1@2", "d2@2", "shown", "answer0", "answer1", "answer2", "end")
"""What does not learn in :func:`together`."""


class FloatAdversaries:
    """The same training in float64.

    Parameters
    ----------
    adversaries
        The networks.
    learning_rate
        Of both.
    """

    def __init__(self, adversaries: Networks, learning_rate: float) -> None:
        self.discriminator = FloatNetwork(adversaries.discriminator)
        self.generator = FloatNetwork(adversaries.generator)
        self.sampler = FloatNetwork(adversaries.sampler)
        self._rate = learning_rate
        self._share()

    def _share(self) -> None:
        """What one has learned is in the others, too."""
        self.generator.parameters |= self.discriminator.parameters
        fresh_parameters = self.sampler.parameters
        fresh_parameters |= {name: self.generator.parameters[name] for name in fresh_parameters}

    def step(self, pictures: Floats, first: Floats, second: Floats) -> tuple[float, float]:
        """A step of each: the losses of discriminator and generator before it.

        Parameters
        ----------
        pictures
            Digits, (M, 64).
        first, second
            Noise for either step, (M, :data:`NOISE`).
        """
        fakes = self.sampler.result(first)
        x = np.concatenate([pictures, fakes])
        t = np.concatenate([np.ones((len(pictures), 1)), np.zeros((len(fakes), 1))])
        losses = [self.discriminator.loss(x, t)]
        self.discriminator.step(x, t, self._rate)
        self._share()
        ones = np.ones((len(second), 1))
        losses.append(self.generator.loss(second, ones))
        self.generator.step(second, ones, self._rate)
        self._share()
        return losses[0], losses[1]
