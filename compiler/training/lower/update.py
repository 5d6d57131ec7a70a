"""Gradients of weights and biases, and what becomes of them: summed up, or an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, singledispatchmethod
from itertools import cycle
from typing import Any

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import (
    BIAS,
    MASTER_BITS,
)
from pulsarray.compiler.numerics.moments import FRACTION_BITS
from pulsarray.compiler.ops.optimizer import Descend, DivideByRoot, Momentum, Narrow, Squares
from pulsarray.compiler.passes.training.updates import MASTER
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.adam import Adam
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import Segment
from pulsarray.compiler.training.lower.pieces import Pieces, cut
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
_STAGES = 2
Some = tuple[int, tuple[int, int]]
"""Some words of a parameter: the first in memory, and how many blocks and rows of them."""


@dataclass(eq=False)
class _Place:
    """Where the updates of some words of a parameter happen.

    Parameters
    ----------
    name
        The parameter.
    gradient, total, velocity
        Places of its gradient, of its 32 bits, and of what is kept of gradients.
    bank
        What the gradient came from, which may be used again.
    word, shape
        The words: the first in memory, and how many blocks and rows.
    piece, last_lanes
        The piece of weights that they are (None for biases), and lanes of the last block.
    step
        What a step takes off: words, the name of their exponent, what it is less.
    divisors
        What that is divided by before.
    """

    name: str
    gradient: Words
    bank: int
    total: Words
    velocity: Words
    word: int
    shape: tuple[int, int]
    piece: Segment | None
    last_lanes: int
    step: tuple[Words, str, int]
    divisors: Words = field(init=False)


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
        self.config, self.network = lowering.config, lowering.network
        self.adam = Adam(lowering)
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
        name, (column, part) = f"{layer.owner}.weight", place
        tensor, dim = self.tensors.kept[name], self.config.dim
        first, rows = pieces.rows(part)
        word = column * tensor.rows + first
        sums, some = Words.at(self.chip.next_sums(avoid), 0, 1), (word, (1, rows))
        if self._summed(name, sums, some, product and partial(product, sums.bank)):
            last = tensor.columns % dim if (column + 1) * dim >= tensor.columns else 0
            piece, mask = pieces.piece(column, part), self.tensors.masks.get(layer.owner)
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
        """The exponents of what is kept of gradients, and what they were before."""
        if not self.applies:
            return
        for op in self.network.stateful.get(name, ()):
            register = op.memory.format(name).name
            self.chip.exponent(op.memory.exponent, 0, register)
            self.chip.exponent(register, -op.guard, f"{name}.gradient", maximum=True)
            self._grow(op, name)

    @singledispatchmethod
    def _grow(self, op: Operator, name: str) -> None:
        """What else an update needs that grows."""

    @_grow.register
    def _(self, op: Squares, name: str) -> None:
        self.adam.grow(name, op)

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
        dim, name = self.config.dim, f"{layer.owner}.bias"
        self.grow(name)
        total, most = cuts[-1], max(1, self.chip.depth // 2 // dim)
        for low, high in cut(total, most, cuts):
            sums, some = Words.at(self.chip.next_sums(), 0, dim), (low, (high - low, 1))
            if self._summed(name, sums, some, product and partial(product, (low, high), sums.bank)):
                last = layer.result[2] % dim if high == total else 0
                self._apply(name, ("", error), sums, some, last, None)

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
        (bank, base), velocity = next(self._slots)
        total = Words.at(bank, base, 1)
        master = self.tensors.kept[f"{name}{MASTER}" if name.endswith(".weight") else name]
        at = _Place(
            name, words, sums.bank, total, Words.at(*velocity, 1), word, shape, piece, last_lanes,
            step=(words, f"{name}.gradient", 0),
        )  # fmt: skip
        self.chip.move(Opcode.LOAD, master, word, total, rows)
        for node in self.network.updates_of(name):
            self._emit(node.op, node, at)
        self.chip.move(Opcode.STORE, master, word, total, rows)

    @singledispatchmethod
    def _emit(self, op: Operator, _node: Node, _at: _Place) -> None:
        """The instructions of an update: one function a class."""
        raise TypeError(op)

    @_emit.register
    def _(self, _op: Descend, node: Node, at: _Place) -> None:
        """Of the master weights, by the decay of the working weights or by what is learned."""
        emit = self._decay if node.inputs[2] == "decay" else self._step
        emit(at)

    @_emit.register
    def _(self, _op: Narrow, _node: Node, _at: _Place) -> None:
        """Nothing: the instruction that makes master weights makes the working weights, too."""

    @_emit.register
    def _(self, op: Squares, _node: Node, at: _Place) -> None:
        """The new sum, and from it what its only reader divides by."""
        at.divisors = self.adam.divisors(
            op, at.name, at.gradient, at.bank, at.velocity, at.word, at.shape
        )

    @_emit.register
    def _(self, _op: DivideByRoot, _node: Node, at: _Place) -> None:
        at.step = self.adam.divide(at.name, at.step[0], at.divisors, at.shape)

    @_emit.register
    def _(self, op: Momentum, _node: Node, at: _Place) -> None:
        """The new velocity, in the other bank."""
        velocity, rows = at.velocity, at.shape[0] * at.shape[1]
        tensor = self.tensors.kept[f"{at.name}.{op.memory.name}"]
        register, before = op.memory.format(at.name).name, op.memory.exponent
        self.chip.move(Opcode.LOAD, tensor, at.word, velocity, rows)
        self.chip.compute(
            at.shape, velocity, acc=velocity, alu=Alu.MUL, flags=_LANE,
            parameter=MOMENTUM_ROW, shift=FRACTION_BITS, x=(register, before),
        )  # fmt: skip
        self.chip.compute(
            at.shape, at.gradient, velocity, acc=velocity, flags=_ADD,
            x=(register, f"{at.name}.gradient"),
        )  # fmt: skip
        self.chip.move(Opcode.STORE, tensor, at.word, velocity, rows)
        at.step = velocity, register, 0

    def _decay(self, at: _Place) -> None:
        piece, name = at.piece, at.name
        if piece is None:
            raise TypeError(name)
        self.weights.get(piece)
        self.chip.compute(
            at.shape[0] * at.shape[1], Words.at(piece.bank, piece.base(piece.first)), at.total,
            acc=at.total, alu=Alu.MUL, flags=_LANE | _SUBTRACT, parameter=DECAY_ROW,
            shift=-MASTER_BITS, x=(name, name, "decay"), last_lanes=at.last_lanes,
        )  # fmt: skip

    def _step(self, at: _Place) -> None:
        """The master weights, and from them the working weights."""
        source, exponent, less = at.step
        fields: dict[str, Any] = {"flags": _LANE | _SUBTRACT, "parameter": RATE_ROW}
        if at.piece is None:
            fields |= {"shift": BIAS - less, "x": ("", exponent, "rate")}
        else:
            working = self._stage("weights")
            fields |= {
                "shift": -MASTER_BITS - less,
                "x": (at.name, exponent, "rate"),
                "flags": _LANE | _SUBTRACT | _STATISTIC,
                "activation": Activation.NARROW,
                "target": working,
            }
        self.chip.compute(at.shape, source, at.total, acc=at.total, alu=Alu.MUL, **fields)
        if at.piece is not None:
            self.chip.move(Opcode.STORE, self.tensors.kept[at.name], at.word, working, at.shape[1])

    def _stage(self, name: str) -> Words:
        """A place for some words on their way, of several in turn."""
        if name not in self._stages:
            most = max(1, self.chip.depth // 2)
            parts = [self.rows.reserve(most, self._reserved) for _ in range(_STAGES)]
            self._reserved += [bank for bank, _ in parts]
            self._stages[name] = cycle(parts)
        return Words.at(*next(self._stages[name]), 1)
