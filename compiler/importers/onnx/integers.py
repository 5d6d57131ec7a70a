"""From what a quantized ONNX file says to a network in integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.graph import Activate, Graph, Node, Softmax
from pulsarray.compiler.importers.onnx.graph import finish
from pulsarray.compiler.importers.onnx.rounding import QuantizedNetwork, without_input_rounding
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph as IntegerGraph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.integer.kernel import HIGH, LOW
from pulsarray.compiler.quantization.fold import fold
from pulsarray.compiler.quantization.fuse import Step, fuse_graph
from pulsarray.compiler.quantization.given_weights import given_columns
from pulsarray.compiler.quantization.hoist import hoist
from pulsarray.compiler.quantization.integer_nodes import IntegerNodes
from pulsarray.compiler.quantization.integer_weights import Columns
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.quantization.split import split
from pulsarray.compiler.spatial import Concat, Convolution, MaxPool, Shuffle
from pulsarray.errors import InputError

__all__ = ["integers"]

_BITS = 31
"""Bits of multipliers."""


def integers(network: QuantizedNetwork) -> IntegerGraph:
    """The integer network of a file that has been read to its end."""
    value = network.tensor(network.file.output, "output").value
    graph = finish(network)
    rounded = dict(network.rounded)
    if (known := network.quantization_of(value)) is not None:
        rounded[graph.output.name] = known
    answer = _answer(network, graph, rounded)
    nodes, copied = _placed(network, graph, rounded)
    folded = fold(replace(graph, nodes=nodes))
    steps, host = fuse_graph(folded, rounded)
    made = _integer_nodes(network, copied, _targets(steps, folded.input.name, rounded))
    made.begin(folded.input.name, folded.input.shape)
    for step in steps:
        made.add(step)
    views = folded.input_view, folded.output_view
    return made.graph(graph.name, graph.output.name, host, views, answer=answer)


def _answer(
    network: QuantizedNetwork, graph: Graph, rounded: dict[str, Quantization]
) -> Quantization | None:
    """How a softmax at the end is rounded; the machine's result is then what goes into it."""
    if not isinstance(last := graph.nodes[-1], Softmax):
        return None
    answer = rounded.pop(last.output, None)
    if (known := network.quantization_of(last.input)) is not None:
        rounded[graph.output.name] = known
    return answer


def _placed(
    network: QuantizedNetwork, graph: Graph, rounded: dict[str, Quantization]
) -> tuple[list[Node], dict[str, str]]:
    """The operators with each rounding where a product or the input can take it; copied ones."""

    def is_rounded(name: str) -> bool:
        return name in rounded or network.quantization_of(name) is not None

    source = graph.input.name
    nodes, copied = split(graph.nodes, is_rounded)
    nodes = hoist(nodes, source, rounded, is_rounded)
    nodes, rounded[source] = without_input_rounding(nodes, source, rounded)
    return nodes, copied


def _integer_nodes(
    network: QuantizedNetwork, copied: Mapping[str, str], targets: Mapping[str, Quantization]
) -> IntegerNodes:
    """A network of no operators, whose products keep the codes of their weights."""

    def product(name: str, weight: Floats, bias: Floats, source: Affine8) -> Columns:
        peaks = network.peaks.get(copied.get(name, name), np.ones(len(bias), np.int64))
        return given_columns(name, weight, bias, source, peaks)

    return IntegerNodes(_BITS, targets, product, {}, given=True)


def _targets(
    steps: Sequence[Step], source: str, rounded: Mapping[str, Quantization]
) -> dict[str, Quantization]:
    """Quantization of the input and of each step's result."""
    known = {source: rounded[source]}
    for step in steps:
        codes = rounded.get(step.output)
        given = {known[name] for name in step.inputs}
        if codes is None and len(given) == 1 and _only_chooses(step, *given):
            codes = given.pop()
        if codes is None:
            reader = next((s.node.name for s in steps if step.output in s.inputs), "the host")
            raise InputError(
                f"{step.node.name}: its result {step.output!r} is not quantized before {reader} "
                "reads it"
            )
        known[step.output] = codes
    return known


def _only_chooses(step: Step, codes: Quantization) -> bool:
    """Whether a result's elements are elements of the inputs, or zero, or limits that are codes."""
    node = step.node
    if step.residual or step.limits is None or not all(_is_code(v, codes) for v in step.limits):
        return False
    if isinstance(node, Convolution):
        ones = (node.weight == 1.0).reshape(-1, node.weight.shape[3])
        others = np.count_nonzero(node.weight) - np.count_nonzero(ones)
        return not (others or node.bias.any()) and int(ones.sum(axis=0).max()) == 1
    return isinstance(node, Activate | Concat | MaxPool | Shuffle)


def _is_code(limit: float, codes: Quantization) -> bool:
    """Whether cutting values to a limit leaves codes that are not cut another value."""
    least, most = codes.decode([LOW, HIGH])
    return not least < limit < most or float(codes.decode(codes.encode(limit))) == limit
