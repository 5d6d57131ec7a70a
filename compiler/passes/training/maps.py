"""A network that learns as feature maps alone: what training takes of a network, and what not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import singledispatch
from math import isfinite, prod

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import (
    Array,
    Floats,
    Shape,
    Value,
    constant,
    network_input,
    parameter,
)
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm, BatchStatisticsNorm
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.scale import Scale
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.spiking import Membrane, Spike
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.surrogate_spike import SurrogateSpike
from pulsarray.compiler.passes.training.owners import RUN, Owners
from pulsarray.errors import InputError

__all__ = [
    "INPUT",
    "PROBABILITIES",
    "is_data",
    "is_layer",
    "owner_of",
    "with_learning_maps",
]

INPUT = "input"
"""Name of the network's input, and of the exponent of all inputs; several are ``input@0`` ..."""
PROBABILITIES = "probabilities"
"""Name of the results of softmax."""
_TAKEN = (INPUT, "loss")
"""Names that a training gives to values of its own."""
_RESULTS = {"add": "sum", "subtract": "difference"}


def is_data(name: str) -> bool:
    """Whether a value is an input of the network."""
    return name.partition(RUN)[0] == INPUT


def owner_of(node: Node) -> str:
    """The layer that an operator's parameters are named by: itself, or what shares them."""
    return node.inputs[1].rpartition(".")[0]


def with_learning_maps(graph: Graph) -> Graph:
    """Feature maps alone, each named ``OPERATOR.output``; parameters in float64.

    Dense layers are convolutions whose kernel is their whole source.

    Raises
    ------
    InputError
        If an operator cannot be trained.
    """
    maps = _Maps(graph)
    for node in graph.nodes:
        if _flattens(node.op):
            maps.names[node.output] = maps.names[node.inputs[0]]
        else:
            _place(node.op, node, maps)
    output = maps.names[graph.output.name]
    before, shape = graph.output.shape, maps.shape(output)
    if before != shape and prod(shape[:2]) > 1:
        name = maps.makers[output].name if output in maps.makers else graph.nodes[-1].name
        raise InputError(
            f"{name}: training compares a map pixel by pixel, not the {before[0]} elements that "
            "Flatten made of it; training needs a dense layer at the end"
        )
    return maps.graph((output,))


