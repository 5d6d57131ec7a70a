"""State of networks whose inputs and outputs it is in a file: what one run leaves for the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Role, Value
from pulsarray.errors import InputError, did_you_mean
from pulsarray.views import HostView

__all__ = ["with_states"]


def with_states(graph: Graph, ties: Mapping[str, str]) -> Graph:
    """The network with outputs kept for the next run, which reads them in the place of inputs.

    Parameters
    ----------
    graph
        The network.
    ties
        By the name of an output that of the input whose place it takes. Before the first run this
        holds zeros.

    Raises
    ------
    InputError
        If there is no such output or input, or the one cannot take the place of the other: it has
        another shape, order in memory, or quantization, or one is no numbers of the machine.
    """
    inputs = {value.name: value for value in graph.inputs}
    states = dict(graph.states)
    for output, name in ties.items():
        if output not in graph.outputs:
            raise _unknown("output", output, graph.outputs, graph)
        if name not in inputs:
            raise _unknown("input", name, [*inputs], graph)
        if name in states:
            raise InputError(f"{graph.name}: two outputs are kept in {name!r}")
        _check(graph, output, inputs[name])
        states[name] = output
    made = [
        _state(v, graph.values[states[v.name]]) if v.name in states else v for v in graph.declared
    ]
    return replace(graph, declared=made, states=states)


def _unknown(what: str, name: str, names: tuple[str, ...] | list[str], graph: Graph) -> InputError:
    known = ", ".join(map(repr, names))
    return InputError(
        f"{graph.name}: state: {name!r} is no {what}; {what}s: {known}{did_you_mean(name, names)}"
    )


def _state(value: Value, after: Value) -> Value:
    """An input as state that holds zeros, in the format of what is kept in it."""
    zero = after.format.zero if isinstance(after.format, Affine8) else 0.0
    first = np.full(value.shape, zero)
    return replace(value, role=Role.STATE, format=after.format, data=first)


def _check(graph: Graph, output: str, value: Value) -> None:
    """Refuse an output that cannot take an input's place."""
    after, where = graph.values[output], f"{graph.name}: state {value.name!r}"
    views = [graph.views.get(v.name) or HostView.plain(v.shape) for v in (value, after)]
    if views[0].kinds:
        raise InputError(f"{where}: is whole numbers, which {output!r} cannot become")
    shapes = [tuple(view.shape) for view in views]
    known, made = (tuple(size for size in shape if size > 1) for shape in shapes)
    if known != made:
        raise InputError(
            f"{where}: has shape {shapes[0]}, but {output!r}, which is kept in it, {shapes[1]}; "
            "what a run leaves must be what the next one reads, so that sequences cannot grow"
        )
    if value.shape != after.shape or (views[0].places.ravel() != views[1].places.ravel()).any():
        raise InputError(
            f"{where}: lies in memory as {value.shape}, but {output!r}, which is kept in it, as "
            f"{after.shape} in another order"
        )
    if _codes(value) != _codes(after):
        raise InputError(
            f"{where}: is {value.format}, but {output!r}, which is kept in it, {after.format}; "
            "state needs one scale and zero point"
        )


def _codes(value: Value) -> object:
    """What tells apart numbers of the machine, however a host rounds to them."""
    form = value.format
    return (form.scale, form.zero) if isinstance(form, Affine8) else form
