"""What TensorFlow Lite's SOFTMAX becomes inside a network, and its LOG_SOFTMAX."""

from __future__ import annotations

from math import floor

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Network
from pulsarray.compiler.importers.tflite.scales import ratio_pair
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.needs import Pair
from pulsarray.compiler.numerics.gemmlowp import exponential
from pulsarray.compiler.numerics.rounding import scale_sums
from pulsarray.compiler.ops.integer import LogSoftmax, Softmax
from pulsarray.errors import InputError

__all__ = ["log_softmax", "softmax"]

_INTEGER_BITS = 5
_SOFTMAX, _LOG_SOFTMAX = (1 / 256, -128), (1 / 16, 127)


def softmax(network: Network, operator: Operator) -> None:
    """SOFTMAX of the last axis, on the machine."""
    source = network.image(operator)
    pair = _scale(source.codes, float(operator.options.get("Beta", 0.0)))
    _add(network, operator, Softmax(_exponentials(pair)), _SOFTMAX)


def log_softmax(network: Network, operator: Operator) -> None:
    """LOG_SOFTMAX of the last axis."""
    pair = _scale(network.image(operator).codes, 1.0)
    op = LogSoftmax(_exponentials(pair), pair, _most(pair))
    _add(network, operator, op, _LOG_SOFTMAX)


def _add(
    network: Network, operator: Operator, op: Softmax | LogSoftmax, wanted: tuple[float, int]
) -> None:
    source = network.image(operator)
    target = network.result(operator, source.shape)
    if (made := (target.codes.scale, target.codes.zero)) != wanted:
        raise InputError(f"result must have scale and zero point {wanted}, not {made}")
    network.add(operator, op, [source], target, source.shape)


def _scale(source: Affine8, beta: float) -> Pair:
    """What scales differences of codes to 5 integer bits."""
    ratio = min(beta * source.scale * 2.0 ** (31 - _INTEGER_BITS), 2.0**31 - 1.0)
    pair = ratio_pair(ratio)
    if not pair[0] or ratio <= 1.0:
        raise InputError(f"beta {beta} and a scale of {source.scale} have no result")
    return pair


def _most(pair: Pair) -> int:
    """The largest difference of two codes that the kernel does not leave out."""
    return floor(31 * 2.0 ** (31 - _INTEGER_BITS) / 2.0 ** (31 - pair[1]))


def _exponentials(pair: Pair) -> npt.NDArray[np.int64]:
    """That of each difference of two codes; 0 for those that the kernel leaves out."""
    most, differences = _most(pair), np.arange(256)
    scaled = scale_sums(-np.minimum(differences, most), *pair)
    return np.where(differences <= most, exponential(scaled), 0)
