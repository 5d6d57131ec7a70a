"""ONNX files to networks, float or quantized, whatever tool wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pulsarray.compiler.arguments import file_path
from pulsarray.compiler.importers.inputs import GivenShapes
from pulsarray.compiler.importers.onnx.constants import FOLDED
from pulsarray.compiler.importers.onnx.dynamic import DYNAMIC, without_dynamic
from pulsarray.compiler.importers.onnx.file import read_onnx
from pulsarray.compiler.importers.onnx.fixed import SetInputs
from pulsarray.compiler.importers.onnx.graph import graph_of
from pulsarray.compiler.importers.onnx.lookups import with_real_tables
from pulsarray.compiler.importers.onnx.operators import TAKEN
from pulsarray.compiler.importers.onnx.partly import PartlyFloat, in_real_numbers
from pulsarray.compiler.importers.onnx.quantized import QUANTIZED, integer_graph_of
from pulsarray.compiler.ir.graph import Graph
from pulsarray.errors import InputError

__all__ = ["import_onnx", "import_onnx_any"]


def import_onnx(
    path: Path | str,
    *,
    shape: GivenShapes = None,
    random_weights: int | None = None,
    learns: bool = False,
) -> Graph:
    """Read a float network.

    Parameters
    ----------
    path
        The file.
    shape
        Shape of an input sample as the file has it, without the batch: for files that leave
        sizes open; by name where there are several inputs, or single sizes by theirs.
    random_weights
        Seed of random weights in place of all that the file makes with ``ConstantOfShape``.
    learns
        Whether it is to be trained: normalization and dropout then stay operators everywhere.

    Raises
    ------
    InputError
        If the file cannot be read, has operators that are not supported, or its shapes do not
        fit. Every unsupported operator is named, with its node, in one message.
    """
    path = file_path(path)
    try:
        file = read_onnx(path, TAKEN, FOLDED)
        return graph_of(file, shape, random_weights, learns=learns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def import_onnx_any(
    path: Path | str,
    *,
    shape: GivenShapes = None,
    set_inputs: SetInputs | None = None,
    random_weights: int | None = None,
    states: Mapping[str, str] | None = None,
) -> Graph:
    """Read a network as it is: in integers if the file has quantized operators, else in float.

    Dynamic quantization of ONNX Runtime is read as float, with the weights that its codes stand
    for; the note ``dynamic_quantization`` counts its operators.

    Parameters
    ----------
    path, shape, random_weights
        As of :func:`import_onnx`.
    set_inputs
        Values of inputs that are to be constants, by name, such as a sampling rate.
    states
        Outputs that are kept for the next run, and the inputs in whose place it reads them, which
        then lie in memory as they do where that is possible.

    Raises
    ------
    InputError
        As :func:`import_onnx`, and if a value of a quantized network is not quantized.
    """
    path = file_path(path)
    try:
        read = read_onnx(path, {*TAKEN, *QUANTIZED, *DYNAMIC}, FOLDED, set_inputs)
        file = replace(with_real_tables(without_dynamic(read)), states=states or {})
        notes: dict[str, object] = {}
        if count := sum(call.kind in DYNAMIC for call in read.calls):
            notes["dynamic_quantization"] = count
        if any(call.kind in QUANTIZED for call in file.calls):
            try:
                return integer_graph_of(file, shape)
            except PartlyFloat as error:
                file, notes = in_real_numbers(file), {"partly_float": str(error)}
        graph = graph_of(file, shape, random_weights)
        return replace(graph, notes={**graph.notes, **notes})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
