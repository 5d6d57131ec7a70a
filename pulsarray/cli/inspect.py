"""``pulsarray inspect``: the layers of a network, what they cost, and where they run."""

from __future__ import annotations

from typing import Annotated

import typer

from pulsarray.api.inspecting import inspect as inspect_network
from pulsarray.cli.options import (
    CalibrateOption,
    ConfigOption,
    JsonOption,
    SetInputOption,
    SetOption,
    ShapeOption,
    chosen_config,
    given_config,
    parsed_inputs,
    parsed_shape,
)
from pulsarray.cli.output import print_json, show, working
from pulsarray.cli.passes import text_after, training_after
from pulsarray.cli.training.options import (
    MomentumOption,
    OptimizerOption,
    WeightDecayOption,
    optimizer_settings,
)
from pulsarray.errors import CheckFailed, InputError

__all__ = ["inspect"]


def inspect(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="An .onnx, .tflite or .nir file, a .pulse program, a built-in network (mnist-mlp, "
            "lenet, resnet8, resnet50), or gemm:MxKxN.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    shape: ShapeOption = None,
    set_input: SetInputOption = None,
    as_json: JsonOption = False,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="PASS",
            help="Print what the compiler's passes make of the network up to this one, as text; "
            "an unknown name lists them.",
            show_default=False,
        ),
    ] = None,
    training: Annotated[
        bool,
        typer.Option(
            "--training",
            help="The passes of training, with a loss that suits the network's end; "
            "without --after all of them.",
        ),
    ] = False,
    optimizer: OptimizerOption = None,
    momentum: MomentumOption = None,
    weight_decay: WeightDecayOption = None,
    calibrate: CalibrateOption = None,
) -> None:
    """Print the layers of a network: shapes, cost, whether they are supported, where they run.

    Exit code 1 if something of it cannot be compiled.

    For example:

      pulsarray inspect resnet8

      pulsarray inspect mobilenet.tflite --json

      pulsarray inspect net.onnx --shape 3x224x224 --config small --set tables=0

      pulsarray inspect resnet8 --after norms

      pulsarray inspect mnist-mlp --training --after gradients

      pulsarray inspect mnist-mlp --training --after updates --optimizer adamw
    """
    settings = optimizer_settings(optimizer, momentum, weight_decay)
    sizes, constants = parsed_shape(shape), parsed_inputs(set_input)
    if training:
        if set_input:
            raise InputError("--set-input: not with --training")
        typer.echo(training_after(network, after, sizes, settings), nl=False)
        return
    if settings:
        raise InputError("--optimizer, --momentum, --weight-decay: only with --training")
    if after is not None:
        machine = chosen_config(config, overrides)
        typer.echo(text_after(network, after, calibrate, machine, sizes, constants), nl=False)
        return
    if calibrate is not None:
        raise InputError("--calibrate: only with --after")
    wanted = given_config(config, overrides)
    with working(f"reading {network}"):
        inspected = inspect_network(network, wanted, shape=sizes, set_inputs=constants)
    if as_json:
        print_json(inspected.to_dict())
    else:
        show(inspected)
    if inspected.complaint:
        raise CheckFailed(f"{network}: {inspected.complaint}")
