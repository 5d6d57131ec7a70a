"""Post-training quantization to int8, by running a network on calibration data.

Weights: symmetric, one scale an output channel. Activations: one scale and zero point a map, from
the smallest and largest value seen. Sums are exact; activations and residual sums share the
rounding of the operator before them; every scale becomes an integer multiplier and a shift.
"""

from __future__ import annotations

import numpy.typing as npt

from pulsarray.compiler.interpreter import from_host
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.quantization.fold import fold
from pulsarray.compiler.quantization.fuse import fuse_graph
from pulsarray.compiler.quantization.integer_nodes import IntegerNodes
from pulsarray.compiler.quantization.integer_weights import Columns, integer_columns
from pulsarray.compiler.quantization.quantize import calibrate
from pulsarray.compiler.quantization.ranges import observe, targets
from pulsarray.config import Config

__all__ = ["quantize_graph"]


def quantize_graph(graph: Graph, calibration: npt.ArrayLike | None, config: Config) -> Graph:
    """Quantize a network for a machine.

    Parameters
    ----------
    graph
        The network.
    calibration
        Input samples as a host gives them: typical data, at least one sample.
    config
        The machine: width of sums and multipliers.

    Raises
    ------
    InputError
        If calibration data is missing, has a wrong shape, or is not finite, or if a sum has too
        many products for the machine.
    """
    folded = fold(graph)
    samples = from_host(graph, calibrate(graph, calibration), "calibration data")
    samples = samples.reshape(len(samples), *folded.input.shape)
    steps, after = fuse_graph(folded)
    ranges = observe(folded, samples)
    given = folded.input

    def product(name: str, weight: Floats, bias: Floats, source: Affine8) -> Columns:
        return integer_columns(name, weight, bias, source.scale, config)

    made = IntegerNodes(config.scale_bits, targets(steps, given.name, ranges), product, ranges)
    made.begin(given.name, given.shape)
    for step in steps:
        made.add(step)
    views = folded.input_view, folded.output_view
    return made.graph(
        graph.name, graph.output.name, after, views, notes={"calibration_samples": len(samples)}
    )
