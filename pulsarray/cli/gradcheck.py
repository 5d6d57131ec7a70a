"""``pulsarray gradcheck``: the machine's gradients against float64, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pulsarray.api.task import Given, task_of
from pulsarray.cli.options import JsonOption, SetOption
from pulsarray.cli.output import print_json, show, working
from pulsarray.config import PRESETS, load_config
from pulsarray.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from pulsarray.compiler.training.deviations import GradientCheck

__all__ = ["gradcheck"]

_SAMPLES = 16
_RATE = 0.1


def gradcheck(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="A built-in workload, or an .onnx file.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="D.npz", help="Samples: x with t or labels."),
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", metavar="LOSS", help="Loss, or LOSS:PARAMETER.")
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", "-b", min=1, help="Samples that are looked at.")
    ] = _SAMPLES,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Training steps on them before the check.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of a workload's weights.")] = 0,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="PRESET|FILE",
                     help=f"Machine: a preset ({', '.join(PRESETS)}) or a TOML file."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Compare one training step of the machine's arithmetic with float64 NumPy.

    Differences are relative to each tensor; float64 itself is compared with central differences.
    Exit code 1 if one is beyond its tolerance.

    For example:

      pulsarray gradcheck xor

      pulsarray gradcheck mnist-mlp --batch 64 --steps 20

      pulsarray gradcheck net.onnx --data d.npz --loss huber:0.5 --json
    """
    # A network of one's own has no rate; only --steps uses it.
    rate = _RATE if network.endswith(".onnx") else None
    task = task_of(Given(network=network, data=data, loss=loss, seed=seed, learning_rate=rate))
    machine = load_config(config or task.config, overrides or ())
    if machine.operand_bits != 16:
        raise InputError(f"config: operand_bits must be 16 to train, not {machine.operand_bits}")
    from pulsarray.compiler.training.deviations import check_gradients

    with working(f"one step of {task.name} in integers and in float64"):
        result = check_gradients(
            task.network,
            task.data.inputs[:batch],
            task.data.targets[:batch],
            learning_rate=task.learning_rate,
            steps=steps,
            segments=machine.table_segments,
        )
    if as_json:
        print_json(_as_dict(result))
    else:
        show(_table(result))
        show(_summary(result))
    if not result.passes:
        raise CheckFailed(f"gradcheck: {_worst(result)}")


def _as_dict(result: GradientCheck) -> dict[str, Any]:
    from pulsarray.compiler.training.deviations import ROUNDINGS, TOLERANCES

    return {
        "passes": result.passes,
        "tensors": [
            {
                "name": row.name,
                "kind": row.kind,
                "rms": row.rms,
                "largest": row.largest,
                "rms_without_imposed_kinks": row.free,
                "roundings": row.roundings,
                "tolerance_rms": TOLERANCES[row.kind][0],
                "tolerance_largest": TOLERANCES[row.kind][1],
                "tolerance_roundings": ROUNDINGS,
                "passes": row.passes,
            }
            for row in result.deviations
        ],
        "float64_against_central_differences": dict(result.differences),
    }


def _table(result: GradientCheck) -> Table:
    from pulsarray.compiler.training.deviations import TOLERANCES

    table = Table(title="machine arithmetic against float64, relative", title_justify="left")
    table.add_column("tensor")
    columns = "rms", "largest", "tolerances", "roundings", "rms, own kinks", "float64 - differences"
    for name in columns:
        table.add_column(name, justify="right")
    for row in result.deviations:
        rms, largest = TOLERANCES[row.kind]
        slope = result.differences.get(row.name)
        mark = "" if row.passes else "[red]"
        table.add_row(
            f"{mark}{row.name}",
            f"{mark}{row.rms:.1e}",
            f"{mark}{row.largest:.1e}",
            f"{rms:.1e} {largest:.1e}",
            f"{row.roundings:.1f}",
            f"{row.free:.1e}",
            "" if slope is None else f"{slope:.1e}",
        )
    return table


def _summary(result: GradientCheck) -> str:
    if not result.differences:
        return "no central differences: a step function has no slope"
    return f"float64 against central differences: at most {max(result.differences.values()):.1e}"


def _worst(result: GradientCheck) -> str:
    from pulsarray.compiler.training.deviations import ROUNDINGS, TOLERANCES

    for row in result.deviations:
        if not row.passes:
            rms, largest = TOLERANCES[row.kind]
            return (
                f"{row.name}: rms {row.rms:.2e} and largest {row.largest:.2e}, "
                f"allowed {rms:.1e} and {largest:.1e}; {row.roundings:.1f} random roundings, "
                f"allowed {ROUNDINGS:g}"
            )
    name, value = max(result.differences.items(), key=lambda item: item[1])
    return f"{name}: float64 is {value:.1e} from central differences"
