"""The samples by which scales and zero points are chosen."""

from __future__ import annotations

from pulsarray.compiler.interpreter import Samples, host_shape, inputs_from_host
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.reference.run import run_in_order
from pulsarray.errors import InputError

__all__ = ["calibrate"]


def calibrate(graph: Graph, calibration: Samples | None) -> dict[str, Floats]:
    """Calibration samples of each input by name, as the graph has them: (samples, elements).

    Of state they are what it holds before each of the runs that read the samples in their order.

    Raises
    ------
    InputError
        If they are missing, have a wrong shape, or are not finite.
    """
    if calibration is None:
        wanted = (f"{v.name!r} with shape {host_shape(graph, v)}" for v in graph.inputs)
        raise InputError(
            f"{graph.name}: quantization needs calibration data, samples of {', '.join(wanted)}"
        )
    arrays = inputs_from_host(graph, calibration, "calibration data")
    if graph.states:
        made = run_in_order(graph, arrays)
        arrays |= {name: made[name] for name in graph.states}
    return {name: array.reshape(len(array), -1) for name, array in arrays.items()}
