"""Gradients of weights and biases, and what becomes of them: summed up, or an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import (
    BIAS,
    GUARD,
    MASTER_BITS,
)
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.adam import Adam
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import Segment
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.tensors import (
    DECAY_ROW,
    MOMENTUM_ROW,
    RATE_ROW,
)
from pulsarray.isa import Activation, Alu, Opcode, VectorFlag

__all__ = ["Update"]

_STATISTIC, _LANE = int(VectorFlag.STATISTIC), int(VectorFlag.B_LANE)
_SCALAR = int(VectorFlag.B_SCALAR)
_ADD, _SUBTRACT = int(VectorFlag.ADD_AFTER), int(VectorFlag.SUB_AFTER)
_FRACTION = 15
_STAGES = 2
Some = tuple[int, tuple[int, int]]
"""Some words of a parameter: the first in memory, and how many blocks and rows of them."""


class Update:
    """Takes gradients, part by part, as they leave the array.

    Parameters
    ----------
    lowering
        The program.
    gradients
        Whether this program computes gradients (or takes sums of them from memory).
    applies
        Whether this program applies them (or adds them to sums in memory).
    """

    def __init__(self, lowering: Lowering, *, gradients: bool, applies: bool) -> None:
        self.tensors, self.chip, self.rows = lowering.tensors, lowering.chip, lowering.rows
        self.weights = lowering.weights
        self.gradients, self.applies = gradients, applies
        self.config, self.optimizer = lowering.config, lowering.network.optimizer
        self.adam = Adam(lowering) if self.optimizer.divides else None
        self._stages: dict[str, cycle[tuple[int, int]]] = {}
        self._reserved: list[int] = []
        half = self.chip.depth // 2
        here, there = self.chip.aux
        pairs = [((here, 0), (there, 0)), ((there, half), (here, half))]
        pairs += [((here, half), (there, half)), ((there, 0), (here, 0))]
        self._slots = cycle(pairs)

    # Weights

    def piece(
        self,
        layer: Step,
        names: tuple[str, str],
        pieces: Pieces,
        place: tuple[int, tuple[int, int]],
        product: Callable[[int, bool], None] | None,
        *,
        avoid: int = -1,
    ) -> None:
        """The gradient of a piece of weights; :meth:`grow` comes before the first.

        Parameters
        ----------
        layer
            The layer.
        names
            Of the exponents of its input and its error.
        pieces, place
            The piece: a column block, and a range of rows.
        product
            Emits the gradient into a bank, added to what is there or not; None if this program
            computes none.
        avoid
            A bank that it must not be in.
        """
        name, (column, part) = f"{layer.name}.weight", place
        tensor, dim = self.tensors.weights[layer.name], self.config.dim
        first, rows = pieces.rows(part)
        word = column * tensor.rows + first
        sums, some = Words.at(self.chip.next_sums(avoid), 0, 1), (word, (1, rows))
        if self._summed(name, sums, some, product and partial(product, sums.bank)):
            last = tensor.columns % dim if (column + 1) * dim >= tensor.columns else 0
            piece, mask = pieces.piece(column, part), self.tensors.masks.get(layer.name)
            inside = None if mask is None else Segment(mask, word, rows, 1, tensor.rows, column)
            self._apply(name, names, sums, some, last, piece, inside)

    def _summed(
        self, name: str, sums: Words, some: Some, product: Callable[[bool], None] | None
    ) -> bool:
        """Sums of gradients, with those from memory if there are any; whether to apply them."""
        add = not (self.gradients and self.applies)
        if add:
            self._sums(name, sums, some, Opcode.LOAD)
        if product is not None:
            product(add)
        if not self.applies:
            self._sums(name, sums, some, Opcode.STORE)
        return self.applies

    def _sums(self, name: str, sums: Words, some: Some, op: Opcode) -> None:
        """Sums of gradients from memory or to it."""
        word, (blocks, rows) = some
        self.chip.move(op, self.tensors.gradients[name], word, sums, rows, blocks, sums.steps[0], 1)

    def grow(self, name: str) -> None:
        """The exponent of a velocity, and what it was before."""
        if self.applies and self.optimizer.momentum:
            register = f"{name}.velocity"
            self.chip.exponent("velocity", 0, register)
            gradient = f"{name}.gradient"
            self.chip.exponent(register, -GUARD, gradient, maximum=True)
        if self.applies and self.adam is not None:
            self.adam.grow(name)

    # Biases

    def bias(
        self,
        layer: Step,
        error: str,
        cuts: Sequence[int],
        product: Callable[[tuple[int, int], int, bool], None] | None,
    ) -> None:
        """The gradient of a layer's biases, some column blocks at a time.

        Parameters
        ----------
        layer, error
            The layer, and the name of its error's exponent.
        cuts
            Blocks at which no range of blocks may go on; the last one is their number.
        product
            Emits the gradients of a range of blocks into a bank, D words each, added to what is
            there or not.
        """
        dim, name = self.config.dim, f"{layer.name}.bias"
        self.grow(name)
        total, low = cuts[-1], 0
        while low < total:
            end = min(c for c in cuts if c > low)
            high = min(end, low + max(1, self.chip.depth // 2 // dim))
            sums, some = Words.at(self.chip.next_sums(), 0, dim), (low, (high - low, 1))
            if self._summed(name, sums, some, product and partial(product, (low, high), sums.bank)):
                last = layer.result[2] % dim if high == total else 0
                self._apply(name, ("", error), sums, some, last, None)
            low = high

    # The update of some words

    def _apply(
        self,
        name: str,
        names: tuple[str, str],
        sums: Words,
        some: Some,
        last_lanes: int,
        piece: Segment | None,
        inside: Segment | None = None,
    ) -> None:
        """From sums of gradients to new weights; ``piece`` is None for biases.

        The words are blocks, as those of biases are, or rows of one block. Sums where ``inside``
        is 0 are of no weight.
        """
        (word, shape), words, mask = some, self._stage("gradient"), None
        if inside is not None:
            self.weights.get(inside)
            mask = Words.at(inside.bank, inside.base(inside.first), 1)
        self.chip.compute(
            shape, sums, mask, target=words, x=(f"{name}.gradient", *names),
            alu=Alu.PASS if mask is None else Alu.GATE, flags=_STATISTIC, last_lanes=last_lanes,
        )  # fmt: skip
        if inside is not None:
            self.weights.drop([inside])
        rows = shape[0] * shape[1]
        if not self.gradients:
            # They begin again from zero.
            self.chip.compute(shape, sums, acc=sums, alu=Alu.MUL, flags=_SCALAR)
            self._sums(name, sums, some, Opcode.STORE)
        (bank, base), velocity_place = next(self._slots)
        master = self.tensors.masters[name]
        total = Words.at(bank, base, 1)
        self.chip.move(Opcode.LOAD, master, word, total, rows)
        if piece is not None and self.optimizer.weight_decay:
            self._decay(name, piece, total, rows, last_lanes)
        part, spare = (words, f"{name}.gradient", 0), Words.at(*velocity_place, 1)
        divisors = None
        if self.adam is not None:
            divisors = self.adam.divisors(name, words, sums.bank, spare, word, shape)
        if self.optimizer.momentum:
            source = self._momentum(name, words, velocity_place, word, shape)
            part = source, f"{name}.velocity", 0
        if self.adam is not None and divisors is not None:
            part = self.adam.divide(name, part[0], divisors, shape)
        self._step(name, part, total, word, shape, piece)
        self.chip.move(Opcode.STORE, master, word, total, rows)

    def _decay(self, name: str, piece: Segment, total: Words, rows: int, last_lanes: int) -> None:
        self.weights.get(piece)
        self.chip.compute(
            rows, Words.at(piece.bank, piece.base(piece.first)), total, acc=total,
            alu=Alu.MUL, flags=_LANE | _SUBTRACT, parameter=DECAY_ROW, shift=-MASTER_BITS,
            x=(name, name, "decay"), last_lanes=last_lanes,
        )  # fmt: skip

    def _momentum(
        self,
        name: str,
        gradient: Words,
        place: tuple[int, int],
        word: int,
        shape: tuple[int, int],
    ) -> Words:
        """The new velocity, in the other bank."""
        velocity, rows = Words.at(*place, 1), shape[0] * shape[1]
        tensor, register = self.tensors.velocities[name], f"{name}.velocity"
        self.chip.move(Opcode.LOAD, tensor, word, velocity, rows)
        self.chip.compute(
            shape, velocity, acc=velocity, alu=Alu.MUL, flags=_LANE,
            parameter=MOMENTUM_ROW, shift=_FRACTION, x=(register, "velocity"),
        )  # fmt: skip
        self.chip.compute(
            shape, gradient, velocity, acc=velocity, flags=_ADD,
            x=(register, f"{name}.gradient"),
        )  # fmt: skip
        self.chip.move(Opcode.STORE, tensor, word, velocity, rows)
        return velocity

    def _step(
        self,
        name: str,
        part: tuple[Words, str, int],
        total: Words,
        word: int,
        shape: tuple[int, int],
        piece: Segment | None,
    ) -> None:
        """The master weights, and from them the working weights.

        ``part`` is what a step takes off: words, the name of their exponent, what it is less.
        """
        source, exponent, less = part
        fields: dict[str, Any] = {"flags": _LANE | _SUBTRACT, "parameter": RATE_ROW}
        if piece is None:
            fields |= {"shift": BIAS - less, "x": ("", exponent, "rate")}
        else:
            working = self._stage("weights")
            fields |= {
                "shift": -MASTER_BITS - less,
                "x": (name, exponent, "rate"),
                "flags": _LANE | _SUBTRACT | _STATISTIC,
                "activation": Activation.NARROW,
                "target": working,
            }
        self.chip.compute(
            shape,
            source,
            total,
            acc=total,
            alu=Alu.MUL,
            **fields,
        )
        if piece is not None:
            layer = name.removesuffix(".weight")
            self.chip.move(Opcode.STORE, self.tensors.weights[layer], word, working, shape[1])

    def _stage(self, name: str) -> Words:
        """A place for some words on their way, of several in turn."""
        if name not in self._stages:
            most = max(1, self.chip.depth // 2)
            parts = [self.rows.reserve(most, self._reserved) for _ in range(_STAGES)]
            self._reserved += [bank for bank, _ in parts]
            self._stages[name] = cycle(parts)
        return Words.at(*next(self._stages[name]), 1)
