"""The samples by which scales and zero points are chosen."""

from __future__ import annotations

import numpy.typing as npt

from pulsarray.compiler.interpreter import float_inputs
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["calibrate"]


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
