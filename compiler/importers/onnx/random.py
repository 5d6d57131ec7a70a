"""Random weights for files that come without: ONNX's test models fill theirs with one number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.onnx.file import Call

__all__ = ["random_weight", "roles"]

Floats = npt.NDArray[np.float32]

_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "transposed", "bias"),
    "Gemm": ("", "matrix", "bias"),
    "MatMul": ("", "matrix"),
    "BatchNormalization": ("", "factor", "bias", "mean", "factor"),
    "Mul": ("factor", "factor"),
    "Add": ("bias", "bias"),
}
_KEPT = ("Unsqueeze", "Squeeze", "Reshape", "Identity")
"""Operators that pass a weight on."""


def roles(calls: Iterable[Call]) -> dict[str, str]:
    """What each value that ``ConstantOfShape`` makes is to the operators that read it."""
    made: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for call in calls:
        if call.kind == "ConstantOfShape":
            made[call.outputs[0]] = call.outputs[0]
        elif call.kind in _KEPT and call.given(0) in made:
            made[call.outputs[0]] = made[call.given(0)]
        known = _ROLES.get(call.kind, ())
        for name, role in zip(call.inputs, known, strict=False):
            if role == "matrix" and call.integer("transB", 0):
                role = "weight"
            if role and name in made:
                by_name.setdefault(made[name], role)
    return by_name


def random_weight(role: str, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Weights as He et al. 2015 initialize them; small biases; factors near one."""
    if role == "factor":
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    if role in ("bias", "mean"):
        return rng.normal(0.0, 0.1, shape).astype(np.float32)
    count = int(np.prod(shape))
    results = shape[-1] if role == "matrix" else shape[1 if role == "transposed" else 0]
    values = rng.standard_normal(shape, np.float32)
    return values * np.float32(np.sqrt(2.0 * results / max(count, 1)))
