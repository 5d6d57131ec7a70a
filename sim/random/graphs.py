"""Random networks of registered operators: any order, branches, constants where values can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray import compiler
from pulsarray.compiler import ops
from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.operator import Kind, Operator, registered
from pulsarray.compiler.ir.value import Array, Shape, Value, constant, network_input, parameter
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.index import ArgMax, ArgMin, LastArgMax, LastArgMin
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.sign import Sign
from pulsarray.compiler.ops.step import Step
from pulsarray.compiler.ops.trigonometric import Cosh, Sinh
from pulsarray.compiler.ops.whole import Ceil, Floor, Round
from pulsarray.compiler.passes.pipeline import folded
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.sim.random.maps import with_inputs

__all__ = [
    "OPERATORS",
    "GraphProgram",
    "one_operator",
    "random_graph",
    "random_graph_program",
    "random_samples",
    "with_one_output",
]

_STEEP = (Cosh, Exp, Sinh)
"""Functions whose results have no bounds if one of them reads another's."""
_WHOLE = (ArgMax, ArgMin, Ceil, Floor, LastArgMax, LastArgMin, Round, Sign, Step)
"""Functions whose results are whole numbers, so often equal."""
_PLACES = (ArgMax, ArgMin, LastArgMax, LastArgMin)
"""Which of equal numbers they choose is decided by how others are rounded on the way to them."""
OPERATORS = [
    op
    for op in registered().values()
    if op.__module__.startswith(ops.__name__)
    and op.real is not Operator.real
    and op.kind is not Kind.TRAINING
]
"""All operators of networks that are defined in real numbers."""
_LARGEST = 400
"""Elements of a value."""
_SAMPLES = 16
"""Samples that a network is calibrated with."""
_TRIES = 20
"""Draws at most for one operator; some read few shapes."""


def random_graph(
    seed: int, shape: Shape | None = None, operators: Sequence[type[Operator]] | None = None
) -> Graph:
    """A network of one to eight operators.

    Parameters
    ----------
    seed
        What it is drawn with.
    shape
        Shape of its input; drawn where None.
    operators
        Classes that are drawn from; None for all of them.
    """
    rng = np.random.default_rng(seed)
    kinds = operators or OPERATORS
    rank = int(rng.choice([1, 2, 3, 3, 3]))
    drawn = shape or tuple(int(size) for size in rng.integers(1, 7, rank))
    growing = _Growing(rng, drawn)
    for _ in range(int(rng.integers(1, 9))):
        growing.add(kinds)
    return growing.graph(f"random{seed}")


def one_operator(rng: np.random.Generator, kind: type[Operator], shape: Shape) -> Graph | None:
    """A network of one random operator, whose first input has a shape; None if it cannot have."""
    growing = _Growing(rng, shape)
    return growing.graph(kind.title) if growing.add_of(kind, "x") else None


def random_samples(rng: np.random.Generator, graph: Graph, count: int) -> dict[str, Array]:
    """Samples of all inputs, in float64; positive where an operator needs that."""
    read = {n.inputs[place] for n in graph.nodes for place in n.op.positive}
    drawn = {v.name: rng.normal(size=(count, *v.shape)) for v in graph.inputs}
    return {name: abs(x) + 0.5 if name in read else x for name, x in drawn.items()}


def with_one_output(graph: Graph) -> Graph:
    """What the last operator's result depends on."""
    output = graph.nodes[-1].output
    return graph.rebuilt(needed(graph.nodes, (output,)), outputs=(output,))


@dataclass(frozen=True, eq=False)
class GraphProgram:
    """A random network in int8.

    Parameters
    ----------
    graph, data
        The network, and what it was calibrated with.
    program, codes
        Its program, and the codes (samples, H, W, C) that are the input in its memory.
    """

    graph: Graph
    data: Array
    program: Program
    codes: npt.NDArray[np.int64]


