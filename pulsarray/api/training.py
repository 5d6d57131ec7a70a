"""Training as a function: a task on a machine, step by step, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.compiled import estimate_program
from pulsarray.api.machine import Machine, machine_of
from pulsarray.api.progress import Working, quiet
from pulsarray.api.report import Report
from pulsarray.api.running import MODEL, build
from pulsarray.api.shown import Shown, Table, table
from pulsarray.api.task import Given, Samples, Task, task_of
from pulsarray.api.waves import require_waves, step_waves
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pulsarray.compiler.ir.value import Floats
    from pulsarray.compiler.training.train import Training
    from pulsarray.config import Config
    from pulsarray.trainer.history import History
    from pulsarray.trainer.setup import Options

__all__ = ["Course", "Trained", "train", "train_task"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a training runs.

    Parameters
    ----------
    on
        ``"model"``, ``"verilator"`` or ``"icarus"``.
    check
        On a simulator: whether everything runs on the model, too, and is compared; None for yes.
    memory_latency, memory_interval
        Cycles from an address to its first beat, and cycles a beat.
    seed
        Of the order of samples, of first weights, and of what is dropped.
    patience, until
        When to stop early: see :class:`pulsarray.trainer.setup.Options`.
    checkpoint, checkpoint_steps
        File to write after every epoch, and after so many steps.
    resume
        Checkpoint to go on from.
    timeline
        File for the timeline of a step (of its first program).
    waves, step
        File for a simulator's waves of one step, ``.fst`` or ``.vcd``, and which step, from 1.
    schedule
        How the learning rate goes from epoch to epoch: ``constant``, ``linear`` or ``cosine``.
    clip_norm
        The largest norm that the gradients of a step may have together; None for any.
    """

    on: str = MODEL
    check: bool | None = None
    memory_latency: int = 64
    memory_interval: int = 1
    seed: int = 0
    patience: int | None = None
    until: float | None = None
    checkpoint: Path | None = None
    checkpoint_steps: int | None = None
    resume: Path | None = None
    timeline: Path | None = None
    waves: Path | None = None
    step: int | None = None
    schedule: str = "constant"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.on == MODEL and self.check:
            raise InputError(
                "--check: the model is what runs are compared with; run --on a simulator"
            )
        if self.checkpoint_steps is not None and self.checkpoint is None:
            raise InputError("--checkpoint-steps: needs --checkpoint")
        if self.step is not None and self.waves is None:
            raise InputError("--step: needs --waves")
        require_waves(self.waves, self.on)

    @property
    def compares(self) -> bool:
        """Whether runs are compared with the model."""
        return self.on != MODEL and self.check is not False

    @property
    def times(self) -> dict[str, int]:
        """Of the simulated memory."""
        return {"memory_latency": self.memory_latency, "memory_interval": self.memory_interval}

    def options(self, task: Task) -> Options:
        """What a trainer is told."""
        from pulsarray.trainer.setup import Options, scheduled

        return Options(
            epochs=task.epochs,
            rates=scheduled(self.schedule, task.learning_rate, task.epochs),
            seed=self.seed,
            patience=self.patience,
            until=self.until,
            clip=self.clip_norm,
            checkpoint=self.checkpoint,
            checkpoint_steps=self.checkpoint_steps,
            recorded_step=None if self.waves is None else self.step or 1,
        )


class Trained(Shown):
    """What came of a training.

    Parameters
    ----------
    history, weights
        Epochs and losses; trained weights and biases by name, real values.
    facts
        What was trained, and how.
    programs
        What each program of a step costs, by name.
    """

    def __init__(
        self,
        history: History,
        weights: Mapping[str, Floats],
        facts: Mapping[str, Any],
        programs: Mapping[str, Report],
    ) -> None:
        self.history, self.weights = history, dict(weights)
        self.facts, self.programs = dict(facts), dict(programs)

    def __repr__(self) -> str:
        epochs = len(self.history.epochs)
        return f"<Trained {self.facts['network']}: {epochs} epochs, {self.cycles:,} cycles>"

    @property
    def epochs(self) -> Table:
        """One row an epoch: losses, accuracies, steps, cycles, seconds."""
        return table([asdict(epoch) for epoch in self.history.epochs])

    @property
    def losses(self) -> list[float]:
        """Of every step: the mean over its batch, before its update."""
        return self.history.losses

    @property
    def cycles(self) -> int:
        """Machine cycles of all steps."""
        return self.history.cycles

    def to_dict(self) -> dict[str, Any]:
        """The report of a training as plain data."""
        programs = {name: report.to_dict() for name, report in self.programs.items()}
        return {**self.facts, "history": self.history.as_dict(), "programs": programs}

    def save_curve(self, path: str | Path) -> None:
        """Write the course, as ``.csv`` or ``.html``.

        Raises
        ------
        InputError
            If the name ends in something else, or the file cannot be written.
        """
        from pulsarray.display.training import require_curve, write_curve

        require_curve(Path(path))
        write_curve(Path(path), str(self.facts["network"]), self.history)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.training import training_view

        return training_view(self.facts, self.history)


