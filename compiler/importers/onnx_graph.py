"""From the operators of an ONNX file to those of a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx

from pulsarray.compiler.graph import Graph, Node, Value
from pulsarray.compiler.importers.onnx_constants import FOLDED, fold_constant
from pulsarray.compiler.importers.onnx_file import Call, OnnxFile, element_name
from pulsarray.compiler.importers.onnx_operators import IMAGES, OPERATORS
from pulsarray.compiler.importers.onnx_random import random_weight, roles
from pulsarray.compiler.importers.onnx_tensors import Network
from pulsarray.compiler.quantization.fold import renamed
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["finish", "fold_call", "graph_of", "run_call", "start"]

Kind = TypeVar("Kind", bound=Network)

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


def graph_of(file: OnnxFile, shape: Sequence[int] | None, seed: int | None) -> Graph:
    """The float network of a file; with a seed, with random weights."""
    network = start(file, shape, IMAGES, Network)
    rng = np.random.default_rng(seed)
    random = roles(file.calls) if seed is not None else {}
    for call in file.calls:
        if fold_call(network, call):
            name = call.outputs[0]
            if role := random.get(name):
                made = network.constants[name]
                network.constants[name] = random_weight(role, made.shape, rng)
        else:
            run_call(network, call, OPERATORS)
    return finish(network)


def start(
    file: OnnxFile,
    shape: Sequence[int] | None,
    images: Collection[str],
    kind: Callable[[OnnxFile, tuple[int, ...], bool, bool], Kind],
) -> Kind:
    """A network of nothing but the input; ``images`` are the operators that need images."""
    if file.element not in _FLOATS:
        element = element_name(file.element)
        raise InputError(f"input {file.input} must be float, not {element}")
    sample = file.sample_shape(shape)
    spatial = len(sample) == 3 and any(call.kind in images for call in file.calls)
    return kind(file, sample, spatial, spatial and _is_channels_last(file))


def fold_call(network: Network, call: Call) -> bool:
    """Compute an operator if all that it reads is constant; whether it was."""
    constant = all(network.is_constant(name) for name in call.inputs if name)
    if not constant or call.kind not in FOLDED:
        return False
    inputs = [network.constants[name] for name in call.inputs if name]
    network.constants[call.outputs[0]] = fold_constant(call, inputs, network.file.opset)
    return True


def run_call(
    network: Network, call: Call, operators: Mapping[str, Callable[[Network, Call], None]]
) -> None:
    """Put an operator at the end."""
    if call.kind not in operators:
        raise InputError(f"{call.where}: {call.kind} is only possible on constants")
    operators[call.kind](network, call)


def finish(network: Network) -> Graph:
    """The graph of what the result depends on."""
    file = network.file
    if not network.nodes:
        raise InputError("no operator to compile")
    nodes = _needed(network.nodes, network.result())
    if not nodes:
        raise InputError("no operator to compile")
    result = network.shapes[nodes[-1].output]
    if nodes[-1].output != file.output:
        spare = network.fresh(file.output)
        nodes = [renamed(node, {file.output: spare}) for node in nodes]
        nodes[-1] = replace(nodes[-1], output=file.output)
    source = Value(file.input, network.shapes[file.input])
    views = [_view(network, source.shape), _view(network, result)]
    return Graph(file.name, source, nodes, *views)


def _view(network: Network, shape: Sequence[int]) -> HostView | None:
    """How the file has a value of the graph."""
    if not network.images or network.channels_last or len(shape) != 3:
        return None
    return HostView.channels_first(shape)


def _is_channels_last(file: OnnxFile) -> bool:
    """Whether the input is brought to (N, C, H, W) before anything else."""
    first = [call for call in file.calls if file.input in call.inputs]
    return bool(first) and all(
        call.kind == "Transpose" and call.attributes.get("perm") == [0, 3, 1, 2] for call in first
    )


def _needed(nodes: Sequence[Node], result: str) -> list[Node]:
    """The operators that a result depends on."""
    wanted, kept = {result}, []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
