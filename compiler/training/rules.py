"""What ends a step: new weights, new exponents, and room for weights (docs/training.md)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.exponents import (
    BIAS,
    GUARD,
    MASTER_BITS,
)
from pulsarray.compiler.training.arithmetic import limited, rne, sym
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.state import TrainState, working

__all__ = ["ROOM", "adapt", "make_room", "update"]

Ints = npt.NDArray[np.int64]

ROOM = 14
"""An exponent is the aimed-at bit length of its tensor less this: one bit is headroom."""
_PATIENCE = 8
_FRACTION = 15


def update(state: TrainState, layer: Step, gradients: Mapping[str, Ints]) -> None:
    """Applies a layer's gradients, by ``LAYER.weight.gradient`` and ``LAYER.bias.gradient``."""
    weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
    exponents = state.exponents
    e_weight = exponents[weight] - MASTER_BITS
    if state.decay:
        shift = e_weight - exponents[weight] - exponents["decay"]
        less = rne(state.weights[layer.name] * state.decay, shift)
        state.masters[weight] = sym(state.masters[weight] - less, 32)
    for name, exponent in ((weight, e_weight), (bias, BIAS)):
        if name in layer.scales:
            e_gradient = exponents[layer.scales[name]]
            _step(state, name, exponent, gradients[f"{name}.gradient"], e_gradient)
    state.weights[layer.name] = working(state.masters[weight])


def _step(state: TrainState, name: str, exponent: int, gradient: Ints, e_gradient: int) -> None:
    gradient = gradient.reshape(state.masters[name].shape)
    if state.momentum:
        velocity = f"{name}.velocity"
        before = state.exponents[velocity]
        e_velocity = max(before, limited(e_gradient - GUARD))
        kept = rne(state.velocities[name] * state.momentum, _FRACTION + e_velocity - before)
        total = sym(kept + rne(gradient, e_velocity - e_gradient), 32)
        state.exponents[velocity], state.velocities[name] = e_velocity, total
        gradient, e_gradient = total, e_velocity
    less = rne(gradient * state.rate, exponent - e_gradient - state.exponents["rate"])
    state.masters[name] = sym(state.masters[name] - less, 32)


def adapt(state: TrainState, statistics: Mapping[str, int]) -> list[str]:
    """Moves exponents by what a step measured; the names of those that were too small."""
    saturated = []
    for name, level in statistics.items():
        aim, count = state.exponents[name] + ROOM, state.counts[name] + 1
        if level > aim + 1:
            saturated.append(name)
        if level >= aim:
            aim, count = level, 0
        elif count == _PATIENCE:
            aim, count = aim - 1, 0
        state.exponents[name], state.counts[name] = limited(aim - ROOM), count
    return saturated


def make_room(state: TrainState) -> None:
    """Halves the weights of layers that are near their limit, and raises their exponents."""
    for layer in state.weights:
        name = f"{layer}.weight"
        top = state.masters[name] >> 24 & 0xFF
        if ((top == 0x7F) | (top == 0x80)).any():
            state.masters[name] = rne(state.masters[name], 1)
            state.exponents[name] += 1
            state.weights[layer] = working(state.masters[name])
