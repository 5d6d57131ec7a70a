"""What a training run is given: data and options, and what makes it that run and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np

from pulsarray.compiler.training.clipping import require_norm
from pulsarray.compiler.training.data import TrainingData
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.train import Training
from pulsarray.errors import InputError, did_you_mean
from pulsarray.trainer.checkpoint import digest

__all__ = ["SCHEDULES", "Options", "identity", "require_fit", "scheduled"]


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
        Of the order of samples, and of what dropouts drop.
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
    clip
        The largest norm that the gradients of a step may have together; None for any.
    recorded_step
        Number from 1 of the step whose runs are noted.
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
    clip: float | None = None
    recorded_step: int | None = None


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda part: 1.0 - part,
    "cosine": lambda part: 0.5 + 0.5 * cos(pi * part),
}
"""By name, what the learning rate is multiplied by, from the part of all epochs that is over."""


def scheduled(name: str, rate: float, epochs: int) -> Callable[[int], float]:
    """The learning rate by epoch, from 0.

    Raises
    ------
    InputError
        If there is no such schedule.
    """
    if name not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise InputError(
            f"schedule: must be one of {known}, not {name!r}{did_you_mean(name, SCHEDULES)}"
        )
    return lambda epoch: rate * SCHEDULES[name](epoch / epochs)


def identity(training: Training, data: TrainingData, options: Options) -> dict[str, str]:
    """What a training is of: with another, its checkpoints mean nothing."""
    network = training.network
    shapes: list[object] = [(x.name, *x.weight.shape, x.activation) for x in network.layers]
    shapes += [_described(step) for step in network.steps]
    last = network.graph.nodes[-1].op
    end = "Activate" if last.is_elementwise else type(last).__name__
    arrays = (data.inputs, data.targets, data.test_inputs, data.test_targets)
    clip = {} if options.clip is None else {"clipping": repr(options.clip)}
    return {
        "configuration": training.tensors.config.fingerprint,
        "network": digest(repr((shapes, end)).encode()),
        "loss": f"{network.loss.name} {network.loss.parameter}",
        "optimizer": repr(network.optimizer),
        "batch": str(training.batch),
        "seed": str(options.seed),
        "data": digest(*(np.ascontiguousarray(x).tobytes() for x in arrays if x is not None)),
    } | clip


def _described(step: Step) -> tuple[object, ...]:
    """What a step computes, but for its weights."""
    return repr(step.op), step.name, step.sources, step.result, step.activation


def require_fit(options: Options, data: TrainingData, training: Training) -> None:
    """Refuse what cannot work.

    Raises
    ------
    InputError
        If options or data do not fit.
    """
    if options.epochs < 1:
        raise InputError(f"epochs: must be at least 1, not {options.epochs}")
    require_norm(options.clip)
    if training.batch > len(data.inputs):
        raise InputError(
            f"batch: must be at most the {len(data.inputs)} samples there are, not {training.batch}"
        )
    steps = options.epochs * (len(data.inputs) // training.batch)
    if options.recorded_step is not None and options.recorded_step > steps:
        step = options.recorded_step
        raise InputError(f"--step: the training has {steps:,} steps, so there is no step {step:,}")
