"""Gradients as nodes of the graph, from the loss back to the first operator that learns.

``STEP.error`` is the gradient at what a step adds up, or at what it reads if it is an activation by
itself. It is rounded once, or the ``same`` as that of the only step that reads the result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import singledispatchmethod

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import RESULT, Operator
from pulsarray.compiler.ir.value import Role, network_input
from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.gradient import ExactTotal, Gradient, Same, Total
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.ops.statistics import (
    BatchMean,
    ChannelMean,
    Normalize,
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
    ScaleShift,
)
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.training.activations import OUTPUT, SUM

__all__ = ["GRADIENT", "PART", "PULL", "TOTAL", "with_gradients"]

PULL = ".pull"
"""Ends the name of what an operator's error gives to that of what it read."""
TOTAL = ".total"
"""Ends the name of a sum of those, where a derivative follows."""
GRADIENT = ".gradient"
"""Ends the name of the gradient of a parameter."""
PART = ".part"
"""Ends the name of what one layer gives to the gradient of a parameter that several share."""


class _Way(Enum):
    """How part of a gradient came from the error of what reads a value."""

    COMPUTED = 0
    PASSED = 1
    """As it is."""
    ROUTED = 2
    """To the places of largest values, none of which gets two."""


@dataclass(frozen=True)
class _Part:
    """Part of the gradient at a value: the name of the value that has it."""

    name: str
    way: _Way = _Way.COMPUTED


@dataclass(frozen=True)
class _Step:
    """An operator, and the activation that is part of it."""

    node: Node
    after: Node | None = None

    @property
    def name(self) -> str:
        """Its name, that of its operator."""
        return self.node.name

    @property
    def output(self) -> str:
        """What it gives."""
        return (self.after or self.node).output


def with_gradients(graph: Graph, frozen: Collection[str] = ()) -> Graph:
    """Errors back to the first operator that learns, and gradients of all parameters.

    Operators that are ``frozen`` add nothing to the gradients of parameters that they share.
    """
    return _Backward(graph, frozen).run()


