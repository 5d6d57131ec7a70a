"""What ends a step: new exponents, and room for weights (docs/training.md)."""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.compiler.numerics.exponents import ROOM
from pulsarray.compiler.numerics.mantissas import limited, rne
from pulsarray.compiler.passes.training.updates import MASTER
from pulsarray.compiler.training.state import TrainState, working

__all__ = ["adapt", "make_room"]

_PATIENCE = 8


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
    for name in state.weights:
        master = state.values[f"{name}{MASTER}"]
        top = master >> 24 & 0xFF
        if ((top == 0x7F) | (top == 0x80)).any():
            state.values[f"{name}{MASTER}"] = half = rne(master, 1)
            state.values[name] = working(half)
            state.exponents[name] += 1
