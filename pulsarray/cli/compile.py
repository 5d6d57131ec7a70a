"""``pulsarray compile``: from a network to a program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.network import compile_source
from pulsarray.api.step import compile_step
from pulsarray.api.task import Given
from pulsarray.cli.options import (
    BatchOption,
    CalibrateOption,
    ConfigOption,
    EffortOption,
    JsonOption,
    NetworkArgument,
    OutputsOnlyOption,
    SeedOption,
    SetInputOption,
    SetOption,
    ShapeOption,
    StateOption,
    SumsOption,
    chosen_config,
    parsed_inputs,
    parsed_shape,
    parsed_states,
)
from pulsarray.cli.output import print_json, require_writable, show, working
from pulsarray.cli.training.options import (
    MomentumOption,
    OptimizerOption,
    WeightDecayOption,
    optimizer_settings,
)
from pulsarray.display.facts import facts
from pulsarray.display.programs import program_facts, program_text
from pulsarray.errors import InputError

__all__ = ["compile_"]


def compile_(
    network: NetworkArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="P.pulse", help="Program file to write.")
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    batch: BatchOption = None,
    calibrate: CalibrateOption = None,
    shape: ShapeOption = None,
    set_input: SetInputOption = None,
    outputs_only: OutputsOnlyOption = None,
    state: StateOption = None,
    sums: SumsOption = False,
    seed: SeedOption = None,
    effort: EffortOption = None,
    training: Annotated[
        bool, typer.Option("--training", help="A training step instead of the outputs.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="D.npz", help="Samples (training): x with t or labels."),
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="Loss, or LOSS:PARAMETER (training).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Learning rate (training).")
    ] = None,
    optimizer: OptimizerOption = None,
    momentum: MomentumOption = None,
    weight_decay: WeightDecayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a network, or a step of its training, into a program file.

    For example:

      pulsarray compile mnist-mlp --config small --batch 64 -o mnist.pulse

      pulsarray compile gemm:64x64x64 --config base -o gemm.pulse

      pulsarray compile net.onnx --calibrate samples.npz -o net.pulse

      pulsarray compile mobilenet.tflite --config base -o mobilenet.pulse

      pulsarray compile xor --training --batch 4 -o step.pulse
    """
    request = Given(
        network=network,
        data=data,
        loss=loss,
        optimizer=optimizer_settings(optimizer, momentum, weight_decay),
        learning_rate=learning_rate,
        batch=None if batch is None else str(batch),
        seed=seed or 0,
    )
    _check_options(request, training, calibrate, sums, shape is not None)
    if training and (outputs_only or state or set_input or effort is not None):
        raise InputError("--outputs-only, --state, --set-input, --effort: not with --training")
    require_writable(output, read=[network, calibrate, data, config])
    with working(f"compiling {network}"):
        if training:
            program = compile_step(request, config, overrides or ())
        else:
            machine = chosen_config(config, overrides)
            program = compile_source(
                network,
                machine,
                batch=batch,
                calibrate=calibrate,
                shape=parsed_shape(shape),
                set_inputs=parsed_inputs(set_input),
                outputs=outputs_only or (),
                states=parsed_states(state),
                sums=sums,
                seed=seed,
                effort=effort,
            )
        program.save(output)
    if as_json:
        print_json({"file": str(output), **program_facts(program)})
        return
    show(facts({"file": output, **program_text(program)}))


def _check_options(
    request: Given, training: bool, calibrate: Path | None, sums: bool, shape: bool
) -> None:
    """Refuse options of training without it, and the reverse."""
    names = ("data", "loss", "learning_rate")
    set_ = [f"--{n.replace('_', '-')}" for n in names if getattr(request, n) is not None]
    set_ += ["--optimizer, --momentum, --weight-decay"] if request.optimizer else []
    if set_ and not training:
        raise InputError(f"{', '.join(set_)}: only with --training")
    if training and (calibrate is not None or sums or shape):
        raise InputError("--calibrate, --sums, --shape: not with --training")
