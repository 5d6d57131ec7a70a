"""``pulsarray compile``: from a network to a program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pulsarray.api.source import compile_source
from pulsarray.api.step import compile_step
from pulsarray.api.task import Given
from pulsarray.cli.options import (
    BatchOption,
    CalibrateOption,
    ConfigOption,
    JsonOption,
    NetworkArgument,
    OutputsOnlyOption,
    SeedOption,
    SetOption,
    ShapeOption,
    SumsOption,
    chosen_config,
    parsed_shape,
)
from pulsarray.cli.output import facts, print_json, require_writable, show, working
from pulsarray.errors import InputError
from pulsarray.images import host_shape
from pulsarray.program import Program, Tensor

__all__ = ["compile_", "program_facts", "tensor_text"]


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
    outputs_only: OutputsOnlyOption = None,
    sums: SumsOption = False,
    seed: SeedOption = None,
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
    momentum: Annotated[float | None, typer.Option("--momentum", help="(training)")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", help="(training)")] = None,
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
    given = Given(
        network=network,
        data=data,
        loss=loss,
        momentum=momentum,
        weight_decay=weight_decay,
        learning_rate=learning_rate,
        batch=None if batch is None else str(batch),
        seed=seed or 0,
    )
    _check_options(given, training, calibrate, sums, shape is not None)
    if training and outputs_only:
        raise InputError("--outputs-only: not with --training")
    require_writable(output, read=[network, calibrate, data, config])
    with working(f"compiling {network}"):
        if training:
            program = compile_step(given, config, overrides or ())
        else:
            machine = chosen_config(config, overrides)
            program = compile_source(
                network,
                machine,
                batch=batch,
                calibrate=calibrate,
                shape=parsed_shape(shape),
                outputs=outputs_only or (),
                sums=sums,
                seed=seed,
            )
        program.save(output)
    if as_json:
        print_json({"file": str(output), **program_facts(program)})
        return
    show(facts({"file": output, **program_text(program)}))


def _check_options(
    given: Given, training: bool, calibrate: Path | None, sums: bool, shape: bool
) -> None:
    """Refuse options of training without it, and the reverse."""
    names = ("data", "loss", "momentum", "weight_decay", "learning_rate")
    set_ = [f"--{n.replace('_', '-')}" for n in names if getattr(given, n) is not None]
    if set_ and not training:
        raise InputError(f"{', '.join(set_)}: only with --training")
    if training and (calibrate is not None or sums or shape):
        raise InputError("--calibrate, --sums, --shape: not with --training")


def program_facts(program: Program) -> dict[str, Any]:
    """What a program file holds, as plain data."""
    return {
        "network": program.network,
        "batch": program.batch,
        "fingerprint": program.config.fingerprint,
        "instructions": len(program.instructions),
        "code_bytes": len(program.code),
        "memory_bytes": int(program.memory.size),
        "macs": sum(layer.macs for layer in program.layers),
        "layers": [
            {"name": x.name, "kind": x.kind, "m": x.m, "k": x.k, "n": x.n} for x in program.layers
        ],
        "inputs": [_tensor_facts(tensor) for tensor in program.with_role("input")],
        "outputs": [_tensor_facts(tensor) for tensor in program.with_role("output")],
    }


def _tensor_facts(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(host_shape(tensor)),
        "element": tensor.element,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def program_text(program: Program) -> dict[str, Any]:
    """What a program file holds, as rows of a table."""
    rows = program_facts(program)
    rows["layers"] = "; ".join(
        f"{layer.name} {layer.m}x{layer.k}x{layer.n}" if layer.m else layer.name
        for layer in program.layers
    )
    for role in ("input", "output"):
        del rows[f"{role}s"]
        rows[role] = "; ".join(tensor_text(tensor) for tensor in program.with_role(role))
    return rows


def tensor_text(tensor: Tensor) -> str:
    """A tensor in a few words."""
    text = f"{tensor.name} {host_shape(tensor)} {tensor.element}s"
    return f"{text}, scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
