"""``pulsarray train``: train a network on the machine."""

from __future__ import annotations

import json

from pulsarray.api.task import Given, task_of
from pulsarray.api.training import Course, train_task
from pulsarray.arrays import save_arrays
from pulsarray.cli.options import (
    IntervalOption,
    JsonOption,
    LatencyOption,
    SetOption,
    TimelineOption,
    WavesOption,
)
from pulsarray.cli.output import print_json, require_writable, show, wave_files, working
from pulsarray.cli.simulate import Place
from pulsarray.cli.training.options import (
    BatchOption,
    CheckOption,
    CheckpointOption,
    CheckpointStepsOption,
    ClipNormOption,
    ConfigOption,
    CurveOption,
    DataOption,
    EpochsOption,
    LearningRateOption,
    LossOption,
    MomentumOption,
    OptimizerOption,
    PatienceOption,
    PlaceOption,
    ReportOption,
    ResumeOption,
    ScheduleOption,
    SeedOption,
    StepOption,
    TrainedArgument,
    UntilOption,
    WeightDecayOption,
    WeightsOption,
    optimizer_settings,
)
from pulsarray.config import load_config
from pulsarray.display.timeline import require_timeline
from pulsarray.display.training import require_curve
from pulsarray.files import write_atomically

__all__ = ["train"]


def train(
    network: TrainedArgument,
    data: DataOption = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    momentum: MomentumOption = None,
    weight_decay: WeightDecayOption = None,
    learning_rate: LearningRateOption = None,
    schedule: ScheduleOption = "constant",
    clip_norm: ClipNormOption = None,
    batch: BatchOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    on: PlaceOption = Place.MODEL,
    check: CheckOption = None,
    report: ReportOption = None,
    curve: CurveOption = None,
    weights: WeightsOption = None,
    timeline: TimelineOption = None,
    waves: WavesOption = None,
    step: StepOption = None,
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

      pulsarray train xor --on icarus --epochs 1 --waves xor.fst --step 3
    """
    files = [report, curve, weights, timeline, checkpoint, *wave_files(waves)]
    require_writable(*files, read=[network, data, config])
    require_writable(report, curve, weights, read=[resume])  # a checkpoint may go on in its file
    require_curve(curve)
    require_timeline(timeline)
    course = Course(
        on=on.value,
        check=check,
        memory_latency=memory_latency,
        memory_interval=memory_interval,
        seed=seed,
        patience=patience,
        until=until,
        checkpoint=checkpoint,
        checkpoint_steps=every,
        resume=resume,
        timeline=timeline,
        waves=waves,
        step=step,
        schedule=schedule,
        clip_norm=clip_norm,
    )
    task = task_of(
        Given(
            network=network,
            data=data,
            loss=loss,
            optimizer=optimizer_settings(optimizer, momentum, weight_decay),
            learning_rate=learning_rate,
            batch=batch,
            epochs=epochs,
            seed=seed,
        )
    )
    trained = train_task(task, load_config(config or task.config, overrides or ()), course, working)
    if report is not None:
        write_atomically(report, json.dumps(trained.to_dict(), indent=2).encode() + b"\n")
    if curve is not None:
        trained.save_curve(curve)
    if weights is not None:
        save_arrays(weights, trained.weights)
    if as_json:
        print_json(trained.to_dict())
    else:
        show(trained)
