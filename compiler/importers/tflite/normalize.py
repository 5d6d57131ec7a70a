"""What TensorFlow Lite's L2_NORMALIZATION becomes."""

from __future__ import annotations

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Network
from pulsarray.compiler.ops.integer import Normalize
from pulsarray.errors import InputError

__all__ = ["normalize"]

_RESULT = (1 / 128, 0)


def normalize(network: Network, operator: Operator) -> None:
    """L2_NORMALIZATION of the last axis."""
    source = network.image(operator)
    if activation := operator.option("FusedActivationFunction"):
        raise InputError(f"fused activation {activation} is not supported, as LiteRT has none")
    target = network.result(operator, source.shape)
    if (made := (target.codes.scale, target.codes.zero)) != _RESULT:
        raise InputError(f"result must have scale and zero point {_RESULT}, not {made}")
    network.add(operator, Normalize(), [source], target, source.shape)
