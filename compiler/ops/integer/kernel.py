"""What all operators on int8 codes have in common: limits of codes, and needs of a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Affine8, Format
from pulsarray.compiler.ir.operator import Operator

__all__ = ["HIGH", "LOW", "Ints", "Kernel", "Needs", "Pair", "zero_of"]

Ints = npt.NDArray[np.int64]
Pair = tuple[int, int]
"""Multiplier and shift: ``multiplier / 2^shift``."""
LOW, HIGH = -128, 127


@dataclass(frozen=True)
class Needs:
    """What an operator needs of a machine.

    Parameters
    ----------
    multiplier
        Its largest multiplier.
    tflite
        Whether it rounds as TensorFlow Lite does.
    addition
        The scales of TensorFlow Lite's addition, of which one must be one half; none without.
    fine
        Whether it scales sums to bits below a code.
    table
        Whether it looks codes up in a table.
    product
        Whether it multiplies codes with codes in the vector unit.
    identity
        Whether it streams through a tile of the array that changes nothing.
    transposer
        Whether what the array has as weights is transposed on its way there.
    """

    multiplier: int = 1
    tflite: bool = False
    addition: tuple[Pair, ...] = ()
    fine: bool = False
    table: bool = False
    product: bool = False
    identity: bool = False
    transposer: bool = False


class Kernel(Operator):
    """An operator on int8 codes."""

    @property
    def needs(self) -> Needs:
        """What it needs of a machine."""
        return Needs()

    def check_formats(self, formats: Sequence[Format]) -> None:
        """Look at the formats of the inputs.

        Raises
        ------
        InputError
            If it is not defined on them; the text does not name the node.
        """


def zero_of(form: Format) -> int:
    """The code of real zero."""
    return form.zero if isinstance(form, Affine8) else 0
