"""Number formats of training: which values share which exponent, and which sums stay exact."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatchmethod

from pulsarray.compiler.ir.formats import Format, Integers, Kept, Shared16, Wide
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.numerics.exponents import BIAS, DERIVATIVES, MASTER_BITS, PROBABILITY
from pulsarray.compiler.numerics.exponents import NORMAL as NORMAL_EXPONENT
from pulsarray.compiler.numerics.moments import DIVIDED
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.gradient import Gradient, Same, Total
from pulsarray.compiler.ops.loss import LossGradient
from pulsarray.compiler.ops.optimizer import Descend, DivideByRoot, Memory, Stateful
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import (
    BatchMean,
    ChannelMean,
    Normalize,
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
    ScaleShift,
)
from pulsarray.compiler.passes.training.activations import OUTPUT, SUM
from pulsarray.compiler.passes.training.ends import TARGET
from pulsarray.compiler.passes.training.gradients import GRADIENT, PART, PULL
from pulsarray.compiler.passes.training.maps import INPUT, PROBABILITIES, is_data
from pulsarray.compiler.passes.training.sharing import with_shared

__all__ = ["NORMAL", "with_exponents"]

NORMAL = "normal"
"""Name of the exponent of normalized values."""


def with_exponents(graph: Graph) -> Graph:
    """Every value with its format: 16 bits and the name of an exponent, or exact sums."""
    formats = _Formats(graph)
    kept = {after: state for state, after in graph.states.items()}
    updates = (node for node in graph.nodes if node.output in kept)
    memories = {kept[n.output]: n.op.memory for n in updates if isinstance(n.op, Stateful)}
    for value in graph.declared:
        formats.of[value.name] = _declared(value, memories.get(value.name))
    for node in graph.nodes:
        state = kept.get(node.output)
        formats.of[node.output] = (
            formats.of[state] if state is not None else formats.result(node.op, node)
        )
    shared = with_shared(graph, formats.of)
    more = [replace(value, format=shared[value.name]) for value in graph.values.values()]
    return graph.rebuilt(graph.nodes, more=more)


def _declared(value: Value, memory: Memory | None) -> Format:
    """Of an input, a parameter or a state, which its update may say more of."""
    if is_data(value.name):
        return Shared16(INPUT)
    name, _, kind = value.name.rpartition(".")
    if memory is not None:
        return memory.format(name)
    known: dict[str, Format] = {
        "mask": Integers(2),
        "bias": Wide(BIAS),
        "master": Kept(32, name, less=MASTER_BITS),
    }
    return known.get(kind, Shared16(value.name))


class _Formats:
    """Formats by value, as far as they are known."""

    def __init__(self, graph: Graph) -> None:
        self.of: dict[str, Format] = {}
        self.readers = {name: node for node in graph.nodes for name in node.inputs}

    @singledispatchmethod
    def result(self, _op: Operator, node: Node) -> Format:
        """Of an operator's result: what an activation reads before it is rounded is exact."""
        return Wide() if node.output.endswith((SUM, PULL)) else Shared16(node.output)

    @result.register
    def _(self, op: Function, node: Node) -> Format:
        return Shared16(node.output, DERIVATIVES[op.variant].output)

    @result.register
    def _(self, op: Add, node: Node) -> Format:
        sums = node.output.endswith(SUM)
        return Wide(guards=self.readers[node.output].output) if sums else Shared16(node.output)

    @result.register
    def _(self, _op: MaxPool | Same, node: Node) -> Format:
        return self.of[node.inputs[0]]

    @result.register
    def _(self, _op: BatchMean | ChannelMean, node: Node) -> Format:
        """At the exponent of what it is the mean of, or of the error in it."""
        return self.of[node.inputs[-1]]

    @result.register
    def _(self, _op: Normalize | NormalizeChannels, _node: Node) -> Format:
        return Shared16(NORMAL, NORMAL_EXPONENT)

    @result.register
    def _(self, _op: Softmax, node: Node) -> Format:
        """At the end of the network the host rounds nothing."""
        return Wide(PROBABILITY) if node.output == PROBABILITIES else Shared16(node.output)

    @result.register
    def _(self, op: LossGradient, node: Node) -> Format:
        exponent = op.loss.rule.error
        if isinstance(exponent, str):
            return Shared16(TARGET)
        return Shared16(node.output, exponent)

    @result.register
    def _(self, _op: Descend, node: Node) -> Format:
        return self.of[node.inputs[0]]

    @result.register
    def _(self, _op: DivideByRoot, _node: Node) -> Format:
        return Wide(DIVIDED)

    # Gradients

    @result.register
    def _(self, _op: Total, node: Node) -> Format:
        if node.output.endswith((".error", GRADIENT)):
            return Shared16(node.output)
        return Wide(guards=self.readers[node.output].output)

    @result.register
    def _(self, _op: NormalizeGradient | NormalizeChannelsGradient, node: Node) -> Format:
        """At the exponent of the error of the layer before it."""
        return Wide(guards=f"{node.inputs[0].removesuffix(OUTPUT)}.error")

    @result.register
    def _(self, op: Gradient, node: Node) -> Format:
        return self.gradient(op.of, op, node)

    @singledispatchmethod
    def gradient(self, _of: Operator, op: Gradient, node: Node) -> Format:
        """Of the gradient of an operator: exact, but what is learned from is rounded."""
        rounded = op.by in op.of.constants and not node.output.endswith(PART)
        return Shared16(node.output) if rounded else Wide()

    @gradient.register
    def _(self, _of: Function, _op: Gradient, node: Node) -> Format:
        return Shared16(node.output)

    @gradient.register
    def _(self, _of: ScaleShift, op: Gradient, node: Node) -> Format:
        """One exponent for both parameters."""
        if op.by == 0:
            return Wide()
        return Shared16(f"{node.output.rsplit('.', 2)[0]}.gradient")

    @gradient.register
    def _(self, _of: MaxPool, _op: Gradient, node: Node) -> Format:
        """The error's own where it takes the place of values as it is."""
        routed = isinstance(self.readers[node.output].op, Same)
        return self.of[node.inputs[-1]] if routed else Wide()
