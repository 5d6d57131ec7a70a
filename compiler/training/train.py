"""From a training network to programs: one step, and the network's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pulsarray.compiler.machine.assemble import assemble
from pulsarray.compiler.machine.check import check
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.programs import Part, programs_of
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.limits import check_machine, check_sums, chunks_of
from pulsarray.compiler.training.lower.backward import Backward
from pulsarray.compiler.training.lower.chip import NoRoom
from pulsarray.compiler.training.lower.forward import Forward
from pulsarray.compiler.training.lower.learn import apply
from pulsarray.compiler.training.lower.live import Live
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.tensors import TrainTensors
from pulsarray.compiler.training.lower.update import Update
from pulsarray.compiler.training.programs import Training
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program

__all__ = ["Task", "Training", "compile_together", "compile_training"]

_SHARES = (1, 2, 4, 8)
"""Segments of maps take at most one part in so many of a bank: the first that fits."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training of several on one memory.

    Parameters
    ----------
    network, batch, chunk, apart
        As for :func:`compile_training`.
    prefix
        Begins the names of its data, exponents and rates in memory.
    """

    network: TrainingNetwork
    batch: int
    chunk: int | None = None
    apart: bool = False
    prefix: str = ""


def compile_training(
    network: TrainingNetwork,
    config: Config,
    *,
    batch: int,
    chunk: int | None = None,
    apart: bool = False,
) -> Training:
    """Compile a training step.

    Parameters
    ----------
    network
        What is trained.
    config
        A machine with ``training``.
    batch
        Samples of a step.
    chunk
        Samples of one run of a program, a divisor of ``batch``; None for as many as fit the chip.
    apart
        Whether the update is a program of its own even if the chip has room for the whole batch, so
        that a host may change gradients between: clip them.

    Raises
    ------
    InputError
        If the machine cannot train, or something does not fit it.
    """
    task = Task(network=network, batch=batch, chunk=chunk, apart=apart)
    return compile_together([task], config)[0]


def compile_together(tasks: Sequence[Task], config: Config) -> list[Training]:
    """Compile trainings that share one memory image, and with it the layers of the same name.

    Two networks that are trained against each other are such: what one learns is in the other at
    once. Every task has a prefix of its own.

    Raises
    ------
    InputError
        As for :func:`compile_training`.
    """
    check_machine(config)
    layout = Layout(config)
    prepared = [_lowered(task, layout) for task in tasks]
    flat = {
        (i, name): tensor for i, (_, all_) in enumerate(prepared) for name, tensor in all_.items()
    }
    programs = _programs(flat, layout)
    return [
        _training(task, tensors, lowered, {name: programs[i, name] for name in lowered})
        for i, (task, (tensors, lowered)) in enumerate(zip(tasks, prepared, strict=True))
    ]


def _lowered(task: Task, layout: Layout) -> tuple[TrainTensors, dict[str, Lowering]]:
    """A training's tensors, and its programs as instructions, in the largest chunks that work."""
    network, batch, config = task.network, task.batch, layout.config
    if batch < 1:
        raise InputError(f"batch: must be at least 1, not {batch}")
    chunks = chunks_of(network, config, batch, task.chunk)
    check_sums(network, config, batch)
    before = layout.fork()
    for chunk in chunks:
        try:
            return _lowered_in(chunk, task, layout)
        except NoRoom:
            if chunk == chunks[-1]:
                raise
            layout.take(before)
    raise AssertionError


def _lowered_in(chunk: int, task: Task, layout: Layout) -> tuple[TrainTensors, dict[str, Lowering]]:
    """The same in chunks of so many samples."""
    network, batch, config = task.network, task.batch, layout.config
    whole = chunk == batch
    if not whole and network.needs_whole_batch:
        raise InputError(
            f"chunk: batch normalization needs the whole batch of {batch} in one run, not {chunk}"
        )
    apart = task.apart or not whole
    tensors = TrainTensors(network, config, layout, chunk, sums=apart, prefix=task.prefix)
    lowered = {"forward": _lower(tensors, _forward, training=False)}
    steps = {"accumulate": _accumulate, "update": _update} if apart else {"step": _step}
    for name, emit in steps.items():
        lowered[name] = _lower(tensors, emit, training=True)
    return tensors, lowered


def _training(
    task: Task,
    tensors: TrainTensors,
    lowered: Mapping[str, Lowering],
    programs: Mapping[str, Program],
) -> Training:
    return Training(
        network=task.network,
        batch=task.batch,
        chunk=tensors.rows,
        step=programs.get("step"),
        accumulate=programs.get("accumulate"),
        update=programs.get("update"),
        forward=programs["forward"],
        tensors=tensors,
        spilled=sorted({name for lowering in lowered.values() for name in lowering.rows.spilled}),
    )


def _lower(tensors: TrainTensors, emit: Callable[[Lowering], None], *, training: bool) -> Lowering:
    """A program, in segments as large as possible: smaller ones leave smaller gaps."""
    for share in _SHARES:
        layout = tensors.layout.fork()
        lowering = Lowering(tensors, layout, training=training, share=share)
        try:
            emit(lowering)
        except NoRoom:
            if share == _SHARES[-1]:
                raise
            continue
        tensors.layout.take(layout)
        return lowering
    raise AssertionError


def _forward(lowering: Lowering) -> None:
    Forward(lowering, Live(lowering)).run()


def _step(lowering: Lowering) -> None:
    _there_and_back(lowering, applies=True)


def _accumulate(lowering: Lowering) -> None:
    _there_and_back(lowering, applies=False)


def _there_and_back(lowering: Lowering, *, applies: bool) -> None:
    forward = Forward(lowering, Live(lowering))
    forward.run()
    Backward(forward, Update(lowering, gradients=True, applies=applies)).run()
    lowering.finish(adapt=applies)


def _update(lowering: Lowering) -> None:
    apply(lowering, Update(lowering, gradients=False, applies=True))
    lowering.finish(adapt=True)


def _programs(
    lowered: Mapping[tuple[int, str], Lowering], layout: Layout
) -> dict[tuple[int, str], Program]:
    """Every lowering assembled, in one memory image."""
    parts = [
        Part(
            assembly=assemble(lowering.chip.emitter.operations, layout.config),
            layers=lowering.layers,
            network=f"{lowering.network.graph.name} {kind}",
            batch=lowering.tensors.rows,
            notes={"training": kind, "loss": lowering.network.loss.name},
        )
        for (_, kind), lowering in lowered.items()
    ]
    programs = programs_of(parts, layout)
    for program in programs:
        check(program)
    return dict(zip(lowered, programs, strict=True))
