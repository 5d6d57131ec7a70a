"""TensorFlow Lite files in floating point to networks of real numbers."""

from __future__ import annotations

from pulsarray.compiler.importers.tflite.file import Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.importers.tflite.real_operators import import_operator
from pulsarray.compiler.ir.graph import Graph, needed
from pulsarray.compiler.passes.ends import ending_in
from pulsarray.errors import InputError

__all__ = ["import_real", "is_real"]


def is_real(file: TfliteFile) -> bool:
    """Whether a file computes with real numbers from its inputs on."""
    kinds = {file.tensors[index].kind for index in file.inputs}
    codes = any(
        operator.kind == "QUANTIZE" and set(operator.inputs) & set(file.inputs)
        for operator in file.operators
    )
    return "float32" in kinds and not codes


def import_real(file: TfliteFile, name: str) -> Graph:
    """The network of a file whose operators are all known.

    Raises
    ------
    InputError
        If something of it is not supported; the text names the operator.
    """
    network = RealNetwork(file, name)
    for operator in file.operators:
        try:
            import_operator(network, operator)
        except InputError as error:
            raise InputError(f"{file.where(operator)}: {error}") from None
    results = file.results()
    ends = {end: _written(network, file.tensors[index]) for index, end in results}
    if not file.outputs or len({*file.outputs}) != len(file.outputs):
        told = [file.tensors[index].short for index in file.outputs]
        raise InputError(f"needs outputs that differ, not {told}")
    names = tuple(ends)
    nodes = needed(network.draft.nodes, ends.values())
    return network.draft.graph(names, nodes=ending_in(nodes, ends, names))


def _written(network: RealNetwork, tensor: Tensor) -> str:
    """The value of an output."""
    if tensor.index not in network.names or tensor.index in network.file.inputs:
        raise InputError(f"output {tensor.short!r} must be an operator's that depends on the input")
    return network.names[tensor.index]
