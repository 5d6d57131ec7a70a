"""Channels in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels
from pulsarray.errors import InputError

__all__ = ["Shuffle"]


@dataclass(frozen=True)
class Shuffle(Operator, title="shuffle", summary="channels in another order", reads=("x",)):
    """Channels in another order: channel ``i`` of the result is channel ``order[i]``."""

    only_moves = True
    only_chooses = True

    order: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the order is not one of all channels.
        """
        if sorted(self.order) != list(range(channels(shapes[0]))):
            raise InputError(f"order must be a permutation of {shapes[0][-1]} channels")
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """Channels in their order."""
        return np.asarray(arrays[0][..., list(self.order)])

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Each channel back to its place."""
        return [error[..., np.argsort(self.order)]]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any order."""
        return (cls(tuple(rng.permutation(shape[-1]).tolist())), ()) if shape else None
