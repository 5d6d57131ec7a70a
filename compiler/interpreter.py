"""What a network computes in floating point, in and out as a host has it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.arguments import array
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.samples import by_name, require_one_count
from pulsarray.compiler.ir.value import Floats, Value
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError

__all__ = [
    "Samples",
    "float_inputs",
    "from_host",
    "host_shape",
    "inputs_from_host",
    "run_all",
    "run_float",
    "to_host",
]

Samples = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""Samples of each input by name, or of the only one."""


def float_inputs(graph: Graph, inputs: Samples, what: str = "input") -> dict[str, Floats]:
    """Samples of each of a network's inputs as (samples, elements) arrays, in the host's order.

    A sample may have the network's shape (as the host gives it) or be flat already.

    Raises
    ------
    InputError
        If an input is missing or there is one too many, a shape is wrong, there is no sample, or
        not as many of each input, or a value is not finite.
    """
    names = [value.name for value in graph.inputs]
    arrays: dict[str, npt.ArrayLike] = by_name(inputs, names, what)
    feeds: dict[str, Floats] = {}
    for value in graph.inputs:
        where = what if len(names) == 1 else f"{what}: {value.name}"
        samples = array(arrays[value.name], where)
        feeds[value.name] = _checked(samples, host_shape(graph, value), where)
    require_one_count(feeds, what)
    return feeds


def _checked(values: Floats, shape: tuple[int, ...], where: str) -> Floats:
    """Samples of a shape, or flat already, as (samples, elements)."""
    if values.ndim < 1 or values.shape[1:] not in (shape, (prod(shape),)):
        wanted = ", ".join(map(str, ("samples", *shape)))
        raise InputError(f"{where}: shape must be ({wanted}), not {values.shape}")
    if not len(values):
        raise InputError(f"{where}: at least one sample is needed")
    if not np.isfinite(values).all():
        raise InputError(f"{where}: values must be finite (NaN or infinity found)")
    return values.reshape(len(values), -1)


def host_shape(graph: Graph, value: Value | None = None) -> tuple[int, ...]:
    """Shape of a sample of an input, or of the only one, as a host gives it."""
    value = value or graph.input
    view = graph.views.get(value.name)
    return tuple(view.shape) if view else value.shape


def inputs_from_host(graph: Graph, inputs: Samples, what: str = "input") -> dict[str, Floats]:
    """Samples that a host gives, as the graph has them: (samples, *shape) of each input by name.

    Raises
    ------
    InputError
        As :func:`float_inputs`.
    """
    arrays = float_inputs(graph, inputs, what)
    return {v.name: _stored(graph, v, arrays[v.name], what) for v in graph.inputs}


def _stored(graph: Graph, value: Value, samples: Floats, what: str) -> Floats:
    view = graph.views.get(value.name)
    try:
        stored = view.from_host(samples) if view else samples
    except InputError as error:
        raise InputError(f"{what}: {value.name}: {error}") from None
    return stored.reshape(-1, *value.shape)


def from_host(graph: Graph, inputs: Samples, what: str = "input") -> Floats:
    """Samples of the only input that a host gives, as the graph has them.

    Raises
    ------
    InputError
        If there are several inputs, or as :func:`float_inputs`.
    """
    return inputs_from_host(graph, inputs, what)[graph.input.name]


def to_host(graph: Graph, results: Floats, name: str = "") -> Floats:
    """Results of an output, or of the only one, with the batch first, as a host takes them."""
    view = graph.views.get(name or graph.output.name)
    return view.to_host(results) if view else results


def run_all(graph: Graph, inputs: Samples) -> dict[str, Floats]:
    """Each output of the network in float64 by name, as a host takes it.

    Raises
    ------
    InputError
        If the inputs do not fit.
    """
    results = run_outputs(graph, inputs_from_host(graph, inputs))
    return {name: to_host(graph, result, name) for name, result in results.items()}


def run_float(graph: Graph, inputs: Samples) -> Floats:
    """The only output of the network in float64: (samples, outputs), or images.

    Raises
    ------
    InputError
        If there are several outputs, or the inputs do not fit.
    """
    name = graph.output.name
    return run_all(graph, inputs)[name]
