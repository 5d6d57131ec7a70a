"""Places of the largest or smallest element along the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels

__all__ = ["ArgMax", "ArgMin", "LastArgMax", "LastArgMin"]


class _Index(Operator):
    """What they have in common; the result keeps the axis, with size 1."""

    _at: ClassVar[staticmethod[[Array], Array]]

    def __init_subclass__(cls, *, at: Callable[[Array], Array], **described: Any) -> None:
        super().__init_subclass__(kind=Kind.HOST, reads=("x",), **described)
        cls._at = staticmethod(at)

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If there is no axis.
        """
        channels(shapes[0])
        return (*shapes[0][:-1], 1)

    def real(self, *arrays: Array) -> Array:
        """All places."""
        return np.asarray(self._at(arrays[0]))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """0, but where two elements are equal, where it has none and counts as 0, too."""
        return [np.zeros_like(arrays[0])]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any value with an axis."""
        return (cls(), ()) if shape else None


def _first(x: Array) -> Array:
    return np.asarray(x.argmax(axis=-1, keepdims=True), x.dtype)


def _last(x: Array) -> Array:
    return np.asarray(x.shape[-1] - 1 - _first(x[..., ::-1]), x.dtype)


class ArgMax(_Index, title="argmax", summary="place of the first largest", at=_first):
    """The place of the largest element; of the first one of several."""


class ArgMin(
    _Index, title="argmin", summary="place of the first smallest", at=lambda x: _first(-x)
):
    """The place of the smallest element; of the first one of several."""


class LastArgMax(_Index, title="last_argmax", summary="place of the last largest", at=_last):
    """The place of the largest element; of the last one of several."""


class LastArgMin(
    _Index, title="last_argmin", summary="place of the last smallest", at=lambda x: _last(-x)
):
    """The place of the smallest element; of the last one of several."""
