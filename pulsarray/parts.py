"""What the optional parts of a machine let an instruction say; RTL, model and tests ask here."""

from __future__ import annotations

from pulsarray.config import Config
from pulsarray.operations import VectorFlag

__all__ = ["vector_flags"]

_TRAINING = VectorFlag.STATISTIC | VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER


def vector_flags(config: Config) -> VectorFlag:
    """Every flag that a machine's VECTOR takes."""
    flags = VectorFlag(0)
    for flag in VectorFlag:
        flags |= flag
    absent = {
        VectorFlag.TFLITE: config.tflite and config.scale_bits == 31,
        VectorFlag.RESIDUAL: config.residual,
        VectorFlag.LEAKY: config.leaky,
        _TRAINING: config.training,
    }
    for flag, is_there in absent.items():
        if not is_there:
            flags &= ~flag
    return flags
