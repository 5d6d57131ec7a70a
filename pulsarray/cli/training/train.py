"""``pulsarray train``: train a network on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.task import Given, Task, task_of
from pulsarray.cli.options import IntervalOption, JsonOption, LatencyOption, SetOption
from pulsarray.cli.output import facts, print_json, require_writable, show, working
from pulsarray.cli.simulate import Place
from pulsarray.cli.training.options import (
    BatchOption,
    CheckOption,
    CheckpointOption,
    CheckpointStepsOption,
    ConfigOption,
    CurveOption,
    DataOption,
    EpochsOption,
    LearningRateOption,
    LossOption,
    MomentumOption,
    OptimizerName,
    OptimizerOption,
    PatienceOption,
    PlaceOption,
    ReportOption,
    ResumeOption,
    SeedOption,
    TrainedArgument,
    UntilOption,
    WeightDecayOption,
    WeightsOption,
)
from pulsarray.cli.training.output import (
    epoch_table,
    require_curve,
    write_curve,
    write_report,
    write_weights,
)
from pulsarray.config import Config, load_config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from pulsarray.compiler.ir.value import Floats
    from pulsarray.compiler.training.train import Training
    from pulsarray.trainer.history import History
    from pulsarray.trainer.setup import Options

__all__ = ["train"]

DEFAULT_MOMENTUM = 0.9


def train(
    network: TrainedArgument,
    data: DataOption = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    momentum: MomentumOption = None,
    weight_decay: WeightDecayOption = None,
    learning_rate: LearningRateOption = None,
    batch: BatchOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    on: PlaceOption = Place.MODEL,
    check: CheckOption = None,
    report: ReportOption = None,
    curve: CurveOption = None,
    weights: WeightsOption = None,
    checkpoint: CheckpointOption = None,
    every: CheckpointStepsOption = None,
    resume: ResumeOption = None,
    patience: PatienceOption = None,
    until: UntilOption = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    config: ConfigOption = None,
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
    _write(result, history, learned, report=report, curve=curve, weights=weights)
    if as_json:
        print_json(result)
    else:
        _show(result, history)


def _write(
    result: dict[str, Any],
    history: History,
    learned: dict[str, Floats],
    *,
    report: Path | None,
    curve: Path | None,
    weights: Path | None,
) -> None:
    """The files that were asked for."""
    if report is not None:
        write_report(report, result)
    if curve is not None:
        write_curve(curve, result["network"], history)
    if weights is not None:
        write_weights(weights, learned)


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
