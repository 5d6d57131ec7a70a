"""Operators: what each is, declared once; the registry of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import ClassVar, Protocol

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.mantissas import Exact, Part, Rounding
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.errors import InputError

__all__ = ["RESULT", "Block", "Drawn", "Kind", "Operator", "registered"]

RESULT = -1
"""Stands for an operator's result among the places of its inputs."""


class Kind(Enum):
    """How the compiler brings an operator to the machine."""

    KERNEL = "kernel"
    """Lowered as it is."""
    COMPOSITE = "composite"
    """Rewritten into kernels by ``expand``."""
    HOST = "host"
    """Computed by the host at a network's end, elsewhere a composite."""
    TRAINING = "training"
    """Put into a network by the passes of training, which lower it."""


class Block(Protocol):
    """Operators that come in the place of a composite."""

    def __call__(self, op: Operator, *inputs: Value) -> Value:
        """Put an operator behind those that are there; its result."""

    def constant(self, what: str, data: Array) -> Value:
        """A constant for them."""


@dataclass(frozen=True)
class Operator:
    """An operator: a frozen dataclass of its attributes; tensors, constants too, are its inputs.

    A subclass is registered by being declared with a ``title``. It is a dataclass by itself if it
    has attributes that those before it have not:

    >>> class Square(Operator, title="square", summary="x * x, element by element"): ...

    Class attributes
    ----------------
    title
        Its name in text, in tables and in messages: lower case, words joined by ``_``.
    summary
        What it does, in a few words.
    kind
        How it reaches the machine.
    reads
        Names of its inputs in order; the last one with ``...`` where there may be more of it, with
        ``?`` where it may be left out; none where any number is taken.
    constants
        Places of inputs that must be constants or parameters, such as weights.
    positive
        Places of inputs that are positive, such as variances, or at least never 0.

    What passes ask of an operator
    ------------------------------
    is_elementwise
        It is a function of single elements of one input.
    is_monotonic
        Such a function, and it never falls.
    only_moves
        The elements of its result are those of its inputs in other places: all functions of single
        elements can as well come before it.
    only_chooses
        Each element of its result is one of its inputs': monotonic functions can come before it.
    only_trains
        It is the identity but in training.
    mixes_samples
        The result of a sample depends on the others of the batch.
    has_kinks
        Its gradient jumps where its inputs change a little.
    keeps_result
        In training its result is needed until the gradient by what it reads is known.
    keeps_others
        In training each of its two inputs is needed until the gradient by the other is known.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[Kind]
    reads: ClassVar[tuple[str, ...]]
    constants: ClassVar[frozenset[int]]
    positive: ClassVar[frozenset[int]]

    is_elementwise: ClassVar[bool] = False
    is_monotonic: ClassVar[bool] = False
    only_moves: ClassVar[bool] = False
    only_chooses: ClassVar[bool] = False
    only_trains: ClassVar[bool] = False
    mixes_samples: ClassVar[bool] = False
    has_kinks: ClassVar[bool] = False
    keeps_result: ClassVar[bool] = False
    keeps_others: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        title: str = "",
        summary: str = "",
        kind: Kind = Kind.KERNEL,
        reads: Sequence[str] = (),
        constants: Sequence[int] = (),
        positive: Sequence[int] = (),
    ) -> None:
        super().__init_subclass__()
        if not title:
            return  # What operators have in common.
        cls.title, cls.summary, cls.kind, cls.reads = title, summary, kind, tuple(reads)
        cls.constants, cls.positive = frozenset(constants), frozenset(positive)
        known = _REGISTRY.setdefault(title, cls)
        if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
            raise TypeError(f"two operators are named {title!r}")
        _REGISTRY[title] = cls

    @property
    def jumps(self) -> bool:
        """Whether its own result jumps so: it is a gradient of what has kinks."""
        return False

    @property
    def variant(self) -> str:
        """Its title, or a name of its own where tables tell its forms apart."""
        return self.title

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval that it cuts each element to, where it does nothing else."""
        return None

    @property
    def is_identity(self) -> bool:
        """Whether it changes no real number: in a quantized network a place of rounding."""
        return self.limits == (-inf, inf)

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result from those of the inputs.

        Raises
        ------
        InputError
            If attributes and shapes do not fit; the text does not name the node.
        """
        raise NotImplementedError

    def check(self, *constants: Array | None) -> None:
        """Look at the numbers of constant inputs; None stands for each input that is not constant.

        Raises
        ------
        InputError
            If they are not possible; the text does not name the node.
        """

    def real(self, *arrays: Array) -> Array:
        """The definition in real numbers.

        Inputs have the batch as their first axis, but those of ``constants``; all arithmetic has
        the type of the first one, float32 or float64.
        """
        raise NotImplementedError

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The definition in integers: int64 elements of the result, bit for bit.

        Parameters
        ----------
        arrays
            Elements of the inputs as integers, the batch first but those of ``constants``.
        formats, result
            Formats of the inputs and of the result: scales and zero points are theirs.

        Raises
        ------
        InputError
            If the operator is not defined on these formats.
        """
        raise InputError(f"{self.title} has no definition in integers")

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """The definition on 16-bit mantissas with shared exponents, bit for bit.

        Parameters
        ----------
        parts
            Integers of the inputs with their exponents, the batch first but those of ``constants``.
        rounding
            How the result is kept.

        Raises
        ------
        InputError
            If the operator has none, or a number is out of range.
        """
        raise InputError(f"{self.title} has no definition on mantissas")

    def gradient_mantissas(
        self, gradient: Exact, parts: Sequence[Part], rounding: Rounding
    ) -> Part:
        """The same of the gradient by an input, which is usually exact whatever its format.

        Parameters
        ----------
        gradient
            The gradient as an operator, of which ``parts`` are the inputs.
        """
        return gradient.exactly(parts)

    @property
    def needs(self) -> Needs:
        """What its definition in integers needs of a machine."""
        return Needs()

    @classmethod
    def has_integers(cls) -> bool:
        """Whether it has a definition in integers."""
        return cls.integer is not Operator.integer

    @classmethod
    def is_composite(cls) -> bool:
        """Whether it can be made of others."""
        return cls.expand is not Operator.expand

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Gradients of a scalar by each input, from its gradient by the result (``error``).

        None for an input that has none.

        Raises
        ------
        InputError
            If the operator has no gradient.
        """
        raise InputError(f"{self.title} has no gradient")

    def gradient_by(
        self, place: int, arrays: Sequence[Array], result: Array, error: Array
    ) -> Array | None:
        """One of :meth:`gradient`; an operator that can make it without the others does so."""
        return self.gradient(arrays, result, error)[place]

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """Places of what the gradient by an input depends on besides that by the result.

        :data:`RESULT` stands for the result; :meth:`gradient_by` reads nothing else but shapes.
        """
        return (*range(len(self.reads)), RESULT)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """What a composite is made of.

        Parameters
        ----------
        block
            Takes the operators, one after the other.
        inputs
            What it reads.

        Returns
        -------
        Value
            The result, which an operator of the block writes.
        """
        raise NotImplementedError

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one sample."""
        return 0

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """A random operator of this class that reads a value of this shape.

        Returns it and the shapes of its further inputs; None if there is none. The usual one is
        that without attributes and further inputs.
        """
        return cls(), ()


Drawn = tuple[Operator, tuple[Shape, ...]]
"""An operator, and the shapes of all of its inputs but the first."""

_REGISTRY: dict[str, type[Operator]] = {}


def registered() -> dict[str, type[Operator]]:
    """All operators by title, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))
