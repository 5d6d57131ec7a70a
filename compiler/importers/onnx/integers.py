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
from pulsarray.compiler.passes.quantize.integer_nodes import IntegerNodes
from pulsarray.compiler.passes.quantize.integer_weights import Columns
from pulsarray.compiler.passes.quantize.rules import keeps_codes
from pulsarray.compiler.passes.quantize.split import split
from pulsarray.compiler.passes.quantize.steps import Step
from pulsarray.errors import InputError

__all__ = ["integers"]

_BITS = 31
"""Bits of multipliers."""


def integers(network: QuantizedNetwork) -> Graph:
    """The integer network of a file that has been read to its end."""
    value = network.tensor(network.file.output, "output").value
    graph = finish(network)
    rounded = dict(network.rounded)
    if (known := network.quantization_of(value)) is not None:
        rounded[graph.output.name] = known
    answer = _answer(network, graph, rounded)
    placed, copied = _placed(network, graph, rounded)
    plain = folded(placed)
    steps, host = fuse_graph(plain, rounded)
    made = _integer_nodes(network, copied, _targets(steps, plain.input.name, rounded))
    made.begin(plain.input.name, plain.input.shape)
    for step in steps:
        made.add(step)
    views = plain.input_view, plain.output_view
    return made.graph(graph.name, graph.output.name, host, views, answer=answer)


def _answer(network: QuantizedNetwork, graph: Graph, rounded: dict[str, Affine8]) -> Affine8 | None:
    """How a softmax at the end is rounded; the machine's result is then what goes into it."""
    last = graph.nodes[-1]
    if last.op.kind is not Kind.HOST:
        return None
    answer = rounded.pop(last.output, None)
    if (known := network.quantization_of(last.inputs[0])) is not None:
        rounded[graph.output.name] = known
    return answer


def _placed(
    network: QuantizedNetwork, graph: Graph, rounded: dict[str, Affine8]
) -> tuple[Graph, dict[str, str]]:
    """The network with each rounding where a product or the input can take it; copied ones."""

    def is_rounded(name: str) -> bool:
        return name in rounded or network.quantization_of(name) is not None

    source = graph.input.name
    nodes, copied = split(graph.nodes, is_rounded)
    nodes = hoist(nodes, source, rounded, is_rounded)
    nodes, rounded[source] = without_input_rounding(nodes, source, rounded)
    return graph.rebuilt(nodes), copied


def _integer_nodes(
    network: QuantizedNetwork, copied: Mapping[str, str], targets: Mapping[str, Affine8]
) -> IntegerNodes:
    """A network of no operators, whose products keep the codes of their weights."""

    def product(name: str, weight: Floats, bias: Floats, source: Affine8) -> Columns:
        peaks = network.peaks.get(copied.get(name, name), np.ones(len(bias), np.int64))
        return given_columns(name, weight, bias, source, peaks)

    return IntegerNodes(_BITS, targets, product, {}, given=True)


def _targets(
    steps: Sequence[Step], source: str, rounded: Mapping[str, Affine8]
) -> dict[str, Affine8]:
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
