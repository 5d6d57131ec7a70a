"""Recurrent cells of operators that there are: LSTM, GRU and plain RNN, one step a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["Gates", "gru", "lstm", "rnn"]


@dataclass(frozen=True, eq=False)
class Gates:
    """What the gates of a cell learn, each ``f(x W + h R + b)``.

    Parameters
    ----------
    inputs, hidden
        W (gates, I, H) and R (gates, H, H).
    biases
        (gates, H).

    Raises
    ------
    InputError
        If shapes do not fit.
    """

    inputs: Floats
    hidden: Floats
    biases: Floats

    def __post_init__(self) -> None:
        gates, size = self.biases.shape
        shapes = self.inputs.shape[::2], self.hidden.shape
        if shapes != ((gates, size), (gates, size, size)):
            raise InputError(
                f"gates: weights must be ({gates}, inputs, {size}) and ({gates}, {size}, {size}), "
                f"not {self.inputs.shape} and {self.hidden.shape}"
            )


class _Cell:
    """A cell while it is made; its operators are ``NAME.WHAT``."""

    def __init__(self, builder: Builder, gates: Gates, name: str, source: str) -> None:
        self.builder, self.gates, self.name = builder, gates, name
        self.source = source or builder.last
        self.zeros = np.zeros(gates.biases.shape[1])

    def of(self, what: str) -> str:
        """A name of its own."""
        return f"{self.name}.{what}"

    def state(self, what: str) -> str:
        """A state that begins with zeros."""
        self.builder.state(self.of(what), self.zeros)
        return self.of(what)

    def gate(self, number: int, what: str, function: str, hidden: str) -> str:
        """A gate from what is read and from a state, through a function."""
        builder, gates = self.builder, self.gates
        by, beside = self.of(f"{what}.input"), self.of(f"{what}.state")
        builder.dense(gates.inputs[number], gates.biases[number], name=by, source=self.source)
        builder.dense(gates.hidden[number], self.zeros, name=beside, source=hidden)
        builder.add(by, self.of(f"{what}.sum"))
        getattr(builder, function)(self.of(what))
        return self.of(what)


def lstm(builder: Builder, gates: Gates, name: str = "lstm", *, source: str = "") -> Builder:
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate.

    Gates are those that let in, let out, and keep, then the candidate; states are ``NAME.state``
    and ``NAME.cell``, and the result is the new state.
    """
    cell = _Cell(builder, gates, name, source)
    h, c = cell.state("state"), cell.state("cell")
    let_in, let_out, keep = (
        cell.gate(number, what, "sigmoid", h) for number, what in enumerate(("in", "out", "keep"))
    )
    candidate = cell.gate(3, "candidate", "tanh", h)
    builder.multiply(let_in, cell.of("new"), source=candidate)
    builder.multiply(c, cell.of("kept"), source=keep).add(cell.of("new"), cell.of("sum")).keep(c)
    return builder.tanh(cell.of("shown")).multiply(let_out, name).keep(h)


def gru(builder: Builder, gates: Gates, name: str = "gru", *, source: str = "") -> Builder:
    """Gated recurrent unit (Cho et al. 2014): the state is reset before its product.

    Gates are update and reset, then the candidate; the state is ``NAME.state``, and the result is
    the new one.
    """
    cell = _Cell(builder, gates, name, source)
    h = cell.state("state")
    update, reset = cell.gate(0, "update", "sigmoid", h), cell.gate(1, "reset", "sigmoid", h)
    builder.multiply(reset, cell.of("left"), source=h)
    candidate = cell.gate(2, "candidate", "tanh", cell.of("left"))
    builder.subtract(candidate, cell.of("change"), source=h)
    builder.multiply(update, cell.of("kept")).add(candidate, name)
    return builder.keep(h)


def rnn(builder: Builder, gates: Gates, name: str = "rnn", *, source: str = "") -> Builder:
    """``NAME.next``, ``tanh(x W + h R + b)``, which is the new state ``NAME.state``, too."""
    cell = _Cell(builder, gates, name, source)
    h = cell.state("state")
    cell.gate(0, "next", "tanh", h)
    return builder.keep(h)
