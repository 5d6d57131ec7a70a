"""A training step as programs: one with data in it, and what a step costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.api.compiled import estimate_program
from pulsarray.api.machine import Machine, machine_of
from pulsarray.api.progress import Working, quiet
from pulsarray.api.report import Report
from pulsarray.api.task import Given, Samples, Task, task_of
from pulsarray.config import load_config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pulsarray.compiler.training.train import Training
    from pulsarray.config import Config
    from pulsarray.program import Program

__all__ = ["compile_step", "estimate_step", "estimate_training"]


def compile_step(request: Given, config: str | None, overrides: Sequence[str]) -> Program:
    """The first step of a training: its memory image holds weights, exponents and first batch.

    Scales of input, target and output are those of this step, so that real values may be given and
    are told.

    Raises
    ------
    InputError
        If something does not fit, or the batch needs more than one run.
    """
    from pulsarray.compiler.training.interpreter import TrainInterpreter

    task = task_of(request)
    machine = load_config(config or task.config, overrides)
    training = _compiled(task, machine)
    if training.step is None:
        raise InputError(
            f"--batch: {task.batch} samples take {training.chunks} runs of {training.chunk}, "
            f"which `train` does; a step in one program has at most {training.chunk}"
        )
    data, interpreter = task.data, TrainInterpreter(task.network, machine.table_segments)
    state = interpreter.initial(
        data.inputs, data.targets, learning_rate=task.learning_rate, batch=task.batch,
        seed=request.seed,
    )  # fmt: skip
    x = interpreter.encode(state, data.inputs[: task.batch])
    t = interpreter.encode_target(state, data.targets[: task.batch])
    interpreter.calibrate(state, x, t)
    values = training.encode_state(state) | {"input": x, "target": t}
    exponents = {
        "input": state.exponents["input"],
        "target": state.exponents["target"],
        "output": state.exponents[f"{task.network.layers[-1].name}.output"],
    }
    return _scaled(training.filled(training.step, values), exponents)


def _scaled(program: Program, exponents: Mapping[str, int]) -> Program:
    """A program whose tensors of a name have codes in units of a power of two."""
    tensors = [
        replace(tensor, scale=2.0 ** exponents[tensor.name]) if tensor.name in exponents else tensor
        for tensor in program.tensors
    ]
    return replace(program, tensors=tensors)


def _compiled(task: Task, machine: Config) -> Training:
    from pulsarray.compiler.training.train import compile_training

    return compile_training(task.network, machine, batch=task.batch)


def estimate_training(
    network: str | Path,
    data: Samples = None,
    *,
    loss: str | None = None,
    learning_rate: float | None = None,
    batch: int | str | None = None,
    config: Machine | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
    **settings: int | bool,
) -> dict[str, Report]:
    """What each program of a training step costs, without training: see :func:`pulsarray.train`.

    ``step`` is a whole step. Where a batch takes several runs, ``accumulate`` is one of them and
    ``update`` ends the step. ``forward`` are the outputs alone.

    Raises
    ------
    InputError
        If something is missing, unknown, or does not fit.
    """
    task = task_of(
        Given(
            network=str(network),
            data=data,
            loss=loss,
            learning_rate=learning_rate,
            batch=None if batch is None else str(batch),
        )
    )
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    return estimate_step(task, machine_of(config or task.config, settings), times)


def estimate_step(
    task: Task,
    machine: Config,
    times: Mapping[str, int],
    working: Working = quiet,
    timeline: Path | None = None,
    energy_table: str | Path | None = None,
) -> dict[str, Report]:
    """What each program of a task's step costs on a machine: see :func:`estimate_training`.

    ``timeline`` is of the first of them.
    """
    with working(f"compiling {task.name}"):
        training = _compiled(task, machine)
    return {
        name: estimate_program(
            program,
            times,
            working,
            timeline if program is training.first else None,
            energy_table,
        )
        for name, program in training.programs.items()
    }
