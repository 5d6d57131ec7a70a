"""``pulsarray inspect``: the layers of a network, what they cost, and where they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pulsarray.api.source import Shapes
from pulsarray.cli.options import (
    CalibrateOption,
    ConfigOption,
    JsonOption,
    SetOption,
    ShapeOption,
    chosen_config,
    given_config,
    parsed_shape,
)
from pulsarray.cli.output import print_json, show, working
from pulsarray.cli.passes import text_after, training_after
from pulsarray.compiler.importers.refusals import named_once
from pulsarray.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from pulsarray.compiler.importers.inspection import End, Inspection, Row, Shape

__all__ = ["inspect", "inspected"]


def inspect(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="An .onnx or .tflite file, a .pulse program, a built-in network (mnist-mlp, "
            "lenet, resnet8, resnet50), or gemm:MxKxN.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    shape: ShapeOption = None,
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
    """
    if training:
        typer.echo(training_after(network, after, parsed_shape(shape)), nl=False)
        return
    if after is not None:
        machine = chosen_config(config, overrides)
        typer.echo(text_after(network, after, calibrate, machine, parsed_shape(shape)), nl=False)
        return
    if calibrate is not None:
        raise InputError("--calibrate: only with --after")
    with working(f"reading {network}"):
        found = inspected(network, config, overrides, parsed_shape(shape))
    if as_json:
        print_json(_plain(found))
    else:
        show(_table(found))
        show(_summary(found))
        if found.inputs:
            show(f"{_ends('input', found.inputs)}; {_ends('output', found.outputs)}")
    if found.unsupported or found.problem:
        raise CheckFailed(_complaint(network, found))


def inspected(
    source: str,
    config: str | None,
    overrides: list[str] | None,
    shape: Shapes,
) -> Inspection:
    """What a network consists of.

    Raises
    ------
    InputError
        If it cannot be read at all.
    """
    from pulsarray.api.source import FILES, load_source, unknown_source
    from pulsarray.compiler.importers.inspection import (
        inspect_gemm,
        inspect_graph,
        inspect_integer,
        inspect_program,
    )
    from pulsarray.program import Program
    from pulsarray.zoo.networks import BUILT_IN, parse_gemm

    path, sizes = Path(source), parse_gemm(source)
    if shape is not None and path.suffix != ".onnx":
        raise InputError(f"--shape: only for ONNX files, not for {source}")
    if sizes is not None:
        return inspect_gemm(*sizes)
    if path.suffix == ".pulse":
        return inspect_program(Program.load(path, given_config(config, overrides)))
    if source not in BUILT_IN and path.suffix not in FILES:
        raise unknown_source(source, ".pulse file")
    machine = chosen_config(config, overrides)
    try:
        network = load_source(source, shape).network
        if network.is_quantized:
            return inspect_integer(network, machine)
        return inspect_graph(network, machine)
    except InputError as error:
        if source in BUILT_IN:
            raise
        return _unsupported(path, str(error), shape)


def _unsupported(path: Path, problem: str, shape: Shapes) -> Inspection:
    """What a file holds that cannot be imported.

    Raises
    ------
    InputError
        If it cannot be read at all.
    """
    from pulsarray.compiler.importers.inspection import Inspection
    from pulsarray.compiler.importers.inspection_files import list_onnx, list_tflite

    rows = list_onnx(path, shape) if path.suffix == ".onnx" else list_tflite(path)
    problem = problem.removeprefix(f"{path}: ")
    if all(row.supported for row in rows):
        rows = [_blamed(row, problem) for row in rows]
    if any(not row.supported for row in rows):
        problem = ""
    return Inspection(path.stem, path.suffix[1:], rows, problem)


def _blamed(row: Row, problem: str) -> Row:
    """A row that a problem is about is not supported, for that reason."""
    place, _, reason = problem.partition(": ")
    names = (row.name, f"node {row.name}", f"node {row.name} ({row.operator})")
    if place in names or place.endswith(f", {row.name!r})"):
        return replace(row, supported=False, place=reason)
    return row


def _complaint(source: str, found: Inspection) -> str:
    """Why a network cannot be compiled, in one line."""
    if found.problem:
        return f"{source}: {found.problem}"
    reasons = [
        (f"{row.operator}{row.place and ' '}{row.place}", row.name) for row in found.unsupported
    ]
    return f"{source}: not supported: {named_once(reasons)}"


def _table(found: Inspection) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("layer", "total", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("input")
    table.add_column("output")
    table.add_column("MACs", f"{found.macs:,}", justify="right", no_wrap=True)
    table.add_column("parameters", f"{found.parameters:,}", justify="right", no_wrap=True)
    table.add_column("supported")
    table.add_column("where", overflow="fold")
    for row in found.rows:
        table.add_row(
            escape(row.name),
            escape(row.operator),
            _shapes(row.inputs),
            _shapes((row.output,)),
            "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
            f"{row.parameters:,}" if row.parameters else "",
            "yes" if row.supported else "[bold red]no[/bold red]",
            escape(row.place),
        )
    return table


def _shapes(shapes: Sequence[Shape]) -> str:
    """Shapes in a few characters; a size that is not known is a question mark."""
    known = ["x".join(str(size) if size > 0 else "?" for size in shape) for shape in shapes]
    if len(known) > 2 and len(set(known)) == 1:
        return f"{len(known)} of {known[0]}"
    return ", ".join(known)


def _summary(found: Inspection) -> str:
    bad, unknown = len(found.unsupported), any(row.macs is None for row in found.rows)
    state = f"{bad} not supported" if bad else "all supported"
    if found.problem:
        state = "cannot be compiled"
    return (
        f"{escape(found.network)} ({escape(found.form)}): {_count(found)}, {state}; "
        f"{'at least ' * unknown}{found.macs:,} MACs a sample, {found.parameters:,} parameters"
    )


def _ends(what: str, ends: Sequence[End]) -> str:
    """Inputs or outputs with the shapes of a sample."""
    told = ", ".join(f"{end.name} {_shapes((end.shape,))}" for end in ends)
    return f"{what}{'s' if len(ends) > 1 else ''} {escape(told)}"


def _count(found: Inspection) -> str:
    return f"{len(found.rows)} operator{'s' if len(found.rows) > 1 else ''}"


def _plain(found: Inspection) -> dict[str, Any]:
    return {
        "network": found.network,
        "form": found.form,
        "macs": found.macs,
        "parameters": found.parameters,
        "supported": not found.unsupported and not found.problem,
        "problem": found.problem,
        "inputs": [{"name": end.name, "shape": list(end.shape)} for end in found.inputs],
        "outputs": [{"name": end.name, "shape": list(end.shape)} for end in found.outputs],
        "layers": [_plain_row(row) for row in found.rows],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "operator": row.operator,
        "inputs": [list(shape) for shape in row.inputs],
        "output": list(row.output),
        "macs": row.macs,
        "parameters": row.parameters,
        "supported": row.supported,
        "place": row.place,
    }
