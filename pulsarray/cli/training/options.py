"""Options of ``pulsarray train``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.cli.simulate import Place
from pulsarray.config import PRESETS
from pulsarray.errors import InputError

__all__ = [
    "BatchOption",
    "CheckOption",
    "CheckpointOption",
    "CheckpointStepsOption",
    "ClipNormOption",
    "ConfigOption",
    "CurveOption",
    "DataOption",
    "EpochsOption",
    "LearningRateOption",
    "LossOption",
    "MomentumOption",
    "OptimizerName",
    "OptimizerOption",
    "PatienceOption",
    "PlaceOption",
    "ReportOption",
    "ResumeOption",
    "ScheduleOption",
    "SeedOption",
    "StepOption",
    "TrainedArgument",
    "UntilOption",
    "WeightDecayOption",
    "WeightsOption",
    "optimizer_settings",
]


class OptimizerName(StrEnum):
    """How weights follow gradients."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAM = "adam"
    ADAMW = "adamw"


_SETTINGS: dict[OptimizerName, dict[str, float]] = {
    OptimizerName.SGD: {"momentum": 0.0, "weight_decay": 0.0, "squares": 0.0},
    OptimizerName.MOMENTUM: {"momentum": 0.9, "weight_decay": 0.0, "squares": 0.0},
    OptimizerName.ADAM: {"momentum": 0.9, "weight_decay": 0.0, "squares": 0.999},
    OptimizerName.ADAMW: {"momentum": 0.9, "weight_decay": 0.01, "squares": 0.999},
}
"""What each is unless something else is asked for."""


def optimizer_settings(
    optimizer: OptimizerName | None, momentum: float | None, weight_decay: float | None
) -> dict[str, float]:
    """Settings of an optimizer that options name, by name; none of those that they leave alone.

    Raises
    ------
    InputError
        If plain descent is to have a momentum.
    """
    if optimizer is OptimizerName.SGD and momentum:
        raise InputError(f"--momentum: {momentum:g} is not for --optimizer sgd")
    asked = {"momentum": momentum, "weight_decay": weight_decay}
    settings = {} if optimizer is None else _SETTINGS[optimizer]
    return settings | {name: value for name, value in asked.items() if value is not None}


TrainedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK", help="A built-in workload, or an .onnx file.", show_default=False
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="D.npz",
        help="Samples: x with t or labels, test_x with test_t or test_labels if there are any. "
        "A built-in workload has its own.",
    ),
]
LossOption = Annotated[
    str | None, typer.Option("--loss", metavar="LOSS", help="Loss, or LOSS:PARAMETER.")
]
OptimizerOption = Annotated[
    OptimizerName | None, typer.Option("--optimizer", help="How weights follow gradients.")
]
MomentumOption = Annotated[
    float | None,
    typer.Option("--momentum", help="Share of the step before, beta1 of Adam; 0.9 if not given."),
]
WeightDecayOption = Annotated[
    float | None, typer.Option("--weight-decay", help="Share of weights taken off a step.")
]
LearningRateOption = Annotated[float | None, typer.Option("--learning-rate", help="Learning rate.")]
BatchOption = Annotated[
    str | None,
    typer.Option("--batch", "-b", metavar="B|full", help="Samples of a step, or all of them."),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Passes over the training data.")
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, help="Of the order of samples, of first weights, of what is dropped."
    ),
]
PlaceOption = Annotated[Place, typer.Option("--on", help="Where to run it.")]
CheckOption = Annotated[
    bool | None,
    typer.Option(
        "--check/--no-check",
        help="On a simulator: run everything on the model, too, and compare; on unless "
        "switched off.",
        show_default=False,
    ),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="R.json", help="Write the report.")
]
CurveOption = Annotated[
    Path | None,
    typer.Option("--curve", metavar="C", help="Write the course, as .csv or .html."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", metavar="W.npz", help="Write the trained weights, real values."),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="F.npz", help="File to write after every epoch."),
]
CheckpointStepsOption = Annotated[
    int | None,
    typer.Option("--checkpoint-steps", min=1, help="Write it after so many steps, too."),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option("--resume", metavar="F.npz", help="Go on from a checkpoint."),
]
StepOption = Annotated[
    int | None,
    typer.Option("--step", min=1, help="The step whose waves are written; 1 if not given."),
]
ClipNormOption = Annotated[
    float | None,
    typer.Option(
        "--clip-norm",
        metavar="NORM",
        help="Make all gradients of a step smaller together where their norm is larger.",
    ),
]
ScheduleOption = Annotated[
    str,
    typer.Option(
        "--schedule",
        metavar="constant|linear|cosine",
        help="How the learning rate falls from epoch to epoch.",
    ),
]
PatienceOption = Annotated[
    int | None,
    typer.Option("--patience", min=1, help="Stop after so many epochs without a lower loss."),
]
UntilOption = Annotated[
    float | None,
    typer.Option("--until", min=0, max=1, help="Stop at this accuracy, from 0 to 1."),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PRESET|FILE",
        help=f"Machine: a preset ({', '.join(PRESETS)}) or a TOML file; if not given, the "
        "workload's, or train-small.",
    ),
]
