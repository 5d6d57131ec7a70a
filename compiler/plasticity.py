"""Neurons whose weights learn while they run: spike-timing-dependent plasticity.

Weights are state like potentials and traces, so that every stream has its own. All of it is made of
operators that there are already; the products of traces and spikes are the array's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.layout import Transpose
from pulsarray.compiler.ops.spiking import Membrane, Spike
from pulsarray.errors import InputError

__all__ = ["Plasticity", "plastic"]

_TALL = (0, 2, 1)
"""A row of numbers as a column."""


@dataclass(frozen=True, kw_only=True)
class Plasticity:
    """How neurons spike, and how their weights change.

    Parameters
    ----------
    decay, threshold
        What a run leaves of a potential, and above which one they spike; then it is 0.
    refractory
        Runs after a spike in which a neuron does not spike, and its potential stays 0.
    inhibition
        What every spike takes off the potentials of all other neurons in the next run.
    grow, fall
        What a weight gains by a spike behind it, times the trace of spikes before it; and loses
        by a spike before it, times the trace of those behind it.
    trace_decay
        What a run leaves of a trace.
    largest
        Weights stay from 0 to this.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    decay: float = 0.9
    threshold: float = 1.0
    refractory: int = 0
    inhibition: float = 0.0
    grow: float = 0.02
    fall: float = 0.02
    trace_decay: float = 0.8
    largest: float = 1.0

    def __post_init__(self) -> None:
        decays = {"decay": self.decay, "trace_decay": self.trace_decay}
        positive = {"threshold": self.threshold, "largest": self.largest}
        others = {"inhibition": self.inhibition, "grow": self.grow, "fall": self.fall}
        for name, value in {**decays, **positive, **others}.items():
            low, high = name not in others, 1.0 if name in decays else inf
            if not isfinite(value) or value < 0 or (low and not value) or value > high:
                least = "more than 0" if low else "0 or more"
                most = " and at most 1" if name in decays else ""
                raise InputError(f"{name}: must be {least}{most}, not {value:g}")
        if self.refractory < 0:
            raise InputError(f"refractory: must be 0 or more, not {self.refractory}")


def plastic(
    builder: Builder, weights: Floats, rule: Plasticity, name: str = "plastic", *, source: str = ""
) -> Builder:
    """Neurons that read spikes, a map (1, 1, K): 1 where one spikes in this run, else 0.

    With x what they read, s their spikes, and of the runs before the potentials v, the traces p
    (of x) and q (of s), and the spikes s': ``u = decay v + x W - inhibition (sum of others' s')``;
    s is 1 where u is above the threshold and no spike is in the last ``refractory`` runs; v becomes
    u where neither is, else 0. ``p = trace_decay p + x``;
    ``W = clip(W + grow p^T s - fall x^T q, 0, largest)``; ``q = trace_decay q + s``.

    Parameters
    ----------
    builder
        Takes the operators.
    weights
        W before the first run, (K, N).
    rule
        The numbers.
    name
        Of the neurons; states are ``NAME.weights``, ``NAME.potential``, ``NAME.before`` and
        ``NAME.behind``, with them ``NAME.rest`` and ``NAME.last`` where they are needed.
    source
        Another operator to read.
    """
    made = _Plastic(builder, weights, rule, name, source or builder.last)
    made.spikes()
    made.learn()
    return builder


class _Plastic:
    """The operators while they are made."""

    def __init__(
        self, builder: Builder, weights: Floats, rule: Plasticity, name: str, source: str
    ) -> None:
        self.builder, self.rule, self.name, self.source = builder, rule, name, source
        rows, columns = weights.shape
        self.before, self.behind = np.zeros((1, 1, rows)), np.zeros((1, 1, columns))
        self.weights = self.state("weights", weights[None])

    def of(self, what: str) -> str:
        """A name of its own."""
        return f"{self.name}.{what}"

    def state(self, what: str, first: Floats) -> str:
        """A state."""
        self.builder.state(self.of(what), first)
        return self.of(what)

    def times(self, factor: float, source: str, what: str, plus: float = 0.0) -> str:
        """A value times a number, plus another."""
        op = Membrane(factor, inf, drift=plus)
        return self.builder.apply(op, name=self.of(what), source=source).last

    def spikes(self) -> None:
        """Potentials, and who spikes."""
        builder, rule = self.builder, self.rule
        v = self.state("potential", self.behind)
        builder.matmul(self.weights, self.of("driven"), source=self.source)
        builder.add(self.times(rule.decay, v, "left"), self.of("sum"), source=self.of("driven"))
        u = builder.last
        if rule.inhibition:
            u = builder.subtract(self._inhibited(), self.of("inhibited"), source=u).last
        if not rule.refractory:
            builder.apply(Spike(rule.threshold), name=self.name, source=u)
            free = self.times(-1.0, self.name, "free", 1.0)
        else:
            free = self._rested(u)
        if rule.inhibition:
            builder.keep(self.of("last"), source=self.name)
        builder.multiply(free, self.of("kept"), source=u).keep(v)

    def _inhibited(self) -> str:
        """What the spikes of the run before take off others."""
        count = self.behind.size
        last = self.state("last", self.behind)
        others = self.rule.inhibition * (1.0 - np.eye(count))
        return self.builder.convolution(
            others[None, None], name=self.of("lateral"), source=last
        ).last

    def _rested(self, u: str) -> str:
        """Who is neither at rest nor spikes; those that rest do not spike."""
        builder, rule = self.builder, self.rule
        rest = self.state("rest", self.behind)
        builder.apply(Spike(-0.5), name=self.of("ready"), source=self.times(-1.0, rest, "minus"))
        builder.apply(Spike(rule.threshold), name=self.of("above"), source=u)
        builder.multiply(self.of("ready"), self.name)
        builder.relu(self.of("resting"), source=self.times(1.0, rest, "less", -1.0))
        anew = self.times(float(rule.refractory), self.name, "anew")
        builder.add(self.of("resting"), self.of("rests"), source=anew).keep(rest)
        return builder.subtract(self.name, self.of("free"), source=self.of("ready")).last

    def learn(self) -> None:
        """Traces, and weights."""
        builder, rule = self.builder, self.rule
        p, q = self.state("before", self.before), self.state("behind", self.behind)
        builder.add(self.source, self.of("before.new"), source=self.times(rule.trace_decay, p, "p"))
        builder.keep(p).apply(Transpose(_TALL), name=self.of("before.tall"))
        builder.matmul(self.times(rule.grow, self.name, "gain"), self.of("grown"),
                       source=self.of("before.tall"))  # fmt: skip
        builder.apply(Transpose(_TALL), name=self.of("tall"), source=self.source)
        builder.matmul(self.times(rule.fall, q, "loss"), self.of("fallen"), source=self.of("tall"))
        builder.subtract(self.of("fallen"), self.of("change"), source=self.of("grown"))
        builder.add(self.weights, self.of("changed")).clip(0.0, rule.largest, self.of("bounded"))
        builder.keep(self.weights)
        builder.add(self.name, self.of("behind.new"), source=self.times(rule.trace_decay, q, "q"))
        builder.keep(q)
