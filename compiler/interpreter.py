"""What a network computes in floating point, in and out as a host has it; rounding of integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.arguments import array
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError

__all__ = [
    "float_inputs",
    "from_host",
    "host_shape",
    "run_float",
    "to_host",
]

Ints = npt.NDArray[np.int64]


def float_inputs(graph: Graph, inputs: npt.ArrayLike, what: str = "input") -> Floats:
    """Samples of a network's input as a (samples, elements) array, in the host's order.

    A sample may have the network's shape (as the host gives it) or be flat already.

    Raises
    ------
    InputError
        If the shape is wrong, there is no sample, or a value is not finite.
    """
    values = array(inputs, what)
    shape = host_shape(graph)
    if values.ndim < 1 or values.shape[1:] not in (shape, (graph.input.size,)):
        raise InputError(
            f"{what}: shape must be (samples, {', '.join(map(str, shape))}), not {values.shape}"
        )
    if not len(values):
        raise InputError(f"{what}: at least one sample is needed")
    if not np.isfinite(values).all():
        raise InputError(f"{what}: values must be finite (NaN or infinity found)")
    return values.reshape(len(values), -1)


def host_shape(graph: Graph) -> tuple[int, ...]:
    """Shape of a sample as a host gives it."""
    return tuple(graph.input_view.shape) if graph.input_view else graph.input.shape


def from_host(graph: Graph, inputs: npt.ArrayLike, what: str = "input") -> Floats:
    """Samples that a host gives, as the graph has them: (samples, *graph.input.shape).

    Raises
    ------
    InputError
        As :func:`float_inputs`.
    """
    values = float_inputs(graph, inputs, what)
    stored = graph.input_view.from_host(values) if graph.input_view else values
    return stored.reshape(-1, *graph.input.shape)


def to_host(graph: Graph, outputs: Floats) -> Floats:
    """Results of a network, with the batch first, as a host takes them."""
    return graph.output_view.to_host(outputs) if graph.output_view else outputs


def run_float(graph: Graph, inputs: npt.ArrayLike) -> Floats:
    """The network in float64: (samples, *input shape) to (samples, outputs), or to images.

    Raises
    ------
    InputError
        If the inputs do not fit.
    """
    values = run_outputs(graph, from_host(graph, inputs))
    return to_host(graph, values[graph.output.name])
