"""``pulsarray train``: train a network on the machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsarray.cli.options import IntervalOption, JsonOption, LatencyOption, SetOption
from pulsarray.cli.output import facts, print_json, require_writable, show, working
from pulsarray.cli.simulate import Place
from pulsarray.cli.train_output import (
    epoch_table,
    require_curve,
    write_curve,
    write_report,
    write_weights,
)
from pulsarray.cli.train_source import Given, Task, task_of
from pulsarray.config import PRESETS, Config, load_config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from pulsarray.compiler.graph import Floats
    from pulsarray.compiler.training.train import Training
    from pulsarray.trainer.history import History
    from pulsarray.trainer.setup import Options

__all__ = ["train"]

DEFAULT_MOMENTUM = 0.9


class OptimizerName(StrEnum):
    """How weights follow gradients."""

    SGD = "sgd"
    MOMENTUM = "momentum"


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="A built-in workload, or an .onnx file.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="D.npz",
            help="Samples: x with t or labels, test_x with test_t or test_labels if there are any. "
            "A built-in workload has its own.",
        ),
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", metavar="LOSS", help="Loss, or LOSS:PARAMETER.")
    ] = None,
    optimizer: Annotated[
        OptimizerName | None, typer.Option("--optimizer", help="How weights follow gradients.")
    ] = None,
    momentum: Annotated[
        float | None,
        typer.Option("--momentum", help="Share of the step before; 0.9 if not given."),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="Share of weights taken off a step.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Learning rate.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", "-b", metavar="B|full", help="Samples of a step, or all of them."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the training data.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, help="Of the order of samples, of first weights, of what is dropped."
        ),
    ] = 0,
    on: Annotated[Place, typer.Option("--on", help="Where to run it.")] = Place.MODEL,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="On a simulator: run everything on the model, too, and compare; on unless "
            "switched off.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="R.json", help="Write the report.")
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", metavar="C", help="Write the course, as .csv or .html."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.npz", help="Write the trained weights, real values."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="F.npz", help="File to write after every epoch."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--checkpoint-steps", min=1, help="Write it after so many steps, too."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="F.npz", help="Go on from a checkpoint."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option("--patience", min=1, help="Stop after so many epochs without a lower loss."),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option("--until", min=0, max=1, help="Stop at this accuracy, from 0 to 1."),
    ] = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            metavar="PRESET|FILE",
            help=f"Machine: a preset ({', '.join(PRESETS)}) or a TOML file; if not given, the "
            "workload's, or train-small.",
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network, every step on the machine. Losses are those of the machine's outputs.

    For example:

      pulsarray train xor --epochs 200 --curve xor.html

      pulsarray train net.onnx --data d.npz --loss mse --learning-rate 0.05 --batch 32 --epochs 20

      pulsarray train xor --on verilator --epochs 5 --report rtl.json
    """
    require_writable(report, curve, weights, checkpoint, read=[network, data, config])
    require_writable(report, curve, weights, read=[resume])  # a checkpoint may go on in its file
    require_curve(curve)
    checks = _checks(on, check)
    if every is not None and checkpoint is None:
        raise InputError("--checkpoint-steps: needs --checkpoint")
    task = task_of(
        Given(
            network=network,
            data=data,
            loss=loss,
            momentum=_momentum(optimizer, momentum),
            weight_decay=weight_decay,
            learning_rate=learning_rate,
            batch=batch,
            epochs=epochs,
            seed=seed,
        )
    )
    machine = load_config(config or task.config, overrides or ())
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    from pulsarray.trainer.setup import Options

    options = Options(
        epochs=task.epochs,
        rates=lambda _: task.learning_rate,
        seed=seed,
        patience=patience,
        until=until,
        checkpoint=checkpoint,
        checkpoint_steps=every,
    )
    training = _compiled(task, machine)
    history, learned = _trained(training, task, options, on, checks, times, resume)
    result = {
        **_facts(training, task, on, checks),
        "memory": {"latency": memory_latency, "interval": memory_interval},
        "history": history.as_dict(),
        "programs": _program_reports(training, times),
    }
    if report is not None:
        write_report(report, result)
    if curve is not None:
        write_curve(curve, task.name, history)
    if weights is not None:
        write_weights(weights, learned)
    if as_json:
        print_json(result)
    else:
        _show(result, history)


