"""What becomes of parameters in a step: gradient descent, its momentum, and Adam's moments.

The integers are those of docs/training.md (Update).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from pulsarray.compiler.ir.formats import Kept
from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.exponents import GUARD, MASTER_BITS
from pulsarray.compiler.numerics.mantissas import limited, rne, sym
from pulsarray.compiler.numerics.moments import (
    DIVIDED,
    FRACTION_BITS,
    ROOT,
    corrected,
    divided,
    guard,
    share,
)
from pulsarray.errors import InputError

__all__ = [
    "Descend",
    "DivideByRoot",
    "Memory",
    "Momentum",
    "Narrow",
    "Optimizer",
    "Squares",
    "Stateful",
]

_MOST_SQUARES = 0.9999
"""Largest beta2: sums of squares have bits below those of gradients then."""
_WIDE = 32
_NO_ROOT = -64
"""Exponent of roots of squares at first: twice as much is the least exponent there is."""
_ONE = 1 << FRACTION_BITS


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Stochastic gradient descent, or Adam (Kingma and Ba 2015).

    Parameters
    ----------
    momentum
        From 0, without momentum, to below 1; of Adam beta1.
    weight_decay
        Of weights, times the learning rate, what a step takes off; 0 or more.
    squares
        Of Adam beta2, with which it divides steps by the root of the mean of squares of gradients;
        0 without.
    epsilon
        Added to that root.

    Raises
    ------
    InputError
        If one is out of range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    squares: float = 0.0
    epsilon: float = 1e-8

    @property
    def divides(self) -> bool:
        """Whether steps are divided by roots of means of squares."""
        return self.squares > 0

    def rates(
        self, learning_rate: float, batch: int, step: int, *, rounded: bool = False
    ) -> dict[str, float]:
        """The numbers that the updates of a step read, by name.

        Parameters
        ----------
        learning_rate
            Of the mean over the batch.
        batch, step
            Samples, and the number of the step, from 1.
        rounded
            Whether shares that are kept count as the machine has them.
        """
        by_name = {"rate": learning_rate / batch}
        if self.divides:
            shares = self.momentum, self.squares
            if rounded:
                shares = share(shares[0]) / _ONE, share(shares[1]) / _ONE
            mean, root = corrected(*shares, step)
            by_name = {"rate": learning_rate * mean, "epsilon": self.epsilon * batch * root}
        if self.weight_decay:
            by_name["decay"] = learning_rate * self.weight_decay
        return by_name

    def direction(self, gradient: str, keep: Callable[..., str], put: Callable[..., str]) -> str:
        """Name of what a step follows.

        Parameters
        ----------
        gradient
            Name of the parameter's.
        keep
            From an update that is stateful, and names of what it reads besides its memory, to the
            name of what that becomes.
        put
            From the end of a name, an operator and names of what it reads to its result's.
        """
        divisor = keep(Squares(self.squares), gradient) if self.divides else ""
        step = keep(Momentum(self.momentum), gradient) if self.momentum else gradient
        return put("step", DivideByRoot(), step, divisor, "epsilon") if self.divides else step

    def __post_init__(self) -> None:
        if not 0 <= self.squares <= _MOST_SQUARES:
            raise InputError(f"beta2: must be from 0 to {_MOST_SQUARES}, not {self.squares:g}")
        if self.divides and not 0 < self.momentum**2 < self.squares:
            raise InputError(
                f"beta1: must be more than 0 and its square less than beta2 = {self.squares:g}, "
                f"not {self.momentum:g}"
            )
        if not (self.epsilon > 0 and isfinite(self.epsilon)):
            raise InputError(f"epsilon: must be more than 0 and finite, not {self.epsilon:g}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum: must be from 0 to below 1, not {self.momentum:g}")
        if not (self.weight_decay >= 0 and isfinite(self.weight_decay)):
            raise InputError(f"weight decay: must be 0 or more, not {self.weight_decay:g}")


@dataclass(frozen=True)
class Memory:
    """What an update keeps of a parameter's gradients from step to step; zeros at first.

    Parameters
    ----------
    name, bits
        Ends the name of the state; bits of each integer.
    exponent, first
        Ends the name of its exponent, which only grows; the exponent before the first step.
    times
        The exponent of the integers is so many times that.
    """

    name: str
    bits: int
    exponent: str
    first: int
    times: int = 1

    def format(self, parameter: str) -> Kept:
        """Of the state of a parameter."""
        return Kept(self.bits, f"{parameter}.{self.exponent}", times=self.times)


class _Update(Operator):
    """What all have in common: values of one shape, then numbers that stand for all elements."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of the first value.

        Raises
        ------
        InputError
            If another has another shape.
        """
        for name, shape in zip(self.reads, shapes, strict=True):
            wanted = () if name in ("rate", "epsilon") else shapes[0]
            if shape != wanted:
                raise InputError(f"{name} must have shape {wanted}, not {shape}")
        return shapes[0]


@dataclass(frozen=True)
class Stateful(_Update):
    """An update of what is kept beside a parameter: its first value, and its result.

    All that keeps, stores, encodes or writes a checkpoint of it follows from ``memory``.

    Parameters
    ----------
    kept
        The share that stays of it from step to step, from 0 to below 1.
    """

    kept: float
    memory: ClassVar[Memory]

    @property
    def guard(self) -> int:
        """How far the memory's exponent is at least below the gradient's."""
        return GUARD


class Descend(
    _Update,
    title="descend",
    summary="parameter - rate * direction",
    kind=Kind.TRAINING,
    reads=("parameter", "direction", "rate"),
):
    """A step of descent along a direction, or weight decay along the parameter itself."""

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        parameter, direction, rate = arrays
        return np.asarray(parameter - rate * direction)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At the exponent of the parameter, 32 bits."""
        (values, exponent), (direction, e_direction), (rate, e_rate) = parts
        less = rne(direction * rate, exponent - e_direction - e_rate)
        return sym(values - less, _WIDE), exponent