class _Maps(Draft):
    """The network while it is made.

    ``names`` has the map of each value, ``reads`` counts the operators that read a value of the
    network before: Flatten and Softmax pass it on.
    """

    def __init__(self, graph: Graph) -> None:
        entries = _entries(graph)
        super().__init__(graph.name, entries)
        self.before, self.reads = graph, _readers(graph)
        self.names = {v.name: e.name for v, e in zip(graph.inputs, entries, strict=True)}
        self.makers: dict[str, Node] = {}
        self._owners = Owners(graph)
        self._spikes: dict[tuple[str, float], str] = {}
        self._levels: dict[tuple[float, Shape], str] = {}

    def source(self, node: Node) -> tuple[str, Shape]:
        """The map that an operator reads first, and its shape."""
        name = self.names[self.before.sources_of(node)[0]]
        return name, self.shape(name)

    def arrays(self, node: Node) -> list[Floats]:
        """Constants that an operator reads."""
        return [np.asarray(array, np.float64) for array in self.before.arrays_of(node)]

    def put(self, node: Node, op: Operator, **parameters: Array) -> None:
        """An operator that makes a map of a map."""
        self.put_of(node, op, (self.source(node)[0],), **parameters)

    def put_of(
        self, node: Node, op: Operator, sources: tuple[str, ...], **parameters: Array
    ) -> None:
        """The same of several.

        Raises
        ------
        InputError
            If its name is not its own.
        """
        output = f"{node.name}.output"
        if output in self.values:
            raise InputError(f"{node.name}: two operators have this name; name one otherwise")
        if node.name.partition(RUN)[0] in _TAKEN:
            raise InputError(f"{node.name}: training uses this name itself; name it otherwise")
        learned = self._learned(node, op, parameters) if parameters else ()
        self.names[node.output] = self.step(node.name, op, (*sources, *learned))

    def step(self, name: str, op: Operator, inputs: tuple[str, ...]) -> str:
        """An operator of a name: what it gives."""
        output = f"{name}.output"
        self.emit(Node(name, op, inputs, output))
        self.makers[output] = self.nodes[-1]
        return output

    def spikes(self, node: Node, threshold: float) -> str:
        """Where what an operator reads is above a threshold: made once, whoever reads it."""
        source, shape = self.source(node)
        key = source, threshold
        if key not in self._spikes:
            level = self._level(node, threshold, shape)
            above = self.step(_within(node, "above"), Subtract(), (source, level))
            self._spikes[key] = self.step(_within(node, "spikes"), SurrogateSpike(), (above,))
        return self._spikes[key]

    def _level(self, node: Node, level: float, shape: Shape) -> str:
        """A vector of one number: the bias of a layer that sees nothing."""
        if shape[:2] != (1, 1):
            raise InputError(f"{node.name}: training needs neurons in a vector, not in {shape}")
        if (level, shape) not in self._levels:
            name, entry = f"{node.name.partition(RUN)[0]}.level", next(iter(self.values.values()))
            arrays = {
                "weight": np.zeros((*entry.shape, shape[2])),
                "bias": np.full(shape[2], level),
            }
            fixed = (self.hold(constant(f"{name}.{what}", a)) for what, a in arrays.items())
            op = Convolution(Window((entry.shape[0], entry.shape[1])))
            self._levels[level, shape] = self.step(name, op, (entry.name, *fixed))
        return self._levels[level, shape]

    def _learned(
        self, node: Node, op: Operator, parameters: Mapping[str, Array]
    ) -> tuple[str, ...]:
        """Names of parameters: those that a layer before has, if it reads the same."""
        owner, first = self._owners.of(node, shares=is_layer(op))
        if first is None:
            made = (parameter(f"{owner}.{what}", data) for what, data in parameters.items())
            return tuple(self.hold(value) for value in made)
        maker = next(made for made in self.nodes if made.name == first)
        if maker.op != op or self.shape(maker.inputs[0]) != self.source(node)[1]:
            raise InputError(
                f"{node.name}: shares its weights with {first}; training needs the same "
                "operator and sources of one shape then"
            )
        return maker.inputs[1:]


@singledispatch
def _place(op: Operator, node: Node, _maps: _Maps) -> None:
    """Put an operator that reads maps behind those that are there: one function a class."""
    raise InputError(
        f"{node.name}: {type(op).__name__} cannot be trained; dense layers, convolutions, "
        "products, pooling, sums, normalizations, softmax and dropout can"
    )


@_place.register
def _(_op: Dense, node: Node, maps: _Maps) -> None:
    weight, bias = maps.arrays(node)
    height, width, channels = maps.source(node)[1]
    kernel = weight.reshape(height, width, channels, -1)
    maps.put(node, Convolution(Window((height, width))), weight=kernel, bias=bias)


@_place.register
def _(op: Convolution, node: Node, maps: _Maps) -> None:
    weight, bias = maps.arrays(node)
    maps.put(node, op, weight=weight, bias=bias)


@_place.register
def _(op: Dropout, node: Node, maps: _Maps) -> None:
    maps.put(node, op)


@_place.register
def _(op: AveragePool, node: Node, maps: _Maps) -> None:
    window = op.window
    if any(window.padding) or window.dilation != (1, 1):
        raise InputError(f"{node.name}: training needs windows without padding and dilation")
    if window.stride != window.kernel and window.kernel != maps.source(node)[1][:2]:
        raise InputError(
            f"{node.name}: training needs windows side by side, "
            f"not {window.kernel} with stride {window.stride}"
        )
    maps.put(node, op)