def _checks(on: Place, wanted: bool | None) -> bool:
    if on is Place.MODEL and wanted:
        raise InputError("--check: the model is what runs are compared with; run --on a simulator")
    return on is not Place.MODEL and wanted is not False


def _momentum(optimizer: OptimizerName | None, momentum: float | None) -> float | None:
    """The momentum that the options name; None if they name none."""
    if optimizer is OptimizerName.SGD:
        if momentum:
            raise InputError(f"--momentum: {momentum:g} is not for --optimizer sgd")
        return 0.0
    if optimizer is OptimizerName.MOMENTUM and momentum is None:
        return DEFAULT_MOMENTUM
    return momentum


def _compiled(task: Task, config: Config) -> Training:
    from pulsarray.compiler.training.train import compile_training

    with working(f"compiling {task.name}"):
        return compile_training(task.network, config, batch=task.batch)


def _trained(
    training: Training,
    task: Task,
    options: Options,
    on: Place,
    checks: bool,
    times: dict[str, int],
    resume: Path | None,
) -> tuple[History, dict[str, Floats]]:
    """What happened, and the weights and biases in the end."""
    from pulsarray.sim.device import Device
    from pulsarray.trainer.trainer import Trainer

    if on is not Place.MODEL:
        _build(training, on)
    with (
        Device(
            on.value,
            check=checks,
            memory_latency=times["memory_latency"],
            memory_interval=times["memory_interval"],
        ) as device,
        working(f"training {task.name} on {on}") as work,
    ):

        def progress(step: int, steps: int, loss: float, cycles: int) -> None:
            work.advance(step, steps, f"step {step:,}, loss {loss:.4g}, {cycles:,} cycles a step")

        trainer = Trainer(training, device, task.data, options, progress=progress)
        if resume is not None:
            trainer.resume(resume)
        return trainer.run(), trainer.weights()


def _build(training: Training, on: Place) -> None:
    from pulsarray.sim import builds

    program = training.first
    with working(f"generating Verilog for D = {program.config.dim}"):
        builds.verilog(program.config)
    with working(f"building for {on}"):
        builds.machine(program.config, on.value, program.memory.size)


def _facts(training: Training, task: Task, on: Place, checks: bool) -> dict[str, Any]:
    """What was trained, and how."""
    network, config = training.network, training.first.config
    return {
        "network": task.name,
        "source": on.value,
        "compared_with_model": checks,
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "loss": {"name": network.loss.name, "parameter": network.loss.parameter},
        "optimizer": {
            "momentum": network.optimizer.momentum,
            "weight_decay": network.optimizer.weight_decay,
            "learning_rate": task.learning_rate,
        },
        "samples": len(task.data.inputs),
        "test_samples": 0 if task.data.test_inputs is None else len(task.data.test_inputs),
        "batch": training.batch,
        "chunk": training.chunk,
        "memory_bytes": int(training.first.memory.size),
        "spilled": list(training.spilled),
    }


def _program_reports(training: Training, times: dict[str, int]) -> dict[str, Any]:
    """Where a program's cycles go; the time of a program does not depend on data."""
    from pulsarray.model.timing import simulate_timing
    from pulsarray.report import build_report

    if not training.first.config.counters:
        return {}
    return {
        name: build_report(program, simulate_timing(program, **times))
        for name, program in training.programs.items()
    }


def _show(result: dict[str, Any], history: History) -> None:
    show(epoch_table(history))
    show("")
    last = history.epochs[-1]
    rows: dict[str, Any] = {
        "network": f"{result['network']}, loss {result['loss']['name']}",
        "ran on": result["source"],
        "steps": len(history.losses),
        "cycles": history.cycles,
        "cycles a step": round(last.step_cycles),
    }
    if result["compared_with_model"]:
        rows["compared with the model"] = "every run identical: values, cycles, counters, events"
    if history.stopped:
        rows["stopped"] = history.stopped
    for overflow in history.overflows:
        rows[f"overflow of {overflow.tensor}"] = (
            f"{overflow.steps} steps in a row from step {overflow.first}"
        )
    show(facts(rows))
