"""What a network consists of, even where it cannot be compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.machine import Machine, machine_of
from pulsarray.api.shown import Shown, Table, table
from pulsarray.api.source import (
    FILES,
    Shapes,
    Source,
    file_of,
    load_source,
    require_onnx,
    unknown_source,
)
from pulsarray.config import DEFAULT_CONFIG
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pulsarray.compiler.importers.inspection import Inspection, Row
    from pulsarray.compiler.importers.onnx.fixed import SetInputs
    from pulsarray.config import Config

__all__ = ["Inspected", "inspect", "inspect_source"]


class Inspected(Shown):
    """The operators of a network.

    Parameters
    ----------
    inspection
        What the importers tell.
    """

    def __init__(self, inspection: Inspection) -> None:
        self.inspection = inspection

    def __repr__(self) -> str:
        state = "all supported" if self.supported else "cannot be compiled"
        return f"<Inspected {self.inspection.network}: {len(self.inspection.rows)}, {state}>"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample, as far as they are known."""
        return self.inspection.macs

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return self.inspection.parameters

    @property
    def supported(self) -> bool:
        """Whether all of it can be compiled."""
        return not self.inspection.unsupported and not self.inspection.problem

    @property
    def complaint(self) -> str:
        """Why it cannot be compiled, in one line; empty if it can."""
        from pulsarray.compiler.importers.refusals import named_once

        if self.inspection.problem:
            return self.inspection.problem
        reasons = [
            (f"{row.operator}{row.place and ' '}{row.place}", row.name)
            for row in self.inspection.unsupported
        ]
        return f"not supported: {named_once(reasons)}" if reasons else ""

    @property
    def operators(self) -> Table:
        """One row an operator: shapes, cost, whether it is supported, where it runs."""
        return table(self.to_dict()["layers"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        from pulsarray.display.inspection import inspection_facts

        return inspection_facts(self.inspection)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.inspection import inspection_view

        return inspection_view(self.inspection)


def inspect(
    source: str | Path,
    config: Machine | None = None,
    *,
    shape: Shapes = None,
    set_inputs: SetInputs | None = None,
) -> Inspected:
    """What a network consists of, on a machine.

    Parameters
    ----------
    source
        As :func:`pulsarray.load` takes it, or a ``.pulse`` program.
    config
        The machine; the usual one, or a program's own, if not given.
    shape, set_inputs
        As :func:`pulsarray.load` takes them.

    Raises
    ------
    InputError
        If it cannot be read at all. What is not supported is told by the rows.
    """
    return Inspected(_inspection(str(source), config, shape, set_inputs))


def _inspection(
    source: str, config: Machine | None, shape: Shapes, set_inputs: SetInputs | None
) -> Inspection:
    from pulsarray.compiler.importers.inspection import inspect_gemm, inspect_program
    from pulsarray.program import Program
    from pulsarray.zoo.networks import BUILT_IN, parse_gemm

    (path, part), sizes = file_of(source), parse_gemm(source)
    if path.suffix != ".onnx":
        require_onnx(source, shape, set_inputs)
    if sizes is not None:
        return inspect_gemm(*sizes)
    if path.suffix == ".pulse":
        wanted = None if config is None else machine_of(config, {})
        return inspect_program(Program.load(path, wanted))
    if source not in BUILT_IN and path.suffix not in FILES:
        raise unknown_source(source, ".pulse file")
    machine = machine_of(DEFAULT_CONFIG if config is None else config, {})
    try:
        return inspect_source(load_source(source, shape, set_inputs), machine)
    except InputError as error:
        if source in BUILT_IN or path.suffix == ".nir":
            raise
        return _unsupported(path, part, str(error), shape, set_inputs)


def inspect_source(source: Source, machine: Config) -> Inspection:
    """What a network that was read consists of.

    Raises
    ------
    InputError
        If its operators cannot be combined in this way.
    """
    from pulsarray.compiler.api import require_room
    from pulsarray.compiler.importers.inspection import inspect_graph, inspect_integer

    network = source.network
    told = (inspect_integer if network.is_quantized else inspect_graph)(network, machine)
    try:
        if not told.unsupported:
            require_room(network, machine)
    except InputError as error:
        return _with_problem(told, str(error))
    return told


def _unsupported(
    path: Path, part: str, problem: str, shape: Shapes, set_inputs: SetInputs | None
) -> Inspection:
    """What a file holds that cannot be imported.

    Raises
    ------
    InputError
        If it cannot be read at all.
    """
    from pulsarray.compiler.importers.inspection import Inspection

    if path.suffix == ".onnx":
        from pulsarray.compiler.importers.onnx.listing import list_onnx

        rows = list_onnx(path, shape, set_inputs)
    else:
        from pulsarray.compiler.importers.tflite.listing import list_tflite

        rows = list_tflite(path, part, shape)
    told = Inspection(path.stem, path.suffix[1:], rows)
    return told if told.unsupported else _with_problem(told, problem.removeprefix(f"{path}: "))


def _with_problem(told: Inspection, problem: str) -> Inspection:
    """Why a network cannot be compiled, in the row that it is about or apart."""
    blamed = replace(told, rows=[_blamed(row, problem) for row in told.rows])
    return blamed if blamed.unsupported else replace(told, problem=problem)


def _blamed(row: Row, problem: str) -> Row:
    """A row that a problem is about is not supported, for that reason."""
    place, _, reason = problem.partition(": ")
    names = (row.name, f"node {row.name}", f"node {row.name} ({row.operator})")
    if place in names or place.endswith(f", {row.name!r})"):
        return replace(row, supported=False, place=reason)
    return row
