"""Operators: what each is, declared once; the registry of all."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar

from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Kind", "Operator", "registered"]


class Kind(Enum):
    """How the compiler brings an operator to the machine."""

    KERNEL = "kernel"
    """Lowered as it is."""
    COMPOSITE = "composite"
    """Rewritten into kernels by ``expand``."""
    HOST = "host"
    """Only at a network's ends, where the host computes it."""


class Operator:
    """An operator: a frozen dataclass of its attributes; tensors, constants too, are its inputs.

    A subclass is registered by being declared with a ``title``:

    >>> @dataclass(frozen=True)
    ... class Square(Operator, title="square", summary="x * x, element by element"): ...

    Class attributes
    ----------------
    title
        Its name in text, in tables and in messages: lower case, words joined by ``_``.
    summary
        What it does, in a few words.
    kind
        How it reaches the machine.
    constants
        Places of inputs that must be constants or parameters, such as weights.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[Kind]
    constants: ClassVar[frozenset[int]]

    def __init_subclass__(
        cls,
        *,
        title: str = "",
        summary: str = "",
        kind: Kind = Kind.KERNEL,
        constants: Sequence[int] = (),
    ) -> None:
        super().__init_subclass__()
        if not title:
            return  # What operators have in common.
        cls.title, cls.summary, cls.kind = title, summary, kind
        cls.constants = frozenset(constants)
        known = _REGISTRY.setdefault(title, cls)
        if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
            raise TypeError(f"two operators are named {title!r}")
        _REGISTRY[title] = cls

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result from those of the inputs.

        Raises
        ------
        InputError
            If attributes and shapes do not fit; the text does not name the node.
        """
        raise NotImplementedError

    def real(self, *arrays: Array) -> Array:
        """The definition in real numbers.

        Inputs have the batch as their first axis, but those of ``constants``; all arithmetic has
        their dtype, float32 or float64.
        """
        raise NotImplementedError

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Gradients of a scalar by each input, from its gradient by the result (``error``).

        None for an input that has none.

        Raises
        ------
        InputError
            If the operator has no gradient.
        """
        raise InputError(f"{self.title} has no gradient")

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one sample."""
        return 0


_REGISTRY: dict[str, type[Operator]] = {}


def registered() -> dict[str, type[Operator]]:
    """All operators by title, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))
