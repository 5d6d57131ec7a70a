"""A training step as one program file: ``compile --training``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulsarray.api.task import Given, task_of
from pulsarray.config import load_config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pulsarray.program import Program

__all__ = ["compile_step"]


def compile_step(given: Given, config: str | None, overrides: Sequence[str]) -> Program:
    """The first step of a training: its memory image holds weights, exponents and first batch.

    Raises
    ------
    InputError
        If something does not fit, or the batch needs more than one run.
    """
    from pulsarray.compiler.training.interpreter import TrainInterpreter
    from pulsarray.compiler.training.train import compile_training

    task = task_of(given)
    machine = load_config(config or task.config, overrides)
    training = compile_training(task.network, machine, batch=task.batch)
    if training.step is None:
        raise InputError(
            f"--batch: {task.batch} samples take {training.chunks} runs of {training.chunk}, "
            f"which `train` does; a step in one program has at most {training.chunk}"
        )
    data, interpreter = task.data, TrainInterpreter(task.network, machine.table_segments)
    state = interpreter.initial(
        data.inputs, data.targets, learning_rate=task.learning_rate, batch=task.batch,
        seed=given.seed,
    )  # fmt: skip
    x = interpreter.encode(state, data.inputs[: task.batch])
    t = interpreter.encode_target(state, data.targets[: task.batch])
    interpreter.calibrate(state, x, t)
    values = training.encode_state(state) | {"input": x, "target": t}
    return training.filled(training.step, values)
