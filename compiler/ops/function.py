"""What functions of single elements have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Exact, Part, Rounding
from pulsarray.compiler.ir.operator import RESULT, Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.exponents import CODE_ONE, DERIVATIVES, FRACTION, SLOPE
from pulsarray.compiler.numerics.mantissas import in_floats, rne, sym
from pulsarray.compiler.numerics.tables import table

__all__ = ["Function"]

Ints = npt.NDArray[np.int64]


class Function(Operator):
    """A function of single elements: a subclass gives ``real`` and ``derivative``.

    One without parameters may give both with its class: ``at``, from x to its value, and
    ``slope_at``, from x and that value to the derivative.

    It is a table of 256 codes in int8, but where ``limits`` says that it cuts to an interval and
    does nothing else. ``is_monotonic`` says more of it.

    Class attributes
    ----------------
    keeps_slope
        Its derivative follows from its value alone.
    learns_as_identity
        Training takes its derivative as 1 (the perceptron rule).
    draws
        Of each parameter the interval that random ones are drawn from.
    """

    is_elementwise = True
    keeps_slope: ClassVar[bool] = False
    learns_as_identity: ClassVar[bool] = False
    draws: ClassVar[Sequence[tuple[float, float]]] = ()
    _at: ClassVar[staticmethod[[Array], Array]]
    _slope_at: ClassVar[staticmethod[[Array, Array], Array]]

    def __init_subclass__(
        cls,
        *,
        at: Callable[[Array], Array] | None = None,
        slope_at: Callable[[Array, Array], Array] | None = None,
        **described: Any,
    ) -> None:
        super().__init_subclass__(**{"reads": ("x",)} | described)
        if at is not None:
            cls._at = staticmethod(at)
        if slope_at is not None:
            cls._slope_at = staticmethod(slope_at)

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same."""
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """The function of all elements."""
        return np.asarray(self._at(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """Derivative at ``x``, where the function's value is ``result``."""
        return np.asarray(self._slope_at(x, result))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any parameters of their intervals."""
        return cls(*(float(rng.uniform(*interval)) for interval in cls.draws)), ()

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The error times the derivative."""
        return [error * self.derivative(arrays[0], result)]

    def gradient_by(
        self, place: int, arrays: Sequence[Array], result: Array, error: Array
    ) -> Array | None:
        """The same, where only what :meth:`gradient_reads` says is known."""
        x = result if self.keeps_slope else arrays[place]
        value = result if self.keeps_slope else self.real(x)
        return np.asarray(error * self.derivative(x, value))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """A step, that of what is rounded, or a table; a gate is a factor of the argument."""
        ((x, e_x),), rule = parts, DERIVATIVES[self.variant]
        if rule.steps:
            return np.where(x > 0, np.int64(1 << -CODE_ONE), np.int64(0)), CODE_ONE
        if rule.argument is None:
            codes, exponent = rounding.rounded(x, e_x)
            return in_floats(self.real, codes), exponent
        looked_up = _looked_up(self.variant, rule.argument, parts[0], rounding)
        if rule.gated:
            return rounding.rounded(x * looked_up, e_x + FRACTION)
        return looked_up, FRACTION

    def slope(self, part: Part, rounding: Rounding) -> Ints:
        """The derivative on mantissas, from what :meth:`gradient_reads` says; of a gate a table."""
        rule = DERIVATIVES[self.variant]
        return _looked_up(f"{self.variant}{SLOPE}", rule.argument or 0, part, rounding)

    def gradient_mantissas(
        self, gradient: Exact, parts: Sequence[Part], rounding: Rounding
    ) -> Part:
        """The error times the derivative, rounded once."""
        value, (error, e_error) = parts
        exponent = DERIVATIVES[self.variant].slope or 0
        return rounding.rounded(error * self.slope(value, rounding), e_error + exponent)

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """The value where the derivative follows from it, else the argument."""
        return (RESULT,) if self.keeps_slope else (0,)


def _looked_up(name: str, argument: int, part: Part, rounding: Rounding) -> Ints:
    """A function table of mantissas, its argument rounded to an exponent."""
    values, exponent = part
    return table(name, rounding.segments)(sym(rne(values, argument - exponent), 16))
