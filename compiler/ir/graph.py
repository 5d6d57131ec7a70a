"""Networks: operators between named values, each after those whose results it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pulsarray.compiler.ir.formats import REAL
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Role, Value, activation
from pulsarray.errors import InputError, did_you_mean
from pulsarray.views import HostView

__all__ = ["Graph", "Node", "free_name", "needed", "result_of"]


@dataclass(frozen=True, eq=False)
class Node:
    """An operator at its place in a network.

    Parameters
    ----------
    name
        Its name, unique among operators.
    op
        What it is.
    inputs
        Names of the values that it reads, in the operator's order.
    output
        Name of the value that it writes.
    label
        What it is called in tables of layers where that is not the operator's title, such as
        ``conv+relu``.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    output: str
    label: str = ""

    @property
    def kind(self) -> str:
        """What it is called in tables of layers."""
        return self.label or self.op.title

    def renamed(self, names: Mapping[str, str]) -> Node:
        """The same operator that reads and writes values by other names."""
        inputs = tuple(names.get(name, name) for name in self.inputs)
        return replace(self, inputs=inputs, output=names.get(self.output, self.output))


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: any number of inputs and outputs, and operators in an order that can be run.

    Parameters
    ----------
    name
        Its name.
    declared
        Inputs, constants, parameters and state, and those results whose format is not real
        numbers; the shapes and formats of all other results follow.
    nodes
        The operators, each after those whose results it reads.
    outputs
        Names of the results of the network.
    views
        Shape and order in which a host gives an input or takes an output, by the value's name,
        where they are not those of the value.
    notes
        What is known of how it came about; a program keeps it.
    states
        By the name of each state, and of each parameter that learns, that of the output which it
        becomes when a run ends.

    Members
    -------
    values
        Every value by name: the declared ones, then results in order.

    Raises
    ------
    InputError
        If names or shapes do not fit; the text names the operator.
    """

    name: str
    declared: Sequence[Value]
    nodes: Sequence[Node]
    outputs: tuple[str, ...]
    views: Mapping[str, HostView] = field(default_factory=dict)
    notes: Mapping[str, object] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Value] = field(init=False)

    def __post_init__(self) -> None:
        known = {value.name: value for value in self.declared}
        if len(known) != len(self.declared):
            name = next(n for n, k in Counter(v.name for v in self.declared).items() if k > 1)
            raise InputError(f"{self.name}: two values are named {name!r}")
        values = {name: v for name, v in known.items() if v.role is not Role.ACTIVATION}
        if not any(value.role is Role.INPUT for value in values.values()):
            raise InputError(f"{self.name}: a network needs at least one input")
        for node in self.nodes:
            values[node.output] = result_of(node, values, known)
        for name in self.outputs:
            if name not in values:
                raise InputError(f"{self.name}: nothing writes the output {name!r}")
        if not self.outputs:
            raise InputError(f"{self.name}: a network needs at least one output")
        if twice := [name for name, count in Counter(self.outputs).items() if count > 1]:
            raise InputError(f"{self.name}: two outputs are named {twice[0]!r}")
        _check_states(self, values)
        object.__setattr__(self, "values", values)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The inputs, in the order in which they are declared."""
        return tuple(value for value in self.declared if value.role is Role.INPUT)

    @property
    def entries(self) -> tuple[Value, ...]:
        """Inputs and state, in the order in which they are declared."""
        return tuple(value for value in self.declared if value.role.is_entry)

    @property
    def input(self) -> Value:
        """The only input.

        Raises
        ------
        InputError
            If there are several.
        """
        if len(self.inputs) > 1:
            names = ", ".join(repr(value.name) for value in self.inputs)
            raise InputError(f"{self.name}: one input is needed here, not {names}")
        return self.inputs[0]

    @property
    def output(self) -> Value:
        """The only output.

        Raises
        ------
        InputError
            If there are several.
        """
        if len(self.outputs) > 1:
            names = ", ".join(map(repr, self.outputs))
            raise InputError(
                f"{self.name}: one output is needed here, not {names}; choose one "
                "(--outputs-only NAME, in Python graph.only)"
            )
        return self.values[self.outputs[0]]

    @property
    def is_quantized(self) -> bool:
        """Whether it computes on codes: its inputs are no real numbers."""
        return all(value.format != REAL for value in self.inputs)

    @property
    def input_view(self) -> HostView | None:
        """How a host gives the only input; None where as its value is."""
        return self.views.get(self.input.name)

    @property
    def constants(self) -> Iterator[Value]:
        """Constants and parameters."""
        return (value for value in self.declared if value.role.is_constant)

    @property
    def readers(self) -> Counter[str]:
        """How often each value is read by operators."""
        return Counter(name for node in self.nodes for name in node.inputs)

    @property
    def uses(self) -> Counter[str]:
        """How often each value is read by operators or is an output."""
        uses = self.readers
        uses.update(self.outputs)
        return uses

    @property
    def parameters(self) -> int:
        """Elements of all that training changes: weights, biases, scales."""
        return sum(value.size for value in self.declared if value.role is Role.PARAMETER)

    def inputs_of(self, node: Node) -> list[Value]:
        """What an operator reads."""
        return [self.values[name] for name in node.inputs]

    def sources_of(self, node: Node) -> tuple[str, ...]:
        """Names of what an operator reads, without constants."""
        return tuple(value.name for value in self.inputs_of(node) if not value.role.is_constant)

    def arrays_of(self, node: Node) -> list[Array]:
        """Constants that an operator reads."""
        return [value.array for value in self.inputs_of(node) if value.role.is_constant]

    def operands_of(self, node: Node) -> tuple[Value, ...]:
        """What an operator combines: its inputs but for those that are always constants."""
        fixed = node.op.constants
        return tuple(v for place, v in enumerate(self.inputs_of(node)) if place not in fixed)

    def macs_of(self, node: Node) -> int:
        """Multiply-accumulates of one operator for one sample."""
        return node.op.macs(*(value.shape for value in self.inputs_of(node)))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return sum(map(self.macs_of, self.nodes))

    def rebuilt(
        self,
        nodes: Sequence[Node],
        *,
        more: Iterable[Value] = (),
        outputs: tuple[str, ...] | None = None,
        views: Mapping[str, HostView] | None = None,
    ) -> Graph:
        """The network with other operators; values that nothing reads any more are left out.

        Parameters
        ----------
        nodes
            The operators.
        more
            Declarations of values that are new or replace those of the same name.
        outputs, views
            Where they change.
        """
        outputs = self.outputs if outputs is None else outputs
        declared = {value.name: value for value in (*self.declared, *more)}
        needed = {name for node in nodes for name in (*node.inputs, node.output)} | {*outputs}
        kept = [v for v in declared.values() if v.name in needed or v.role.is_entry]
        views = self.views if views is None else views
        return Graph(self.name, kept, nodes, outputs, views, self.notes, self.states)

    def renamed(self, names: Mapping[str, str]) -> Graph:
        """The network with other names of values; one whose name another gets, gives it up."""
        new_names = {*names.values()}
        names = dict(names)
        for name in self.values:
            if name in new_names and name not in names:
                names[name] = free_name(name, {*self.values, *new_names, *names.values()})
        declared = [replace(v, name=names.get(v.name, v.name)) for v in self.declared]
        nodes = [node.renamed(names) for node in self.nodes]
        outputs = tuple(names.get(name, name) for name in self.outputs)
        views = {names.get(name, name): view for name, view in self.views.items()}
        states = {names.get(s, s): names.get(after, after) for s, after in self.states.items()}
        return Graph(self.name, declared, nodes, outputs, views, self.notes, states)

    def only(self, outputs: Sequence[str]) -> Graph:
        """The network with some of its outputs, and what these depend on: also what state becomes.

        Raises
        ------
        InputError
            If one is none of its outputs, or named twice.
        """
        for name in outputs:
            if name not in self.outputs or list(outputs).count(name) > 1:
                names = ", ".join(map(repr, self.outputs))
                close = did_you_mean(name, self.outputs)
                raise InputError(
                    f"{self.name}: outputs are {names}, each once, not {name!r}{close}"
                )
        states: dict[str, str] = {}
        while True:
            ends = list(dict.fromkeys((*outputs, *states.values())))
            nodes = needed(self.nodes, ends)
            read = {name for node in nodes for name in node.inputs} | {*ends}
            known, states = states, {s: after for s, after in self.states.items() if s in read}
            if states == known:
                break
        declared = [v for v in self.declared if v.name in read]
        views = {name: view for name, view in self.views.items() if name in read}
        return Graph(self.name, declared, nodes, tuple(ends), views, self.notes, states)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a sign behind it where it is taken."""
    while name in taken:
        name += "'"
    return name


def result_of(
    node: Node, values: Mapping[str, Value], declared: Mapping[str, Value] | None = None
) -> Value:
    """The value that an operator writes.

    Parameters
    ----------
    node
        The operator.
    values
        All values before it, by name.
    declared
        Results that are known beforehand, by name.

    Raises
    ------
    InputError
        If names or shapes do not fit; the text names the operator.
    """
    _check_count(node)
    for place, name in enumerate(node.inputs):
        if name not in values:
            raise InputError(f"{node.name}: reads {name!r}, which nothing before it writes")
        if place in node.op.constants and not values[name].role.is_constant:
            raise InputError(
                f"{node.name}: input {place} of {node.op.title} must be constant, {name!r} is not"
            )
    if node.output in values:
        raise InputError(f"{node.name}: {node.output!r} is written twice")
    try:
        shape = node.op.shape(*(values[name].shape for name in node.inputs))
        read = (values[name] for name in node.inputs)
        node.op.check(*(value.data if value.role.is_constant else None for value in read))
    except InputError as error:
        raise InputError(f"{node.name}: {error}") from None
    result = (declared or {}).get(node.output) or activation(node.output, shape)
    if result.shape != shape:
        raise InputError(f"{node.name}: result must have shape {shape}, not {result.shape}")
    return result


def _check_states(graph: Graph, values: Mapping[str, Value]) -> None:
    """Refuse state that becomes nothing, or what it cannot hold."""
    for value in values.values():
        if value.role is Role.STATE and value.name not in graph.states:
            raise InputError(f"{graph.name}: nothing is kept in state {value.name!r}")
    for name, after in graph.states.items():
        if name not in values or values[name].role not in (Role.STATE, Role.PARAMETER):
            raise InputError(f"{graph.name}: {name!r} is no state")
        if after not in graph.outputs or values[after].role is not Role.ACTIVATION:
            raise InputError(
                f"{graph.name}: state {name!r} must become an operator's result and output, "
                f"not {after!r}"
            )
        if list(graph.states.values()).count(after) > 1:
            raise InputError(f"{graph.name}: {after!r} is kept in two states; keep it in one")
        for what in ("shape", "format"):
            old, new = (getattr(values[one], what) for one in (name, after))
            if old != new:
                raise InputError(
                    f"{graph.name}: state {name!r} has {what} {old}, what is kept in it, "
                    f"{after!r}, has {new}"
                )


def _check_count(node: Node) -> None:
    """Refuse another number of inputs than the operator has."""
    reads, count = node.op.reads, len(node.inputs)
    many = bool(reads) and reads[-1].endswith("...") and count > len(reads)
    fewer = bool(reads) and reads[-1].endswith("?") and count == len(reads) - 1
    if reads and count != len(reads) and not (many or fewer):
        names = ", ".join(reads)
        raise InputError(f"{node.name}: {node.op.title} reads {names}, not {count} values")


def needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The operators that outputs depend on."""
    wanted, kept = {*outputs}, []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
