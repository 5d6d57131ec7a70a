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
from pulsarray.compiler.numerics.mantissas import limited, rne, sym
from pulsarray.compiler.numerics.moments import DIVIDED, ROOT, divided, guard, share, squared
from pulsarray.compiler.training.differentiate import Optimizer
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.state import TrainState, working

__all__ = ["ROOM", "adapt", "make_room", "update"]

Ints = npt.NDArray[np.int64]

ROOM = 14
"""An exponent is the aimed-at bit length of its tensor less this: one bit is headroom."""
_PATIENCE = 8
_FRACTION = 15


def update(
    state: TrainState,
    layer: Step,
    gradients: Mapping[str, Ints],
    optimizer: Optimizer,
    segments: int,
) -> None:
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
            gradient = gradients[f"{name}.gradient"].reshape(state.masters[name].shape)
            part = gradient, e_gradient
            if optimizer.momentum:
                part = _velocity(state, name, *part)
            if optimizer.divides:
                part = _divided(state, name, gradient, e_gradient, optimizer, segments)
            less = rne(part[0] * state.rate, exponent - part[1] - exponents["rate"])
            state.masters[name] = sym(state.masters[name] - less, 32)
    state.weights[layer.name] = working(state.masters[weight])


def _velocity(state: TrainState, name: str, gradient: Ints, e_gradient: int) -> tuple[Ints, int]:
    """The new velocity of a parameter."""
    velocity = f"{name}.velocity"
    before = state.exponents[velocity]
    after = max(before, limited(e_gradient - GUARD))
    kept = rne(state.velocities[name] * state.momentum, _FRACTION + after - before)
    state.velocities[name] = sym(kept + rne(gradient, after - e_gradient), 32)
    state.exponents[velocity] = after
    return state.velocities[name], after


def _divided(
    state: TrainState,
    name: str,
    gradient: Ints,
    e_gradient: int,
    optimizer: Optimizer,
    segments: int,
) -> tuple[Ints, int]:
    """The velocity of a parameter divided by the root of its new sum of squares."""
    root, exponents = f"{name}.root", state.exponents
    before = exponents[root]
    after = max(before, limited(e_gradient - guard(optimizer.squares)))
    kept, squares = share(optimizer.squares), state.squares[name]
    squares = squared(squares, gradient, kept, (before, after), e_gradient)
    state.squares[name], exponents[root] = squares, after
    least = rne(np.array(state.epsilon), ROOT + after - exponents["epsilon"])
    shift = after - exponents[f"{name}.velocity"]
    return divided(state.velocities[name], squares, int(least), shift, segments), DIVIDED


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