class Narrow(
    _Update,
    title="narrow",
    summary="the upper 16 bits of 32: working weights of master weights",
    kind=Kind.TRAINING,
    reads=("x",),
):
    """What products read of a parameter that is kept in 32 bits; no real number changes."""

    def real(self, *arrays: Array) -> Array:
        """The value itself."""
        return arrays[0]

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Rounded to 16 bits."""
        ((values, exponent),) = parts
        return sym(rne(values, MASTER_BITS), 16), exponent + MASTER_BITS


class Momentum(
    Stateful,
    title="momentum",
    summary="velocity * kept + gradient",
    kind=Kind.TRAINING,
    reads=("velocity", "gradient"),
):
    """The sum of gradients, of which each step keeps a share (Polyak 1964)."""

    memory = Memory("velocity", _WIDE, "velocity", first=-128)

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        velocity, gradient = arrays
        return np.asarray(velocity * self.kept + gradient)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At an exponent that only grows, with guard bits below the gradient's."""
        (velocity, before), (gradient, e_gradient) = parts
        after = max(before, limited(e_gradient - self.guard))
        kept = rne(velocity * share(self.kept), FRACTION_BITS + after - before)
        return sym(kept + rne(gradient, after - e_gradient), _WIDE), after


class Squares(
    Stateful,
    title="squares",
    summary="squares * kept + gradient^2",
    kind=Kind.TRAINING,
    reads=("squares", "gradient"),
):
    """The sum of squares of gradients, of which each step keeps a share (Kingma and Ba 2015)."""

    memory = Memory("squares", 48, "root", first=_NO_ROOT, times=2)

    @property
    def guard(self) -> int:
        """How far the exponent of roots is at least below the gradient's."""
        return guard(self.kept)

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        squares, gradient = arrays
        return np.asarray(squares * self.kept + gradient * gradient)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At twice the exponent of their roots, which only grows."""
        (squares, before), (gradient, e_gradient) = parts
        after = 2 * max(before // 2, limited(e_gradient - self.guard))
        square = limited(after)
        kept = rne(squares * share(self.kept), FRACTION_BITS + square - before)
        return kept + rne(gradient * gradient, square - 2 * e_gradient), after


class DivideByRoot(
    _Update,
    title="divide_by_root",
    summary="x / (sqrt(squares) + epsilon)",
    kind=Kind.TRAINING,
    reads=("x", "squares", "epsilon"),
):
    """Velocities divided by the roots of sums of squares, as Adam does."""

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        x, squares, epsilon = arrays
        return np.asarray(x / (np.sqrt(squares) + epsilon))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """By function tables."""
        (x, e_x), (squares, e_squares), (epsilon, e_epsilon) = parts
        root = e_squares // 2
        least = int(rne(epsilon, ROOT + root - e_epsilon))
        return divided(x, squares, least, root - e_x, rounding.segments), DIVIDED
