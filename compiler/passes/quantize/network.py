"""Post-training quantization to int8, by running a network on calibration data.

Weights: symmetric, one scale an output channel. Activations: one scale and zero point a map, from
the smallest and largest value seen. Sums are exact; activations and residual sums share the
rounding of the operator before them; every scale becomes an integer multiplier and a shift.
"""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.quantize.fuse import fuse_graph
from pulsarray.compiler.passes.quantize.host import with_host_ends
from pulsarray.compiler.passes.quantize.integer_nodes import IntegerNodes
from pulsarray.compiler.passes.quantize.integer_weights import Columns, integer_columns
from pulsarray.compiler.passes.quantize.ranges import observe, targets
from pulsarray.config import Config

__all__ = ["quantize"]


def quantize(folded: Graph, samples: Mapping[str, Floats], config: Config) -> Graph:
    """The network in int8 operators, each with its scales and roundings.

    Parameters
    ----------
    folded
        The network, all of whose values are feature maps.
    samples
        Typical data of each input by name, (samples, elements).
    config
        The machine: width of sums and multipliers.

    Raises
    ------
    InputError
        If an operator is not possible in int8, samples make a value beyond float32, or a sum has
        too many products for the machine.
    """
    graph = with_host_ends(folded)
    shaped = {v.name: samples[v.name].reshape(-1, *v.shape) for v in graph.entries}
    steps, ranges = fuse_graph(graph), observe(graph, shaped)

    def product(name: str, weight: Floats, bias: Floats, source: Affine8) -> Columns:
        return integer_columns(name, weight, bias, source.scale, config)

    known = targets(steps, graph, ranges)
    made = IntegerNodes(graph, config.scale_bits, known, product, ranges)
    for step in steps:
        made.add(step)
    count = min(map(len, shaped.values()))
    return made.finish(notes={"calibration_samples": count})
