"""From a graph to the steps of its training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import singledispatch, singledispatchmethod
from math import prod

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.training.flow import INPUT
from pulsarray.compiler.training.layers import (
    DERIVATIVES,
    ActivateStep,
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    MapShape,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.errors import InputError

__all__ = ["steps_of"]

_TAKEN = (INPUT, "loss")
"""Names that a training gives to values of its own."""


def steps_of(graph: Graph) -> list[Step]:
    """The steps that train a network.

    Raises
    ------
    InputError
        If an operator cannot be trained.
    """
    return _Translation(graph).run()


class _Translation:
    """One graph being translated.

    ``names`` has the step by the graph's value, ``reads`` counts the operators that read a step's
    value: Flatten and Softmax pass it on.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.places: dict[str, int] = {}
        self.names = {graph.input.name: INPUT}
        self.shapes: dict[str, MapShape] = {INPUT: _input_shape(graph)}
        self.reads = _readers(graph)

    def run(self) -> list[Step]:
        """All steps."""
        for node in self.graph.nodes:
            self._node(node)
        return self.steps

    def _node(self, node: Node) -> None:
        if _passes(node):
            self.names[node.output] = self.names[node.inputs[0]]
        elif node.op.is_elementwise:
            self._activate(node)
        else:
            self._append(node, self._step(node))

    def _append(self, node: Node, step: Step) -> None:
        if step.name in self.places:
            raise InputError(f"{step.name}: two operators have this name; name one otherwise")
        if step.name in _TAKEN:
            raise InputError(f"{step.name}: training uses this name itself; name it otherwise")
        self.places[step.name] = len(self.steps)
        self.steps.append(step)
        self.names[node.output] = step.name
        self.shapes[step.name] = step.result

    def _step(self, node: Node) -> Step:
        source = self.names[self.graph.sources_of(node)[0]]
        return self._made(node.op, node, source, self.shapes[source])

    @singledispatchmethod
    def _made(self, op: Operator, node: Node, _source: str, _given: MapShape) -> Step:
        """The step of an operator: one function a class."""
        raise InputError(
            f"{node.name}: {type(op).__name__} cannot be trained; dense layers, convolutions, "
            "pooling, sums, batch normalization and dropout can"
        )

    def _arrays(self, node: Node) -> list[Floats]:
        return [np.asarray(array, np.float64) for array in self.graph.arrays_of(node)]

    @_made.register
    def _dense(self, _op: Dense, node: Node, source: str, given: MapShape) -> Step:
        weight, bias = self._arrays(node)
        return MapLayer(
            name=node.name, weight=weight, bias=bias, sources=(source,),
            window=Window(given[:2]), given=given, result=(1, 1, weight.shape[1]),
        )  # fmt: skip

    @_made.register
    def _convolution(self, op: Convolution, node: Node, source: str, given: MapShape) -> Step:
        weight, bias = self._arrays(node)
        weight = weight.reshape(-1, weight.shape[3])
        result = (*op.window.output(*given[:2]), weight.shape[1])
        return MapLayer(
            name=node.name, weight=weight, bias=bias, sources=(source,),
            window=op.window, given=given, result=result, groups=op.groups,
        )  # fmt: skip

    @_made.register
    def _drop(self, op: Dropout, node: Node, source: str, given: MapShape) -> Step:
        return DropStep(name=node.name, sources=(source,), given=given, result=given, rate=op.rate)

    @_made.register
    def _average(self, op: AveragePool, node: Node, source: str, given: MapShape) -> Step:
        result = self._beside(node.name, op.window, given)
        return AverageStep(
            name=node.name, sources=(source,), given=given, result=result, window=op.window
        )

    @_made.register
    def _add(self, _op: Add, node: Node, _source: str, _given: MapShape) -> Step:
        sources = tuple(self.names[name] for name in self.graph.sources_of(node))
        first, second = (self.shapes[name] for name in sources)
        if first != second:
            raise InputError(
                f"{node.name}: training needs maps of one shape, not {first} and {second}, "
                "which Flatten made equally long; add before Flatten"
            )
        return AddStep(name=node.name, sources=sources, given=first, result=first)

    @_made.register
    def _norm(self, op: BatchNorm, node: Node, source: str, given: MapShape) -> Step:
        step = self._named(source)
        alone = self.reads[node.inputs[0]] == 1
        if not isinstance(step, MapLayer) or step.activation != "identity" or not alone:
            raise InputError(
                f"{node.name}: training needs a convolution or dense layer right before it, "
                "whose result nothing else reads"
            )
        if not op.epsilon > 0.0:
            raise InputError(
                f"{node.name}: training needs an epsilon of more than 0; constant factors and "
                "offsets, as of Mul and Add, are no normalization: put them into weights, biases "
                "or the data"
            )
        scale, shift, *_ = self._arrays(node)
        if scale.size != given[2]:
            raise InputError(
                f"{node.name}: training needs one scale for each of {given[2]} channels, "
                f"not {scale.size}; normalize before Flatten"
            )
        self.steps[self.places[source]] = replace(step, normalized=True)
        return NormLayer(
            name=node.name, weight=scale.reshape(1, -1), bias=shift,
            sources=(source,), given=given, result=given, epsilon=op.epsilon,
        )  # fmt: skip

    @_made.register
    def _pool(self, op: MaxPool, node: Node, source: str, given: MapShape) -> Step:
        result = (*op.window.output(*given[:2]), given[2])
        pooling = PoolStep(
            name=node.name, sources=(source,), given=given, result=result, window=op.window
        )
        if source == INPUT:
            return pooling
        if self.reads[node.inputs[0]] > 1:
            raise InputError(
                f"{node.name}: training needs a value that only this pooling reads: its errors "
                "take the place of its values; let the others read the pooling's result"
            )
        before = self.steps[self.places[source]]
        gated = before.derivative.gated
        activation = "identity" if gated else before.activation
        chained = gated or isinstance(before, PoolStep)
        return replace(pooling, activation=activation, chained=chained)

    def _beside(self, name: str, window: Window, given: MapShape) -> MapShape:
        """Shape of the result of windows that do not overlap."""
        one = window.kernel == given[:2]
        if any(window.padding) or window.dilation != (1, 1):
            raise InputError(f"{name}: training needs windows without padding and dilation")
        if window.stride != window.kernel and not one:
            raise InputError(
                f"{name}: training needs windows side by side, "
                f"not {window.kernel} with stride {window.stride}"
            )
        return (*window.output(*given[:2]), given[2])

    def _activate(self, node: Node) -> None:
        """An activation of what is right before it, or else a step by itself."""
        value = node.inputs[0]
        function = "gelu-tanh" if node.op == Gelu(tanh=True) else node.op.title
        if function not in DERIVATIVES:
            known = ", ".join(DERIVATIVES)
            raise InputError(f"{node.name}: training needs one of {known}, not {function}")
        source = self.names[value]
        names = self._upwards(source, function)
        if self.reads[value] > 1 or not _takes(self._named(names[-1]), function):
            shape = self.shapes[source]
            step = ActivateStep(
                name=node.name, sources=(source,), given=shape, result=shape, activation=function
            )
            self._append(node, step)
            return
        for place in (self.places[name] for name in names):
            self.steps[place] = replace(self.steps[place], activation=function)
        self.names[node.output] = source

    def _named(self, name: str) -> Step | None:
        return self.steps[self.places[name]] if name in self.places else None

    def _upwards(self, name: str, function: str) -> list[str]:
        """A value and those that a ReLU has as well: before maximum poolings it does the same."""
        names = [name]
        while function == "relu" and isinstance(step := self._named(names[-1]), PoolStep):
            names.append(step.source)
        return names


