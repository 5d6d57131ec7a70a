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
from pulsarray.compiler.ops.reduction import ReduceMax
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
    margin
        Only neurons spike whose potential above their thresholds is less than this below the
        largest: lateral inhibition that is quicker than a run. Infinity for all.
    adapt, recover, highest
        Each neuron has a threshold of its own beside the common one (homeostasis): what a spike of
        its own adds to it, what a spike of the input ``recovery`` takes off, and what it stays
        within, either sign.
    target
        What is taken off the trace of spikes before, so that a spike behind them makes weights of
        silent inputs smaller (Diehl and Cook 2015).
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
    margin: float = inf
    adapt: float = 0.0
    recover: float = 0.0
    highest: float = 1.0
    target: float = 0.0
    grow: float = 0.02
    fall: float = 0.02
    trace_decay: float = 0.8
    largest: float = 1.0

    def __post_init__(self) -> None:
        decays = {"decay": self.decay, "trace_decay": self.trace_decay}
        positive = {name: getattr(self, name) for name in ("threshold", "highest", "largest")}
        names = "inhibition", "adapt", "recover", "target", "grow", "fall"
        others = {name: getattr(self, name) for name in names}
        for name, value in {**decays, **positive, **others}.items():
            low, high = name not in others, 1.0 if name in decays else inf
            if not isfinite(value) or value < 0 or (low and not value) or value > high:
                least = "more than 0" if low else "0 or more"
                most = " and at most 1" if name in decays else ""
                raise InputError(f"{name}: must be {least}{most}, not {value:g}")
        if self.refractory < 0:
            raise InputError(f"refractory: must be 0 or more, not {self.refractory}")
        if not self.margin > 0:
            raise InputError(f"margin: must be more than 0, not {self.margin:g}")


def plastic(
    builder: Builder,
    weights: Floats,
    rule: Plasticity,
    name: str = "plastic",
    *,
    source: str = "",
    recovery: str = "",
) -> Builder:
    """Neurons that read spikes, a map (1, 1, K): 1 where one spikes in this run, else 0.

    With x what they read, s their spikes, and of the runs before the potentials v, the traces p
    (of x) and q (of s), and the spikes s': ``u = decay v + x W - inhibition (sum of others' s')``;
    s is 1 where u, less the neuron's own threshold h, is above the threshold and above the largest
    such number less ``margin``, and no spike is in the last ``refractory`` runs; v becomes
    u where neither is, else 0. ``p = trace_decay p + x``;
    ``W = clip(W + grow (p - target)^T s - fall x^T q, 0, largest)``; ``q = trace_decay q + s``;
    ``h = clip(h + adapt s - recover r, -highest, highest)``, r the spike of ``recovery``.

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
        ``NAME.behind``, with them ``NAME.rest``, ``NAME.last`` and ``NAME.height`` where they are
        needed.
    source
        Another operator to read.
    recovery
        A map (1, 1, 1), 1 in a run in which thresholds recover, else 0.

    Raises
    ------
    InputError
        If thresholds of neurons rise and nothing is read that lets them recover, or the other way.
    """
    if bool(recovery) != bool(rule.adapt and rule.recover):
        raise InputError(
            f"{name}: adapt, recover and an input for recovery go together, "
            f"not {rule.adapt:g}, {rule.recover:g} and {recovery or 'none'}"
        )
    made = _Plastic(builder, weights, rule, name, source or builder.last)
    made.spikes()
    made.learn()
    if recovery:
        made.recover(recovery)
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
        free = self._decided(self._excess(u))
        if rule.inhibition:
            builder.keep(self.of("last"), source=self.name)
        builder.multiply(free, self.of("kept"), source=u).keep(v)

    def _excess(self, u: str) -> str:
        """Potentials less the neurons' own thresholds."""
        if not self.rule.adapt:
            return u
        height = self.state("height", self.behind)
        return self.builder.subtract(height, self.of("excess"), source=u).last

    def _decided(self, excess: str) -> str:
        """Who spikes, by all that must be; the result is who is neither at rest nor spikes."""
        rule = self.rule
        wanted = [("above", excess, rule.threshold)]
        if rule.margin < inf:
            self.builder.apply(ReduceMax(), name=self.of("most"), source=excess)
            behind = self.builder.subtract(self.of("most"), self.of("lead"), source=excess).last
            wanted.append(("near", behind, -rule.margin))
        if rule.refractory:
            rest = self.state("rest", self.behind)
            wanted.append(("ready", self.times(-1.0, rest, "minus"), -0.5))
        *first, (last, _, _) = wanted
        for what, value, threshold in wanted:
            label = self.of(what) if first else self.name
            self.builder.apply(Spike(threshold), name=label, source=value)
        so_far = self.of(wanted[0][0])
        for what, _, _ in wanted[1:]:
            label = self.name if what == last else self.of(f"{what}.too")
            so_far = self.builder.multiply(self.of(what), label, source=so_far).last
        return self._rested() if rule.refractory else self.times(-1.0, self.name, "free", 1.0)

    def _inhibited(self) -> str:
        """What the spikes of the run before take off others."""
        count = self.behind.size
        last = self.state("last", self.behind)
        others = self.rule.inhibition * (1.0 - np.eye(count))
        return self.builder.convolution(
            others[None, None], name=self.of("lateral"), source=last
        ).last

    def _rested(self) -> str:
        """Runs of rest that are left, and who is neither at rest nor spikes."""
        builder, rest = self.builder, self.of("rest")
        builder.relu(self.of("resting"), source=self.times(1.0, rest, "less", -1.0))
        anew = self.times(float(self.rule.refractory), self.name, "anew")
        builder.add(self.of("resting"), self.of("rests"), source=anew).keep(rest)
        return builder.subtract(self.name, self.of("free"), source=self.of("ready")).last

    def learn(self) -> None:
        """Traces, and weights."""
        builder, rule = self.builder, self.rule
        p, q = self.state("before", self.before), self.state("behind", self.behind)
        builder.add(self.source, self.of("before.new"), source=self.times(rule.trace_decay, p, "p"))
        builder.keep(p)
        if rule.target:
            self.times(1.0, builder.last, "before.less", -rule.target)
        builder.apply(Transpose(_TALL), name=self.of("before.tall"))
        builder.matmul(self.times(rule.grow, self.name, "gain"), self.of("grown"),
                       source=self.of("before.tall"))  # fmt: skip
        builder.apply(Transpose(_TALL), name=self.of("tall"), source=self.source)
        builder.matmul(self.times(rule.fall, q, "loss"), self.of("fallen"), source=self.of("tall"))
        builder.subtract(self.of("fallen"), self.of("change"), source=self.of("grown"))
        builder.add(self.weights, self.of("changed")).clip(0.0, rule.largest, self.of("bounded"))
        builder.keep(self.weights)
        builder.add(self.name, self.of("behind.new"), source=self.times(rule.trace_decay, q, "q"))
        builder.keep(q)

    def recover(self, recovery: str) -> None:
        """Thresholds of neurons."""
        builder, rule, height = self.builder, self.rule, self.of("height")
        builder.add(height, self.of("raised"), source=self.times(rule.adapt, self.name, "up"))
        down = np.full((1, 1, 1, self.behind.size), rule.recover)
        builder.convolution(down, name=self.of("down"), source=recovery)
        builder.subtract(self.of("down"), self.of("lowered"), source=self.of("raised"))
        builder.clip(-rule.highest, rule.highest, self.of("heights")).keep(height)
