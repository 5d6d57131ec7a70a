"""Several VECTORs in a row on codes, element by element: what TensorFlow Lite's kernels compute.

A step is what the vector unit does with one word (docs/machine.md, section 5). Its result is codes,
or *wide*: integers of 32 bits that a word of an accumulator bank holds until a later step reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.rounding import round_half_even, scale_sums
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints
from pulsarray.compiler.ops.integer.elementwise import Alike
from pulsarray.errors import InputError

__all__ = ["Chain", "VectorStep"]

_WIDE_LOW, _WIDE_HIGH = -(1 << 31), (1 << 31) - 1
_FUNCTIONS: Mapping[str, Callable[[Ints, Ints], Ints]] = {
    "pass": lambda a, _: a,
    "add": np.add,
    "sub": np.subtract,
    "rsub": lambda a, b: b - a,
    "mul": lambda a, b: a * np.clip(b, LOW, HIGH),
    "max": np.maximum,
    "min": np.minimum,
}


@dataclass(frozen=True)
class VectorStep:
    """A VECTOR: ``round(alu(a - zero_a, b - zero_b) * multiplier / 2^shift)``.

    Parameters
    ----------
    alu
        What it does with both, by its name in the instruction set, in lower case.
    a, b
        Numbers of what it reads: the operator's inputs, then the results of steps. ``b`` may be
        None.
    zero_a, zero_b
        What is subtracted from them.
    scalar
        What counts as b where that is None.
    multiplier, shift
        Scale of the result; the multiplier is unsigned.
    factor
        What b is multiplied by to be added before rounding, with the function ``pass``; 0 for
        nothing.
    tflite
        Whether rounding is TensorFlow Lite's, else half to even.
    wide
        Whether the result is wide.
    zero, low, high
        Of codes what is added to them, and their limits.
    """

    alu: str
    a: int
    b: int | None = None
    zero_a: int = 0
    zero_b: int = 0
    scalar: int = 0
    multiplier: int = 1
    shift: int = 0
    factor: int = 0
    tflite: bool = False
    wide: bool = True
    zero: int = 0
    low: int = LOW
    high: int = HIGH

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of what it reads."""
        return (self.a,) if self.b is None else (self.a, self.b)

    def result(self, values: Sequence[Ints]) -> Ints:
        """What it makes of the values so far."""
        first = values[self.a] - self.zero_a
        second = np.asarray(
            self.scalar if self.b is None else values[self.b] - self.zero_b, np.int64
        )
        term = _FUNCTIONS[self.alu](first, second)
        if self.tflite:
            scaled = scale_sums(term, self.multiplier, self.shift)
        else:
            total = term * self.multiplier + second * self.factor
            scaled = round_half_even(np.asarray(total, np.int64), np.asarray(self.shift, np.int64))
        if self.wide:
            return np.asarray(np.clip(scaled, _WIDE_LOW, _WIDE_HIGH), np.int64)
        return np.asarray(np.clip(scaled + self.zero, self.low, self.high), np.int64)


@dataclass(frozen=True)
class Chain(Alike, title="int8_chain", summary="several VECTORs in a row", reads=("a", "b?")):
    """Steps, each of which reads inputs or the results of those before; the last makes codes.

    ``repeating`` are other steps with the same result, which may be fewer where an input repeats
    one channel; there may be none.
    """

    steps: tuple[VectorStep, ...]
    inputs: int = 2
    repeating: tuple[VectorStep, ...] = ()

    def __str__(self) -> str:
        return f"int8_chain of {len(self.steps)} steps"

    def shape(self, *shapes: Shape) -> Shape:
        """The inputs'."""
        if self.steps[-1].wide or len(shapes) != self.inputs:
            raise InputError(f"its last step must make codes of {self.inputs} inputs")
        return super().shape(*shapes)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """Codes of the last step."""
        values = [np.asarray(array, np.int64) for array in arrays]
        for step in self.steps:
            values.append(step.result(values))
        return values[-1]

    @property
    def needs(self) -> Needs:
        """Its multipliers and roundings, and 32 bits for what is wide."""
        steps = (*self.steps, *self.repeating)
        return Needs(
            multiplier=max(max(step.multiplier, step.factor) for step in steps),
            tflite=any(step.tflite for step in steps),
            product=any(step.alu == "mul" for step in steps),
            residual=any(step.factor for step in steps),
            wide=any(step.wide for step in steps),
        )