def random_graph_program(rng: np.random.Generator, config: Config) -> GraphProgram:
    """A random network that is possible in int8 on a machine, with random inputs."""
    while True:
        graph = with_one_output(random_graph(int(rng.integers(1 << 31))))
        data = random_samples(rng, graph, _SAMPLES)[graph.input.name]
        batch = int(rng.integers(1, 4))
        try:
            program = compiler.compile(graph, config, batch=batch, calibration=data, effort=0)
        except InputError:
            continue
        codes = rng.integers(-128, 128, (batch, *folded(graph).input.shape))
        program = replace(program, memory=with_inputs(program, codes))
        return GraphProgram(graph, data, program, codes)


class _Growing:
    """A network while it grows."""

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        self.rng = rng
        self.declared = [network_input("x", shape)]
        self.nodes: list[Node] = []
        self.shapes = {"x": shape}
        self.equal: set[str] = set()
        """Values in which whole numbers went, so that some of them are likely equal."""

    def add(self, kinds: Sequence[type[Operator]]) -> None:
        """One more operator of some kinds, more often on the newest value than on another."""
        for _ in range(_TRIES):
            kind = kinds[int(self.rng.integers(len(kinds)))]
            newest = list(self.shapes)[-1]
            source = newest if self.rng.integers(4) else str(self.rng.choice(list(self.shapes)))
            if self.add_of(kind, source):
                return

    def add_of(self, kind: type[Operator], source: str) -> bool:
        """One more operator of a kind on a value, if that can be."""
        drawn = kind.draw(self.rng, self.shapes[source])
        if drawn is None:
            return False
        op, more = drawn
        if isinstance(op, _PLACES) and source in self.equal:
            return False
        shape = op.shape(self.shapes[source], *more)
        if prod(shape) > _LARGEST:
            return False
        if (0 in op.positive or isinstance(op, _STEEP)) and source != "x":
            source = self._result(Sigmoid(), (source,))
        places = enumerate(more, 1)
        inputs = (source, *(self._operand(op, place, shape) for place, shape in places))
        self._result(op, inputs)
        return True

    def _name(self, op: Operator) -> str:
        """Name of the next operator."""
        return f"{op.title}{len(self.nodes)}"

    def _result(self, op: Operator, inputs: tuple[str, ...]) -> str:
        """One more operator."""
        name, output = self._name(op), f"{self._name(op)}.result"
        constants = {value.name: value.shape for value in self.declared}
        shape = op.shape(*((self.shapes | constants)[value] for value in inputs))
        self.nodes.append(Node(name, op, inputs, output))
        self.shapes[output] = shape
        if isinstance(op, _WHOLE) or self.equal.intersection(inputs):
            self.equal.add(output)
        return output

    def _operand(self, op: Operator, place: int, shape: Shape) -> str:
        """A further input: a constant, or half of the time another value of the shape."""
        fitting = [value for value, known in self.shapes.items() if known == shape]
        free = place not in op.constants and place not in op.positive
        if free and fitting and self.rng.integers(2):
            return str(self.rng.choice(fitting))
        known = op.reads[min(place, len(op.reads) - 1)].rstrip(".")
        value = self._constant(f"{self._name(op)}.{known}{place}", shape, place in op.positive)
        self.declared.append(value)
        return value.name

    def _constant(self, name: str, shape: Shape, positive: bool) -> Value:
        """Numbers of a size that keeps sums of products near 1."""
        if positive:
            return constant(name, self.rng.uniform(0.5, 1.5, shape))
        inputs = prod(shape[:-1])
        return parameter(name, self.rng.normal(size=shape) / np.sqrt(inputs))

    def graph(self, name: str) -> Graph:
        """The network; what nothing reads are its outputs."""
        read = {value for node in self.nodes for value in node.inputs}
        outputs = tuple(value for value in self.shapes if value not in read)
        return Graph(name, self.declared, self.nodes, outputs)