class _Backward(Draft):
    """The network while it is made.

    ``learning`` has the values that depend on a parameter, ``functions`` by value the activation
    whose result it is, also through maximum pooling, which then takes its derivative.
    """

    def __init__(self, graph: Graph, frozen: Collection[str]) -> None:
        self.frozen = frozen
        declared = (v for v in graph.declared if v.role is not Role.ACTIVATION)
        super().__init__(graph.name, declared)
        self.before, self.readers = graph, graph.readers
        self.parts: dict[str, list[_Part]] = {}
        self.shares: dict[str, list[str]] = {}
        self.learning = {v.name for v in graph.declared if v.role is Role.PARAMETER}
        self.functions: dict[str, Function] = {}
        self.steps: dict[str, _Step] = {}
        self.normals: dict[str, tuple[NormalizeGradient, tuple[str, ...]]] = {}
        for node in graph.nodes:
            self._forward(node.op, node)
        self.pooled = {s.node.inputs[0] for s in self.steps.values() if _pools(s.node.op)}

    def run(self) -> Graph:
        """The network with all gradients."""
        answer, error = self.before.outputs
        *_, last = self.steps
        self.parts[last] = [_Part(error)]
        for step in reversed(self.steps.values()):
            if step.output in self.learning:
                self._step(step)
        for name, parts in self.shares.items():
            self._put_new(f"{name}{GRADIENT}", ExactTotal(), parts)
        gradients = [node.output for node in self.nodes if node.output.endswith(GRADIENT)]
        return self.graph((answer, *gradients))

    # Forward

    @singledispatchmethod
    def _forward(self, _op: Operator, node: Node) -> None:
        """An operator as it is."""
        self._put(node)

    def _put(self, node: Node) -> None:
        self.emit(node)
        read = node.inputs[:1] if node.name in self.frozen else node.inputs
        if self.learning.intersection(read):
            self.learning.add(node.output)
        if not node.output.endswith((OUTPUT, SUM)):
            return
        self.steps[node.output] = _Step(node)

    @_forward.register
    def _(self, op: Function, node: Node) -> None:
        """An activation, or the end of the step before it."""
        self._put(node)
        self.functions[node.output] = op
        if (before := self.steps.get(node.inputs[0])) and node.inputs[0].endswith(SUM):
            del self.steps[node.inputs[0]]
            self.steps[node.output] = _Step(before.node, node)

    @_forward.register
    def _(self, op: Normalize, node: Node) -> None:
        self._put(node)
        self.normals[node.output] = NormalizeGradient(op.epsilon), node.inputs

    @_forward.register
    def _(self, _op: MaxPool, node: Node) -> None:
        self._put(node)
        function = self.functions.get(node.inputs[0])
        if function is not None and not _is_gated(function):
            self.functions[node.output] = function

    @_forward.register
    def _(self, op: Dropout, node: Node) -> None:
        """With its mask, which the host draws."""
        mask = f"{node.name}.mask"
        self.values[mask] = network_input(mask, self.shape(node.inputs[0]))
        self._put(Node(node.name, op, (node.inputs[0], mask), node.output))

    # Errors

    def _step(self, step: _Step) -> None:
        error = self._error(step, self.parts.pop(step.output))
        for place in sorted(step.node.op.constants):
            name = step.node.inputs[place]
            if self.values[name].role is Role.PARAMETER and step.name not in self.frozen:
                self._learned(step.node, place, error, name)
        for source, part in self._pulled(step.node.op, step.node, error):
            self.parts.setdefault(source, []).append(part)

    def _learned(self, node: Node, place: int, error: str, name: str) -> None:
        """The gradient of a parameter, or the part of it that is one of several layers'."""
        if self.readers[name] == 1:
            self._gradient(node, place, error, f"{name}{GRADIENT}")
            return
        part = f"{node.name}.{name.rpartition('.')[2]}{PART}"
        self.shares.setdefault(name, []).append(self._gradient(node, place, error, part))

    def _error(self, step: _Step, parts: Sequence[_Part]) -> str:
        """The gradient at a step's sums from those at its output."""
        name, names = f"{step.name}.error", tuple(part.name for part in parts)
        function = self.functions.get(step.output)
        if names == (name,):
            return name
        if len(parts) == 1 and parts[0].way.value > (function is not None):
            return self._put_new(name, Same(), names)
        taken = step.output in self.pooled and not (function and _is_gated(function))
        if function is None or function.learns_as_identity or taken:
            return self._put_new(name, Total(), names)
        whole = names[0]
        if len(names) > 1:
            whole = self._put_new(f"{step.name}{TOTAL}", Total(), names)
        return self._derived(step, function, whole, name)

    def _derived(self, step: _Step, function: Function, whole: str, name: str) -> str:
        """A gradient at a step's output times the derivative of its activation."""
        shape = self.shape(step.output)
        op = Gradient(function, 0, (shape, shape))
        argument = step.node.inputs[0]
        known = [step.output if k == RESULT else argument for k in function.gradient_reads(0)]
        return self._put_new(name, op, (*known, whole))

    def _put_new(self, name: str, op: Operator, inputs: Sequence[str]) -> str:
        self.emit(Node(name, op, tuple(inputs), name))
        return name

    def _gradient(self, node: Node, place: int, error: str, name: str) -> str:
        """The gradient by an input of an operator."""
        values = (*node.inputs, f"{node.name}{OUTPUT}")
        op = Gradient(node.op, place, tuple(self.shape(value) for value in values))
        known = [values[k] for k in node.op.gradient_reads(place)]
        return self._put_new(name, op, (*known, error))

    # What an error gives to the gradients of what its step read

    @singledispatchmethod
    def _pulled(self, _op: Operator, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        """The values that it read, and their part."""
        if (source := node.inputs[0]) in self.learning:
            yield source, _Part(self._gradient(node, 0, error, f"{node.name}{PULL}"))

    @_pulled.register
    def _(self, _op: Add, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        yield from ((s, _Part(error, _Way.PASSED)) for s in node.inputs if s in self.learning)

    @_pulled.register
    def _(self, _op: Subtract, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        """The second gets the negative."""
        plus, minus = node.inputs
        if plus in self.learning:
            yield plus, _Part(error, _Way.PASSED)
        if minus in self.learning:
            yield minus, _Part(self._gradient(node, 1, error, f"{node.name}{PULL}"))

    @_pulled.register
    def _(self, op: Dropout, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        """What its mask leaves of the error, too."""
        if (source := node.inputs[0]) in self.learning:
            yield source, _Part(self._put_new(f"{node.name}{PULL}", op, (error, node.inputs[1])))

    @_pulled.register
    def _(self, _op: MatMul | Multiply, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        for place, source in enumerate(node.inputs):
            if source in self.learning:
                name = f"{node.name}{PULL}{place or ''}"
                yield source, _Part(self._gradient(node, place, error, name))

    @_pulled.register
    def _(self, _op: Function, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        yield node.inputs[0], _Part(error, _Way.PASSED)

    @_pulled.register
    def _(self, op: MaxPool, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        if (source := node.inputs[0]) in self.learning:
            before, function = self.steps[source].node.op, self.functions.get(source)
            chained = _pools(before) or (function is not None and _is_gated(function))
            apart = op.is_apart(self.shape(source)) and not chained
            part = self._gradient(node, 0, error, f"{node.name}{PULL}")
            yield source, _Part(part, _Way.ROUTED if apart else _Way.COMPUTED)

    @_pulled.register
    def _(self, _op: ScaleShift, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        """Of the normalization before it, too."""
        normal, scale, _ = node.inputs
        if normal not in self.normals:
            if normal in self.learning:
                yield normal, _Part(self._gradient(node, 0, error, f"{node.name}{PULL}"))
            return
        op, (source, mean) = self.normals[normal]
        if source in self.learning:
            along = self._put_new(f"{node.name}.along", BatchMean(), (normal, error))
            read = (source, mean, normal, along, error, scale)
            yield source, _Part(self._put_new(f"{node.name}{PULL}", op, read))

    @_pulled.register
    def _(self, op: NormalizeChannels, node: Node, error: str) -> Iterator[tuple[str, _Part]]:
        (source, mean), name = node.inputs, node.name
        if source in self.learning:
            along = self._put_new(f"{name}.along", ChannelMean(), (node.output, error))
            read = (source, mean, node.output, along, error)
            pull = self._put_new(f"{name}{PULL}", NormalizeChannelsGradient(op.epsilon), read)
            yield source, _Part(pull)


def _pools(op: Operator) -> bool:
    """Whether an operator takes the largest values of windows."""
    return op.only_chooses


def _is_gated(function: Function) -> bool:
    return DERIVATIVES[function.variant].gated
