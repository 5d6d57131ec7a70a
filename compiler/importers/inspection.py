"""What a network consists of: its operators, what they cost, and which unit works on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.host import split_host
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Role
from pulsarray.compiler.ops import integer
from pulsarray.compiler.passes.pipeline import folded
from pulsarray.compiler.passes.quantize.fuse import fuse_graph
from pulsarray.compiler.passes.quantize.host import with_host_ends
from pulsarray.compiler.passes.quantize.rules import Place, is_nothing, multiplies_maps, rule_of
from pulsarray.config import Config
from pulsarray.images import host_shape
from pulsarray.program import Program

__all__ = [
    "ARRAY",
    "HOST",
    "MEMORY",
    "NOTHING",
    "VECTOR",
    "End",
    "Inspection",
    "Row",
    "inspect_gemm",
    "inspect_graph",
    "inspect_integer",
    "inspect_program",
]

Shape = tuple[int, ...]

ARRAY, VECTOR, MEMORY = Place.ARRAY.value, Place.VECTOR.value, Place.MEMORY.value
HOST, NOTHING = "host", Place.NOTHING.value


@dataclass(frozen=True, kw_only=True)
class Row:
    """An operator.

    Parameters
    ----------
    name, operator
        Its name, and what it is.
    inputs, output
        Shapes without the batch; empty where they are not known.
    macs
        Multiply-accumulates of one sample; None if sizes are not known.
    parameters
        Numbers that it learned.
    place
        Where it runs, what it becomes part of, or what it would need.
    supported
        Whether it can be compiled.
    """

    name: str
    operator: str
    inputs: tuple[Shape, ...]
    output: Shape
    macs: int | None = 0
    parameters: int = 0
    place: str = ""
    supported: bool = True


@dataclass(frozen=True)
class End:
    """An input or output: its name, and the shape of a sample for a host."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Inspection:
    """The operators of a network.

    Parameters
    ----------
    network, form
        Its name, and what it came as.
    rows
        Its operators, in order.
    problem
        Why it cannot be compiled; empty if it can, or if the rows say why.
    inputs, outputs
        Its ends; none where they are not known.
    """

    network: str
    form: str
    rows: Sequence[Row]
    problem: str = ""
    inputs: Sequence[End] = ()
    outputs: Sequence[End] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample, as far as they are known."""
        return sum(row.macs or 0 for row in self.rows)

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return sum(row.parameters for row in self.rows)

    @property
    def unsupported(self) -> list[Row]:
        """Operators that cannot be compiled."""
        return [row for row in self.rows if not row.supported]


def inspect_graph(graph: Graph, config: Config | None = None) -> Inspection:
    """The operators of a float network, which the compiler quantizes, for a machine.

    Raises
    ------
    InputError
        If the operators cannot be combined in this way.
    """
    places = _Places(graph)
    rows = [_for_machine(*places.row(node), config) for node in graph.nodes]
    ends = _ends(graph, {name: name for name in graph.outputs})
    form = "float, to be quantized to int8"
    if count := graph.notes.get("dynamic_quantization"):
        form = f"dynamically quantized by {count} operators, read as {form} with fixed scales"
    if reason := graph.notes.get("partly_float"):
        form = f"quantized in part ({reason}), read as {form}, with weights as their codes say"
    return Inspection(graph.name, form, rows, "", *ends)


def _ends(graph: Graph, outputs: Mapping[str, str]) -> tuple[list[End], list[End]]:
    """Inputs and outputs; of the latter the name of the value and of what a host has."""

    def end(name: str, told: str) -> End:
        view = graph.views.get(name)
        return End(told, tuple(view.shape) if view else graph.values[name].shape)

    inputs = [end(value.name, value.name) for value in graph.inputs]
    return inputs, [end(name, told) for name, told in outputs.items()]


def _for_machine(row: Row, table: bool, product: bool, config: Config | None) -> Row:
    """The row of an operator on a machine which may not have what it needs."""
    if config is not None and table and not config.tables:
        return replace(row, supported=False, place="needs tables > 0")
    if config is not None and product and not config.vector_multiply:
        return replace(row, supported=False, place="needs vector_multiply")
    return row


def _operator(node: Node) -> str:
    """What an operator is: functions by their titles, others by their class, and their groups."""
    kind = type(node.op).__name__
    groups = getattr(node.op, "groups", 1)
    return f"{kind}, {groups} groups" if groups > 1 else kind


def _parameters(graph: Graph, node: Node) -> int:
    """Numbers that an operator learned; a bias of zeros is none."""
    named = zip(node.op.reads, graph.inputs_of(node), strict=False)
    learned = [(name, value) for name, value in named if value.role is Role.PARAMETER]
    return sum(v.size for name, v in learned if name != "bias" or v.array.any())


class _Places:
    """Where the operators of a float network run, by what the compiler folds into what."""

    def __init__(self, graph: Graph) -> None:
        steps = fuse_graph(with_host_ends(folded(graph)))
        self._graph = graph
        self._units = {step.name: rule_of(step.node).place.value for step in steps}
        self._steps = {step.output: step.name for step in steps}
        self._readers = {name: node for node in graph.nodes for name in node.inputs}

    def row(self, node: Node) -> tuple[Row, bool, bool]:
        """What is told of an operator, and whether it needs a table and products of two maps."""
        values = self._graph.values
        row = Row(
            name=node.name,
            operator=_operator(node),
            inputs=tuple(values[name].shape for name in self._graph.sources_of(node)),
            output=values[node.output].shape,
            macs=self._graph.macs_of(node),
            parameters=_parameters(self._graph, node),
            place=self._of(node),
        )
        multiplies = multiplies_maps(node.op)
        curve = node.op.is_elementwise and node.op.limits is None
        return row, curve or multiplies, multiplies

    def _of(self, node: Node) -> str:
        """Where an operator runs, or what it becomes part of."""
        if node.op.kind is Kind.HOST and node.output not in self._readers:
            return HOST
        if is_nothing(node.op):
            return NOTHING
        if node.name in self._units:
            return self._units[node.name]
        output = node.output
        while output not in self._steps and output in self._readers:
            output = self._readers[output].output
        return f"in {self._steps[output]}" if output in self._steps else NOTHING


_INTEGER_PLACES: Mapping[type, str] = {
    integer.Convolution: ARRAY,
    integer.TransposedConvolution: ARRAY,
    integer.AveragePool: ARRAY,
    integer.Concat: MEMORY,
    integer.Reshape: MEMORY,
    integer.Resize: ARRAY,
}


def inspect_integer(graph: Graph, config: Config | None = None) -> Inspection:
    """The operators of a network that is int8 already, for a machine."""
    rows = []
    for node in graph.nodes:
        maps = [value for value in graph.inputs_of(node) if not value.role.is_constant]
        constants = [value for value in graph.inputs_of(node) if value.role.is_constant]
        needs = node.op.needs
        row = Row(
            name=node.name,
            operator=node.label or node.op.title.capitalize(),
            inputs=tuple(value.shape for value in maps),
            output=graph.values[node.output].shape,
            macs=graph.macs_of(node),
            parameters=sum(value.size for value in constants),
            place=_integer_place(node.op),
        )
        rows.append(_for_machine(row, needs.table, needs.product, config))
    names = [made.name for made in split_host(graph)[1]]
    ends = _ends(graph, dict(zip(graph.outputs, names, strict=True)))
    return Inspection(graph.name, "int8", rows, "", *ends)


def _integer_place(op: Operator) -> str:
    """Where an operator of a network in integers runs."""
    return _INTEGER_PLACES.get(type(op), VECTOR) if op.has_integers() else HOST


def inspect_program(program: Program) -> Inspection:
    """The layers of a compiled program; figures are those of one sample."""
    rows = [
        Row(
            name=layer.name,
            operator=layer.kind,
            inputs=((layer.m, layer.k),) if layer.m else (),
            output=(layer.m, layer.n) if layer.m else (),
            macs=layer.macs // program.batch,
            parameters=layer.k * layer.n,
            place=ARRAY if layer.macs else VECTOR,
        )
        for layer in program.layers
    ]
    form = f"program, batch {program.batch}, for {program.config.fingerprint}"
    inputs, outputs = (
        [End(tensor.name, host_shape(tensor)[1:]) for tensor in program.with_role(role)]
        for role in ("input", "output")
    )
    return Inspection(program.network, form, rows, "", inputs, outputs)


def inspect_gemm(m: int, k: int, n: int) -> Inspection:
    """A plain product, of one sample of M rows."""
    row = Row(
        name="gemm",
        operator="gemm",
        inputs=((m, k), (k, n)),
        output=(m, n),
        macs=m * k * n,
        parameters=k * n,
        place=ARRAY,
    )
    return Inspection(f"gemm:{m}x{k}x{n}", "int8", [row])
