"""What a network computes: every operator's definition, one after the other.

Values whose format is int8 codes, or integers, are computed by definitions in integers, all others
by those in real numbers; where an operator has only the latter (what a host does at the end), codes
are decoded before it and encoded after it. Mantissas with shared exponents have an arithmetic of
their own (:mod:`.mantissas`) for the same walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.samples import by_name, require_one_count
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.errors import InputError

__all__ = [
    "computed",
    "kept",
    "operands",
    "real",
    "run",
    "run_each",
    "run_in_order",
    "run_outputs",
    "walk",
]

_LOW, _HIGH = -128, 127
V = TypeVar("V")


def run(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Every value of a network by name, but its constants.

    Parameters
    ----------
    graph
        The network.
    inputs
        Samples of each input by name, or of the only one: (samples, *its shape), float32 or
        float64, which all arithmetic has; of inputs in int8 integers. What overflows becomes
        infinite. State that is not among them holds what it does before the first run.

    Raises
    ------
    InputError
        If an input is missing or unknown, has another shape, or is no int8 codes where they are
        needed, or inputs have not as many samples.
    """
    return dict(run_each(graph, inputs))


def kept(graph: Graph, values: Mapping[str, Array]) -> dict[str, Array]:
    """What state holds after a run, by name, from the outputs of the run."""
    return {state: values[after] for state, after in graph.states.items()}


def run_in_order(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of runs one after the other, each of one sample, and what state holds before each.

    Parameters, raises: as :func:`run`; run n reads sample n of each input, and goes on from where
    run n - 1 has ended.
    """
    rows: list[dict[str, Array]] = []
    states: dict[str, Array] = {}
    samples = _samples(graph, inputs)
    for number in range(min(map(len, samples.values()))):
        one = {v.name: samples[v.name][number : number + 1] for v in graph.inputs}
        before = {name: samples[name][:1] for name in graph.states} | states
        outputs = run_outputs(graph, {**one, **before})
        states = kept(graph, outputs)
        rows.append({**outputs, **before})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def run_outputs(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """The outputs of a network by name, keeping no other value longer than it is read.

    Parameters, raises: as :func:`run`.
    """
    made = {name: array for name, array in run_each(graph, inputs) if name in graph.outputs}
    return {name: made[name] for name in graph.outputs}


def run_each(graph: Graph, inputs: Mapping[str, Array] | Array) -> Iterator[tuple[str, Array]]:
    """The values of :func:`run` one after the other, each held no longer than others read it."""
    values = _samples(graph, inputs)
    yield from values.items()
    left = graph.readers
    left.update([*values])

    def arithmetic(node: Node, values: Mapping[str, Array]) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return computed(graph, node, operands(graph, node, values))

    for node in walk(graph.nodes, values, arithmetic):
        yield node.output, values[node.output]
        left.subtract(node.inputs)
        for name in {*node.inputs, node.output}:
            if not left[name]:
                values.pop(name, None)


def walk(
    nodes: Iterable[Node], values: dict[str, V], arithmetic: Callable[[Node, Mapping[str, V]], V]
) -> Iterator[Node]:
    """Operators one after the other, each when its result is among the values.

    Parameters
    ----------
    nodes
        Operators, in an order that can be run.
    values
        What they read, by name: by the arithmetic arrays, or mantissas with their exponents.
    arithmetic
        An operator's result from the values.

    Raises
    ------
    InputError
        If an operator is not defined on what it reads; the text names it.
    """
    for node in nodes:
        try:
            values[node.output] = arithmetic(node, values)
        except InputError as error:
            raise InputError(f"{node.name}: {error}") from None
        yield node


def real(node: Node, values: Mapping[str, Array]) -> Array:
    """The arithmetic of real numbers; what is missing among the values it can do without."""
    return node.op.real(*(values[name] for name in node.inputs if name in values))


def operands(graph: Graph, node: Node, values: Mapping[str, Array]) -> Sequence[Array]:
    """What an operator reads; a constant where it could be any value is the same for each sample.

    Parameters
    ----------
    values
        All others, of which there is at least one, by name.
    """
    some = next(iter(values.values()))
    arrays = []
    for place, value in enumerate(graph.inputs_of(node)):
        if not value.role.is_constant:
            arrays.append(values[value.name])
        elif place in node.op.constants:
            arrays.append(value.array)
        else:
            array = value.array.astype(some.dtype)
            arrays.append(np.broadcast_to(array, (len(some), *value.shape)))
    return arrays


def computed(graph: Graph, node: Node, arrays: Sequence[Array]) -> Array:
    """The result of an operator from what it reads, by the formats.

    Raises
    ------
    InputError
        If the operator is not defined on them.
    """
    formats, result = [v.format for v in graph.inputs_of(node)], graph.values[node.output].format
    if node.op.has_integers():
        return node.op.integer(arrays, formats, result)
    pairs = zip(arrays, formats, strict=True)
    reals = [form.decode(a) if isinstance(form, Affine8) else a for a, form in pairs]
    made = node.op.real(*reals)
    return result.encode(made) if isinstance(result, Affine8) else made


def _samples(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Samples of all inputs and state by name."""
    later = {*inputs} & {*graph.states} if isinstance(inputs, Mapping) else set()
    entries = [v for v in graph.entries if v.name in later or v.name not in graph.states]
    known = by_name(inputs, [value.name for value in entries], graph.name)
    made = {value.name: _checked(graph, value, known[value.name]) for value in entries}
    require_one_count(made, graph.name)
    some = next(iter(made.values()))
    for value in graph.entries:
        if value.name not in made:
            first = np.asarray(value.data, some.dtype)
            made[value.name] = np.broadcast_to(first, (len(some), *value.shape))
    return made


def _checked(graph: Graph, value: Value, samples: Array) -> Array:
    """Samples of an input as its format has them."""
    if isinstance(value.format, Affine8):
        return _codes(graph, value, np.asarray(samples))
    if samples.shape[1:] != value.shape:
        raise InputError(
            f"{value.name}: samples must have shape {value.shape}, not {samples.shape[1:]}"
        )
    return samples


def _codes(graph: Graph, value: Value, codes: Array) -> Array:
    axes = {1: "(C)", 2: "(H, C)", 3: "(H, W, C)"}.get(len(value.shape), "its shape")
    whole = axes.replace("(", "(N, ", 1)
    if codes.dtype.kind not in "iu" or codes.shape[1:] != value.shape or codes.ndim < 1:
        raise InputError(
            f"{graph.name}: input {value.name!r} must be integers of shape {whole} with {axes} = "
            f"{value.shape}, not {codes.dtype} of {codes.shape}"
        )
    if codes.size and (int(codes.min()) < _LOW or int(codes.max()) > _HIGH):
        raise InputError(f"{graph.name}: codes of the input {value.name!r} must be -128 .. 127")
    return codes.astype(np.int64)