@_place.register
def _(op: Add | Subtract, node: Node, maps: _Maps) -> None:
    sources = tuple(maps.names[name] for name in maps.before.sources_of(node))
    if len(sources) < 2:
        raise InputError(
            f"{node.name}: training needs a {_RESULTS[op.title]} of two results, not of one and a "
            "constant; make it part of a bias"
        )
    first, second = (maps.shape(name) for name in sources)
    if first != second:
        raise InputError(
            f"{node.name}: training needs maps of one shape, not {first} and {second}, "
            f"which Flatten made equally long; {op.title} before Flatten"
        )
    maps.put_of(node, op, sources)


@_place.register
def _(op: BatchNorm, node: Node, maps: _Maps) -> None:
    source, shape = maps.source(node)
    layer = source in maps.makers and is_layer(maps.makers[source].op)
    if not layer or maps.reads[node.inputs[0]] > 1:
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
    scale, shift, *_ = maps.arrays(node)
    if scale.size != shape[2]:
        raise InputError(
            f"{node.name}: training needs one scale for each of {shape[2]} channels, "
            f"not {scale.size}; normalize before Flatten"
        )
    maps.put(node, BatchStatisticsNorm(op.epsilon), weight=scale, bias=shift)


@_place.register
def _(op: MatMul, node: Node, maps: _Maps) -> None:
    values = maps.before.sources_of(node)
    sources = tuple(maps.names[name] for name in values)
    if len({*sources}) < 2 or (op.transpose_a and op.transpose_b):
        raise InputError(
            f"{node.name}: training needs a product of two different results, "
            "of which at most one is transposed"
        )
    if any(maps.before.values[v].shape != maps.shape(maps.names[v]) for v in values):
        raise InputError(f"{node.name}: training needs maps (H, W, C), one product for each row")
    maps.put_of(node, op, sources)


@_place.register
def _(op: Multiply, node: Node, maps: _Maps) -> None:
    """Of two results; or of one and a number."""
    sources = tuple(maps.names[name] for name in maps.before.sources_of(node))
    if len({*sources}) < 2 and (factors := maps.arrays(node)):
        factor = float(factors[0].flat[0])
        if not factor > 0.0 or (factors[0] != factor).any():
            raise InputError(f"{node.name}: training needs one factor of more than 0 for all")
        maps.put(node, Scale(factor=factor))
        return
    if len({*sources}) < 2 or len({maps.shape(name) for name in sources}) > 1:
        raise InputError(
            f"{node.name}: training needs a product of two different results of one shape"
        )
    maps.put_of(node, op, sources)


@_place.register
def _(op: LayerNorm, node: Node, maps: _Maps) -> None:
    scale, shift = maps.arrays(node)
    if scale.size != (count := maps.source(node)[1][2]):
        raise InputError(
            f"{node.name}: training normalizes along the {count} channels of a pixel, not along "
            f"{scale.size} elements; normalize before Flatten"
        )
    maps.put(node, op, weight=scale, bias=shift)


@_place.register
def _(op: Softmax, node: Node, maps: _Maps) -> None:
    """At the end the host's; elsewhere along the channels of a map."""
    if _is_last(node, maps.before):
        maps.names[node.output] = maps.add(node.name, op, maps.source(node)[:1], PROBABILITIES).name
        return
    if maps.before.values[node.inputs[0]].shape != maps.source(node)[1]:
        raise InputError(f"{node.name}: training needs softmax of a map (H, W, C), before Flatten")
    maps.put(node, op)


@_place.register
def _(op: MaxPool, node: Node, maps: _Maps) -> None:
    if maps.source(node)[0] != INPUT and maps.reads[node.inputs[0]] > 1:
        raise InputError(
            f"{node.name}: training needs a value that only this pooling reads: its errors "
            "take the place of its values; let the others read the pooling's result"
        )
    maps.put(node, op)