def train(
    network: str | Path,
    data: Samples = None,
    *,
    loss: str | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    squares: float | None = None,
    batch: int | str | None = None,
    epochs: int | None = None,
    schedule: str = "constant",
    seed: int = 0,
    config: Machine | None = None,
    on: str = MODEL,
    check: bool | None = None,
    clip_norm: float | None = None,
    patience: int | None = None,
    until: float | None = None,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    waves: str | Path | None = None,
    step: int | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
    working: Working = quiet,
    **settings: int | bool,
) -> Trained:
    """Train a network, every step on the machine.

    Parameters
    ----------
    network
        A built-in workload (``pulsarray list`` names them) or an ``.onnx`` file.
    data
        ``x`` with ``t`` or ``labels``, ``test_x`` with ``test_t`` or ``test_labels`` if there are
        any: arrays by name, or an ``.npz`` file. A workload has its own.
    loss
        ``LOSS`` or ``LOSS:PARAMETER`` (docs/training.md).
    learning_rate, momentum, weight_decay, squares
        Of the optimizer; ``squares`` makes it Adam, whose beta2 it is.
    batch
        Samples of a step, or ``"full"``.
    epochs
        Passes over the data.
    config, settings
        The machine: see :func:`pulsarray.api.machine.machine_of`; the workload's if not given.
    schedule, seed, on, check, clip_norm, patience, until, checkpoint, resume, waves, step
        See :class:`Course`.
    memory_latency, memory_interval
        See :class:`Course`.
    working
        Is told what goes on.

    Raises
    ------
    InputError
        If something is missing, unknown, or does not fit.
    CheckFailed
        If a simulator's run differs from the model's, or the loss diverges.
    ToolMissing
        If the simulator is not installed.
    """
    course = Course(
        on=on,
        check=check,
        memory_latency=memory_latency,
        memory_interval=memory_interval,
        schedule=schedule,
        seed=seed,
        clip_norm=clip_norm,
        patience=patience,
        until=until,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        resume=None if resume is None else Path(resume),
        waves=None if waves is None else Path(waves),
        step=step,
    )
    optimizer = {"momentum": momentum, "weight_decay": weight_decay, "squares": squares}
    task = task_of(
        Given(
            network=str(network),
            data=data,
            loss=loss,
            optimizer={name: value for name, value in optimizer.items() if value is not None},
            learning_rate=learning_rate,
            batch=None if batch is None else str(batch),
            epochs=epochs,
            seed=seed,
        )
    )
    return train_task(task, machine_of(config or task.config, settings), course, working)


def train_task(task: Task, machine: Config, course: Course, working: Working = quiet) -> Trained:
    """Compile a task for a machine and train it: see :func:`train`."""
    from pulsarray.compiler.training.train import compile_training

    with working(f"compiling {task.name}"):
        apart = course.clip_norm is not None
        training = compile_training(task.network, machine, batch=task.batch, apart=apart)
    history, weights = _trained(training, task, course, working)
    counted = machine.counters
    programs = training.programs.items() if counted else ()
    return Trained(
        history,
        weights,
        _facts(training, task, course),
        {
            name: estimate_program(
                program,
                course.times,
                timeline=course.timeline if program is training.first else None,
            )
            for name, program in programs
        },
    )


def _trained(
    training: Training, task: Task, course: Course, working: Working
) -> tuple[History, dict[str, Floats]]:
    """What happened, and the weights and biases in the end."""
    from pulsarray.sim.device import Device
    from pulsarray.trainer.trainer import Trainer

    if course.on != MODEL:
        build(training.first, course.on, "", working)
    with (
        Device(
            course.on,
            check=course.compares,
            memory_latency=course.memory_latency,
            memory_interval=course.memory_interval,
        ) as device,
        working(f"training {task.name} on {course.on}") as work,
    ):

        def progress(step: int, steps: int, loss: float, cycles: int) -> None:
            work.advance(step, steps, f"step {step:,}, loss {loss:.4g}, {cycles:,} cycles a step")

        trainer = Trainer(training, device, task.data, course.options(task), progress=progress)
        if course.resume is not None:
            trainer.resume(course.resume)
        history, weights = trainer.run(), trainer.weights()
    if course.waves is not None:
        step_waves(course.waves, trainer.recorded, course.on, course.step or 1, working)
    return history, weights


def _facts(training: Training, task: Task, course: Course) -> dict[str, Any]:
    """What was trained, and how."""
    network, config = training.network, training.first.config
    return {
        "network": task.name,
        "source": course.on,
        "compared_with_model": course.compares,
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "loss": {"name": network.loss.name, "parameter": network.loss.parameter},
        "optimizer": {
            **asdict(network.optimizer),
            "learning_rate": task.learning_rate,
            "clip_norm": course.clip_norm,
        },
        "samples": len(task.data.inputs),
        "test_samples": 0 if task.data.test_inputs is None else len(task.data.test_inputs),
        "batch": training.batch,
        "chunk": training.chunk,
        "memory_bytes": int(training.first.memory.size),
        "spilled": list(training.spilled),
        "memory": {"latency": course.memory_latency, "interval": course.memory_interval},
    }
