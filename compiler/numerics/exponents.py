"""Arithmetic on 16-bit mantissas with shared exponents: its constants, and its activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "ALIGNED",
    "BIAS",
    "CODE_ONE",
    "DERIVATIVES",
    "FRACTION",
    "GUARD",
    "LOG2_E",
    "MASTER_BITS",
    "NORMAL",
    "PROBABILITY",
    "ROOM",
    "SLOPE",
    "SMALLER",
    "Derivative",
]

ALIGNED = -30
"""Exponent at which outputs and targets are subtracted."""
CODE_ONE = -14
"""Exponent of mantissas that are multiples of one half, of one and of minus one."""
FRACTION = -15
"""Exponent of mantissas below one."""
BIAS = -24
"""Exponent of biases."""
PROBABILITY = -31
"""Exponent of softmax's results."""
NORMAL = -12
"""Exponent of normalized values."""
GUARD = 12
"""Sums of several tensors have so many bits below the exponent of the result, and velocities below
that of their gradient."""
ROOM = 14
"""An exponent is the aimed-at bit length of its tensor less this: one bit is headroom."""
MASTER_BITS = 16
"""How far the exponents of master weights are below those of working weights."""
LOG2_E = 23637
"""log2(e) at 2^-14."""
SMALLER = 27
"""How far the gradient by what is normalized is below the exponents of its factors."""


@dataclass(frozen=True)
class Derivative:
    """How an activation treats its sums forward, and the gradient backward.

    Parameters
    ----------
    argument
        Exponent of the table's argument; None without a table.
    output
        Exponent of the output; None if it adapts.
    slope
        Exponent of the derivative as a factor; None if the gradient passes or is blocked.
    own_error
        Whether the last layer needs an error of its own beside the loss's.
    gated
        Whether the table's value is a factor of the argument itself, and the derivative comes by a
        second table from the argument, not from the output.
    """

    argument: int | None
    output: int | None
    slope: int | None
    own_error: bool
    gated: bool = False

    @property
    def steps(self) -> bool:
        """Whether it is 0 or 1."""
        return self.output == CODE_ONE


DERIVATIVES: Mapping[str, Derivative] = {
    "identity": Derivative(argument=None, output=None, slope=None, own_error=False),
    "relu": Derivative(argument=None, output=None, slope=None, own_error=True),
    "sigmoid": Derivative(argument=-12, output=FRACTION, slope=-17, own_error=True),
    "tanh": Derivative(argument=-13, output=FRACTION, slope=-15, own_error=True),
    # The perceptron rule: the error passes the step as it is.
    "step": Derivative(argument=None, output=CODE_ONE, slope=None, own_error=False),
    # Beyond the arguments of its table a gate is 0 or 1: of a sigmoid from 16, of a normal
    # distribution from 8 on, to the last bit.
    "gelu": Derivative(argument=-12, output=None, slope=CODE_ONE, own_error=True, gated=True),
    "gelu-tanh": Derivative(argument=-12, output=None, slope=CODE_ONE, own_error=True, gated=True),
    "silu": Derivative(argument=-11, output=None, slope=CODE_ONE, own_error=True, gated=True),
    # No gate: a step, whose derivative comes by a table from its argument as a gate's does.
    "surrogate_spike": Derivative(
        argument=-13, output=CODE_ONE, slope=CODE_ONE, own_error=True, gated=True
    ),
}
"""Every activation that can be trained: z (1 - z), 1 - z^2, [z > 0], 1, or by tables."""
SLOPE = " slope"
"""Ends the name of a gate's second table."""