@_place.register
def _(op: Function, node: Node, maps: _Maps) -> None:
    if (function := op.variant) not in DERIVATIVES:
        known = ", ".join(DERIVATIVES)
        raise InputError(f"{node.name}: training needs one of {known}, not {function}")
    maps.put(node, op)


@_place.register
def _(op: Spike, node: Node, maps: _Maps) -> None:
    """With a slope of its own, so that what is before it learns."""
    maps.names[node.output] = maps.spikes(node, op.threshold)


@_place.register
def _(op: Membrane, node: Node, maps: _Maps) -> None:
    """What a spike leaves, of operators that learn: the slope of spikes is in it, too."""
    if op.drift or op.reset not in (None, 0.0):
        raise InputError(
            f"{node.name}: training needs membranes without drift, whose spikes take the threshold "
            f"off or set them to 0, not a drift of {op.drift:g} and a reset to {op.reset}"
        )
    left, _ = maps.source(node)
    if isfinite(op.threshold):
        spikes = maps.spikes(node, op.threshold)
        if op.reset is not None:
            spikes = maps.step(_within(node, "spent"), Multiply(), (left, spikes))
        elif op.threshold != 1.0:
            spikes = maps.step(_within(node, "spent"), Scale(factor=op.threshold), (spikes,))
        left = maps.step(_within(node, "kept"), Subtract(), (left, spikes))
    if op.decay == 1.0:
        maps.names[node.output] = left
    else:
        maps.put_of(node, Scale(factor=op.decay), (left,))


def _within(node: Node, what: str) -> str:
    """The name of a part of an operator, in its run."""
    plain, at, run = node.name.partition(RUN)
    return f"{plain}.{what}{at}{run}"


@singledispatch
def is_layer(_op: Operator) -> bool:
    """Whether an operator is a product with weights."""
    return False


@is_layer.register
def _(_op: Convolution) -> bool:
    return True


@singledispatch
def _flattens(_op: Operator) -> bool:
    """Whether an operator makes a vector of a map, its elements in their order."""
    return False


@_flattens.register
def _(_op: Flatten) -> bool:
    return True


def _is_last(node: Node, graph: Graph) -> bool:
    """Whether the host computes an operator."""
    return node.op.kind is Kind.HOST and node.output in graph.outputs


def _passes(node: Node, graph: Graph) -> bool:
    """Whether an operator hands its input on as it is, as far as the machine knows."""
    return _flattens(node.op) or _is_last(node, graph)


def _readers(graph: Graph) -> Counter[str]:
    """By value, how many operators read it, also through Flatten."""
    roots = {name: name for name in graph.values}
    for node in graph.nodes:
        if _passes(node, graph):
            roots[node.output] = roots[node.inputs[0]]
    reads = Counter(roots[name] for n in graph.nodes if not _passes(n, graph) for name in n.inputs)
    return Counter({name: reads[root] for name, root in roots.items()})


def _entries(graph: Graph) -> list[Value]:
    """The inputs as training names them: one map or vector, or several vectors."""
    if len(graph.inputs) == 1:
        return [network_input(INPUT, _input_shape(graph))]
    for value in graph.inputs:
        if value.size != value.shape[-1] or value.name in graph.views:
            raise InputError(
                f"{value.name}: where there are several inputs training needs vectors in their "
                f"own order, not {value.shape}"
            )
    sizes = [value.size for value in graph.inputs]
    return [network_input(f"{INPUT}{RUN}{n}", (1, 1, size)) for n, size in enumerate(sizes)]


def _input_shape(graph: Graph) -> Shape:
    """A map, or a vector if it is none or every operator reads it flat."""
    shape, name = graph.input.shape, graph.input.name
    flat = all(_flattens(node.op) for node in graph.nodes if name in node.inputs)
    return shape if len(shape) == 3 and not flat else (1, 1, prod(shape))
