"""Moments of gradients as instructions of the vector unit (docs/training.md, Adam)."""

from __future__ import annotations

from typing import Any

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.moments import DIVIDED, HALF_LOG, ROOT, share
from pulsarray.compiler.ops.optimizer import Squares
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.tensors import SQUARE
from pulsarray.isa import Activation, Alu, Opcode, VectorFlag

__all__ = ["Adam"]

_SCALAR = int(VectorFlag.B_SCALAR)
_FRACTION = 15


class Adam:
    """Emits the mean of squares of gradients, and divides by its root.

    Parameters
    ----------
    lowering
        The program.
    """

    def __init__(self, lowering: Lowering) -> None:
        self.tensors, self.chip, self.rows = lowering.tensors, lowering.chip, lowering.rows
        last = lowering.config.accumulator_depth - 1
        self.here, self.there = (Words.at(bank, last, 0, 0) for bank in self.chip.aux)

    def grow(self, name: str, op: Squares) -> None:
        """The exponent of a parameter's squares, and epsilon at that of their roots."""
        register, epsilon = op.memory.format(name).name, self.tensors.epsilon
        assert epsilon is not None
        self.chip.exponent(SQUARE, 0, register, register)
        self.chip.move(Opcode.LOAD, epsilon, 0, self.here, 1)
        self.chip.compute(1, self.here, acc=self.there, shift=ROOT, x=(register, "epsilon"))

    def divisors(
        self, op: Squares, name: str, gradient: Words, bank: int, spare: Words,
        word: int, shape: tuple[int, int],
    ) -> Words:  # fmt: skip
        """What velocities are divided by, from gradients, in the first words of a bank.

        Parameters
        ----------
        op
            What sums squares up.
        name, gradient, word, shape
            The parameter, and its gradient: a place, in memory the first word, and blocks and rows.
        bank, spare
            What else may be used: a bank, and words of another one.
        """
        squares, tensor = Words.at(bank, 0, 1), self.tensors.kept[f"{name}.{op.memory.name}"]

        def many(a: Words, b: Words | None = None, acc: Words = squares, **fields: Any) -> None:
            self.chip.compute(shape, a, b, acc=acc, **fields)

        def move(op: Opcode) -> None:
            self.chip.move(op, tensor, word, squares, shape[0] * shape[1])

        scale = f"{name}.gradient"
        many(gradient, acc=spare)
        many(gradient, spare, acc=spare, alu=Alu.MUL, x=(SQUARE, scale, scale))
        move(Opcode.LOAD)
        many(
            squares, alu=Alu.MUL, flags=_SCALAR, scalar=share(op.kept), shift=_FRACTION,
            x=(SQUARE, op.memory.exponent, op.memory.exponent),
        )  # fmt: skip
        many(squares, spare, alu=Alu.ADD)
        move(Opcode.STORE)
        many(squares, activation=Activation.RECIPROCAL, table="log2")
        many(
            squares, alu=Alu.RSUB, flags=_SCALAR, scalar=HALF_LOG, shift=2,
            activation=Activation.EXP, table="exp",
        )  # fmt: skip
        many(
            squares, Words.at(self.there.bank, self.there.base, 0, 0), alu=Alu.ADD,
            activation=Activation.RECIPROCAL, table="reciprocal",
        )  # fmt: skip
        return squares

    def divide(
        self, name: str, velocity: Words, divisors: Words, shape: tuple[int, int]
    ) -> tuple[Words, str, int]:
        """Velocities divided, in their place; the name of their exponent, and what is beside it."""
        self.chip.compute(
            shape, velocity, divisors, acc=velocity, alu=Alu.SCALED,
            x=(f"{name}.root", f"{name}.velocity"),
        )  # fmt: skip
        return velocity, "", DIVIDED
