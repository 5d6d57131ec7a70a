"""What TensorFlow Lite's SOFTMAX becomes inside a network."""

from __future__ import annotations

from math import floor

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Network
from pulsarray.compiler.importers.tflite.scales import ratio_pair
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.numerics.gemmlowp import exponential
from pulsarray.compiler.numerics.rounding import high_multiply
from pulsarray.compiler.ops.integer import Softmax
from pulsarray.errors import InputError

__all__ = ["softmax"]

_INTEGER_BITS = 5
_RESULT = (1 / 256, -128)


def softmax(network: Network, operator: Operator) -> None:
    """SOFTMAX of the last axis, on the machine."""
    source = network.image(operator)
    target = network.result(operator, source.shape)
    if (made := (target.codes.scale, target.codes.zero)) != _RESULT:
        raise InputError(f"result must have scale and zero point {_RESULT}, not {made}")
    op = Softmax(_exponentials(source.codes, float(operator.options.get("Beta", 0.0))))
    network.add(operator, op, [source], target, source.shape)


def _exponentials(source: Affine8, beta: float) -> npt.NDArray[np.int64]:
    """That of each difference of two codes; 0 for those that the kernel leaves out."""
    ratio = min(beta * source.scale * 2.0 ** (31 - _INTEGER_BITS), 2.0**31 - 1.0)
    multiplier, shift = ratio_pair(ratio)
    left = 31 - shift
    if not multiplier or ratio <= 1.0:
        raise InputError(f"beta {beta} and a scale of {source.scale} have no result")
    most = floor(31 * 2.0 ** (31 - _INTEGER_BITS) / 2.0**left)
    differences = np.arange(256)
    scaled = high_multiply(-np.minimum(differences, most) << left, multiplier)
    return np.where(differences <= most, exponential(scaled), 0)
