"""Options that verbs share, so that each is spelled and described once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.source import Shapes
from pulsarray.config import DEFAULT_CONFIG, PRESETS, Config, load_config
from pulsarray.errors import InputError

__all__ = [
    "BatchOption",
    "CalibrateOption",
    "ConfigOption",
    "EffortOption",
    "EnergyTableOption",
    "IntervalOption",
    "JsonOption",
    "LatencyOption",
    "NetworkArgument",
    "OutputsOnlyOption",
    "SeedOption",
    "SetOption",
    "ShapeOption",
    "StateOption",
    "SumsOption",
    "TimelineOption",
    "WavesOption",
    "chosen_config",
    "given_config",
    "parsed_shape",
    "parsed_states",
]

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PRESET|FILE",
        help=f"Machine: a preset ({', '.join(PRESETS)}) or a TOML file; {DEFAULT_CONFIG} if not "
        "given. Where a program or report is read: the configuration that it must be for.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one parameter of the machine; may be repeated."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="An .onnx, .tflite or .nir file, a built-in network (mnist-mlp, lenet, resnet8, "
        "resnet50), "
        "or gemm:MxKxN.",
        show_default=False,
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", "-b", min=1, help="Rows of input that one run takes; 1 if not given."),
]
CalibrateOption = Annotated[
    Path | None,
    typer.Option("--calibrate", metavar="X.npz", help="Samples of the input, to choose scales by."),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="[NAME=]CxHxW",
        help="Sizes of one sample of the input, where the file leaves them open; of several "
        "inputs each by its name; or one size by the name that the file gives it.",
    ),
]
SetInputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set-input",
        metavar="NAME=VALUE",
        help="ONNX: an input that is to be a constant, such as a sampling rate, and its value.",
    ),
]
OutputsOnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--outputs-only",
        metavar="NAME",
        help="An output to keep of a network that has several; what it does not need is left out.",
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="OUT=IN",
        help="An output that is kept in memory for the next run, which reads it in the place of "
        "an input; may be repeated.",
    ),
]
TimelineOption = Annotated[
    Path | None,
    typer.Option(
        "--timeline",
        metavar="T.html|T.json",
        help="Write when each unit worked on what: a page, or a trace for Perfetto and Chrome.",
    ),
]
WavesOption = Annotated[
    Path | None,
    typer.Option(
        "--waves",
        metavar="F.fst|F.vcd",
        help="Write a simulator's waves, with save files F.gtkw for GTKWave and F.sucl for Surfer.",
    ),
]
SumsOption = Annotated[
    bool, typer.Option("--sums", help="gemm: keep the sums instead of requantizing to codes.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="gemm: seed of the operands; 0 if not given.")
]
LatencyOption = Annotated[
    int,
    typer.Option("--memory-latency", min=1, help="Cycles from an address to its first beat."),
]
EnergyTableOption = Annotated[
    str | None,
    typer.Option(
        "--energy-table",
        metavar="NAME|E.toml",
        help="Energies of events for estimates of energy: horowitz45 (45 nm) if not given, "
        "stillmaker22, jouppi7 (22 and 7 nm), or a file.",
    ),
]
EffortOption = Annotated[
    int | None,
    typer.Option(
        "--effort",
        min=0,
        help="Instructions that the search for a fast program may look at; 0 takes its first "
        "guess. 32,000 if not given.",
    ),
]
IntervalOption = Annotated[int, typer.Option("--memory-interval", min=1, help="Cycles a beat.")]


def chosen_config(config: str | None, overrides: list[str] | None) -> Config:
    """The configuration that a verb works for.

    Raises
    ------
    InputError
        If it breaks a rule.
    """
    return load_config(DEFAULT_CONFIG if config is None else config, overrides or ())


def given_config(config: str | None, overrides: list[str] | None) -> Config | None:
    """The configuration that a file must be for; None if the options name none."""
    return chosen_config(config, overrides) if config is not None or overrides else None


def parsed_shape(texts: list[str] | None) -> Shapes:
    """Sizes of ``--shape``, by name where it has names; None if it is not given.

    Raises
    ------
    InputError
        If they are not positive numbers with an x between them, or names are missing or repeated.
    """
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return _sizes(texts[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not name:
            raise InputError(f"--shape: needs NAME=SIZES where there are several, not {text!r}")
        if name in shapes:
            raise InputError(f"--shape: two are for {name!r}")
        shapes[name] = _sizes(sizes)
    return shapes


def parsed_inputs(texts: list[str] | None) -> dict[str, float] | None:
    """Values of ``--set-input`` by name; None if it is not given.

    Raises
    ------
    InputError
        If one is no number, or names are missing or repeated.
    """
    values: dict[str, float] = {}
    for text in texts or ():
        name, _, number = text.rpartition("=")
        if not name or name in values:
            raise InputError(f"--set-input: needs NAME=VALUE once for each name, not {text!r}")
        try:
            values[name] = float(number)
        except ValueError:
            raise InputError(f"--set-input: {number!r} is no number") from None
    return values if texts else None


def parsed_states(texts: list[str] | None) -> dict[str, str]:
    """Inputs of ``--state`` by the outputs that take their places.

    Raises
    ------
    InputError
        If a name is missing or repeated.
    """
    states: dict[str, str] = {}
    for text in texts or ():
        output, separator, name = text.partition("=")
        if not (output and separator and name):
            raise InputError(f"--state: needs OUT=IN, an output and an input, not {text!r}")
        if output in states:
            raise InputError(f"--state: two are for {output!r}")
        states[output] = name
    return states


def _sizes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,6}(x[1-9][0-9]{0,6})*", text):
        raise InputError(f"--shape: expected positive numbers as 3x224x224, not {text!r}")
    return tuple(map(int, text.split("x")))
