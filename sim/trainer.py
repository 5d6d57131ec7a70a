"""Training on a device: epochs of steps, tests, checkpoints, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Floats
from pulsarray.compiler.losses import correct, loss_value
from pulsarray.compiler.train import Training
from pulsarray.compiler.train_interpreter import TrainInterpreter
from pulsarray.compiler.training_data import batches
from pulsarray.errors import CheckFailed, InputError
from pulsarray.sim.checkpoint import Checkpoint
from pulsarray.sim.device import Device
from pulsarray.sim.history import Epoch, History, Overflow, Progress
from pulsarray.sim.learner import Learner

__all__ = ["Data", "Options", "Trainer"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """What is learned from, and what the result is tested with.

    Parameters
    ----------
    inputs, targets
        Real values, a sample a row.
    test_inputs, test_targets
        None without a test.
    """

    inputs: Floats
    targets: Floats
    test_inputs: Floats | None = None
    test_targets: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train.

    Parameters
    ----------
    epochs
        Passes over the training data.
    rates
        Learning rate by epoch, from 0.
    seed
        Of the order of samples.
    patience
        Stop after so many epochs in a row without a lower loss (of the test data, if there are
        any); None for no end.
    until
        Stop after an epoch with at least this accuracy.
    divergence
        A loss above so many times the first one, plus as much, is an error.
    patience_for_overflows
        An overflow in more steps in a row is an error.
    notable_overflows
        An overflow in so many steps in a row is told in the history.
    checkpoint
        File to write after every epoch; None for none.
    checkpoint_steps
        Write it after so many steps, too.
    """

    epochs: int
    rates: Callable[[int], float]
    seed: int = 0
    patience: int | None = None
    until: float | None = None
    divergence: float = 1000.0
    patience_for_overflows: int = 50
    notable_overflows: int = 8
    checkpoint: Path | None = None
    checkpoint_steps: int | None = None
