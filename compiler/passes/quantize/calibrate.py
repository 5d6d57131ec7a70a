"""Scale and zero point of codes, and the samples that they are chosen by.

Activations: one scale and zero point a tensor. Real value = (code - zero point) * scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode
from pulsarray.compiler.interpreter import float_inputs
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["Quantization", "calibrate"]

Ints = npt.NDArray[np.int64]

_LOW, _HIGH = -128, 127


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of a tensor of codes."""

    scale: float
    zero_point: int

    def encode(self, values: npt.ArrayLike) -> Ints:
        """Codes of real values, rounded half to even and saturated."""
        return encode(values, self.scale, self.zero_point)

    def decode(self, codes: npt.ArrayLike) -> Floats:
        """Real values of codes."""
        return decode(codes, self.scale, self.zero_point)


def calibrate(graph: Graph, calibration: npt.ArrayLike | None) -> Floats:
    """Calibration samples as a checked (samples, elements) array.

    Raises
    ------
    InputError
        If they are missing, have a wrong shape, or are not finite.
    """
    if calibration is None:
        raise InputError(
            f"{graph.name}: quantization needs calibration data, "
            f"samples of {graph.input.name!r} with shape {graph.input.shape}"
        )
    return float_inputs(graph, calibration, "calibration data")