def _takes(step: Step | None, function: str) -> bool:
    """Whether an activation may be part of a step: without a further rounding."""
    if step is None or step.activation != "identity" or DERIVATIVES[function].gated:
        return False
    return isinstance(step, MapLayer) or (
        isinstance(step, AddStep | NormLayer) and function == "relu"
    )


@singledispatch
def _flattens(_op: Operator) -> bool:
    """Whether an operator makes a vector of a map, its elements in their order."""
    return False


@_flattens.register
def _(_op: Flatten) -> bool:
    return True


def _passes(node: Node) -> bool:
    """Whether an operator hands its input on as it is, as far as the machine knows."""
    return _flattens(node.op) or node.op.kind is Kind.HOST


def _readers(graph: Graph) -> Counter[str]:
    """By value, how many operators read it, also through Flatten."""
    roots = {name: name for name in graph.values}
    for node in graph.nodes:
        if _passes(node):
            roots[node.output] = roots[node.inputs[0]]
    reads = Counter(roots[name] for n in graph.nodes if not _passes(n) for name in n.inputs)
    return Counter({name: reads[root] for name, root in roots.items()})


def _input_shape(graph: Graph) -> MapShape:
    """A map, or a vector if it is none or every operator reads it flat."""
    shape, name = graph.input.shape, graph.input.name
    flat = all(_flattens(node.op) for node in graph.nodes if name in node.inputs)
    if len(shape) == 3 and not flat:
        return shape[0], shape[1], shape[2]
    return 1, 1, prod(shape)
