"""Which values a step of training drops: drawn by the host from the seed and the step's number.

Both are in the state, so that training that goes on from a checkpoint draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.state import TrainState

__all__ = ["draw_masks", "mask_name"]

Ints = npt.NDArray[np.int64]


def mask_name(step: Step) -> str:
    """Name of a dropout's mask among tensors."""
    return f"{step.name}.mask"


def draw_masks(steps: Sequence[Step], state: TrainState, batch: int) -> dict[str, Ints]:
    """By ``STEP.mask``, (batch, H, W, C), 1 where a value is left and 0 where it is dropped."""
    masks = {}
    for place, step in enumerate(steps):
        if step.op.only_trains:
            seeds = np.random.SeedSequence(state.seed, spawn_key=(state.steps, place))
            random = np.random.Generator(np.random.PCG64(seeds))
            kept = random.random((batch, *step.result)) >= step.rate
            masks[mask_name(step)] = kept.astype(np.int64)
    return masks
