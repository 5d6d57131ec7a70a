"""A value times a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Kind
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.pooling import AveragePool
from pulsarray.errors import InputError

__all__ = ["Scale"]

_ONE = Window((1, 1))


@dataclass(frozen=True)
class Scale(
    AveragePool, title="scale", summary="x times a number", kind=Kind.TRAINING, reads=("x",)
):
    """``x * factor``: in training what an average of single pixels is, with another share.

    Parameters
    ----------
    factor
        More than 0.
    """

    window: Window = _ONE
    factor: float = 1.0

    @property
    def share(self) -> float:
        """The factor."""
        return self.factor

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the factor is not positive, or the value no map.
        """
        if not self.factor > 0.0:
            raise InputError(f"factor must be more than 0, not {self.factor:g}")
        return super().shape(*shapes)

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        return np.asarray(arrays[0] * arrays[0].dtype.type(self.factor))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same of the error."""
        return [error * error.dtype.type(self.factor)]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Of maps."""
        return (cls(factor=float(rng.uniform(0.1, 3.0))), ()) if len(shape) == 3 else None
