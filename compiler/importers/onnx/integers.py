"""From what a quantized ONNX file says to a network in integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch

import numpy as np

from pulsarray.compiler.importers.onnx.graph import finish
from pulsarray.compiler.importers.onnx.rounding import QuantizedNetwork, without_input_rounding
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Floats
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.passes.pipeline import folded
from pulsarray.compiler.passes.quantize.fuse import fuse_graph
from pulsarray.compiler.passes.quantize.given_weights import given_columns
from pulsarray.compiler.passes.quantize.hoist import hoist
from pulsarray.compiler.passes.quantize.host import host_names, with_host_ends
from pulsarray.compiler.passes.quantize.integer_nodes import IntegerNodes
from pulsarray.compiler.passes.quantize.integer_weights import Columns
from pulsarray.compiler.passes.quantize.ranges import constant_maps
from pulsarray.compiler.passes.quantize.rules import keeps_codes
from pulsarray.compiler.passes.quantize.split import split
from pulsarray.compiler.passes.quantize.steps import Step
from pulsarray.errors import InputError

__all__ = ["integers"]

_BITS = 31
"""Bits of multipliers."""


def integers(network: QuantizedNetwork) -> Graph:
    """The integer network of a file that has been read to its end."""
    values = {name: network.tensor(name, "output").value for name in network.file.outputs}
    graph = finish(network)
    rounded = dict(network.rounded)
    for name, value in values.items():
        if (known := network.quantization_of(value)) is not None:
            rounded[name] = known
    answers = _answers(network, graph, rounded)
    placed, copied = _placed(network, graph, rounded)
    plain = folded(placed)
    names, ended = host_names(plain), with_host_ends(plain)
    rounded, answers = (
        {names.get(name, name): codes for name, codes in known.items()}
        for known in (rounded, answers)
    )
    steps = fuse_graph(ended, rounded)
    made = _integer_nodes(network, ended, copied, _targets(steps, ended, rounded))
    for step in steps:
        made.add(step)
    return made.finish(answers)


def _answers(
    network: QuantizedNetwork, graph: Graph, rounded: dict[str, Affine8]
) -> dict[str, Affine8]:
    """How softmaxes at the end are rounded; the machine's results are then what goes into them."""
    answers: dict[str, Affine8] = {}
    for node in graph.nodes:
        if node.op.kind is Kind.HOST:
            if (answer := rounded.pop(node.output, None)) is not None:
                answers[node.output] = answer
            if (known := network.quantization_of(node.inputs[0])) is not None:
                rounded[node.inputs[0]] = known
    return answers


def _placed(
    network: QuantizedNetwork, graph: Graph, rounded: dict[str, Affine8]
) -> tuple[Graph, dict[str, str]]:
    """The network with each rounding where a product or the input can take it; copied ones."""

    def is_kept(name: str) -> bool:
        known = name in rounded or network.quantization_of(name) is not None
        return known or name in graph.outputs

    sources = [value.name for value in graph.inputs]
    nodes, copied = split(graph.nodes, is_kept)
    nodes = hoist(nodes, sources, rounded, is_kept)
    for source in sources:
        nodes, rounded[source] = without_input_rounding(nodes, source, rounded, graph.outputs)
    return graph.rebuilt(nodes), copied


def _integer_nodes(
    network: QuantizedNetwork,
    graph: Graph,
    copied: Mapping[str, str],
    targets: Mapping[str, Affine8],
) -> IntegerNodes:
    """A network of no operators, whose products keep the codes of their weights."""

    def product(name: str, weight: Floats, bias: Floats, source: Affine8) -> Columns:
        peaks = network.peaks.get(copied.get(name, name), np.ones(len(bias), np.int64))
        return given_columns(name, weight, bias, source, peaks)

    return IntegerNodes(graph, _BITS, targets, product, {}, exact=True)


def _targets(
    steps: Sequence[Step], graph: Graph, rounded: Mapping[str, Affine8]
) -> dict[str, Affine8]:
    """Quantization of each input and of each step's result."""
    known = {value.name: rounded[value.name] for value in graph.inputs}
    for value in constant_maps(graph):
        raise InputError(f"{value.name}: this constant is not quantized")
    for step in steps:
        codes = rounded.get(step.output)
        operands = {known[name] for name in step.inputs}
        if codes is None and len(operands) == 1 and _only_chooses(step, *operands):
            codes = operands.pop()
        if codes is None:
            reader = next((s.node.name for s in steps if step.output in s.inputs), "the host")
            raise InputError(
                f"{step.node.name}: its result {step.output!r} is not quantized before {reader} "
                "reads it"
            )
        known[step.output] = codes
    return known


def _only_chooses(step: Step, codes: Affine8) -> bool:
    """Whether a result's elements are elements of the inputs, or zero, or limits that are codes."""
    if step.residual or step.limits is None or not all(_is_code(v, codes) for v in step.limits):
        return False
    return _chooses(step.node.op, *step.constants)


@singledispatch
def _chooses(op: Operator, *_constants: Array) -> bool:
    """Whether each element of a result is one of the inputs, or zero."""
    return op.is_elementwise or keeps_codes(op)


@_chooses.register
def _(_op: Convolution, weight: Array, bias: Array) -> bool:
    ones = (weight == 1.0).reshape(-1, weight.shape[3])
    others = np.count_nonzero(weight) - np.count_nonzero(ones)
    return not (others or bias.any()) and int(ones.sum(axis=0).max()) == 1


def _is_code(limit: float, codes: Affine8) -> bool:
    """Whether cutting values to a limit leaves codes that are not cut another value."""
    least, most = codes.decode([LOW, HIGH])
    return not least < limit < most or float(codes.decode(codes.encode(limit))) == limit
