"""Post-training quantization to int8, by running a network on calibration data.

Weights: symmetric, one scale an output channel. Activations: one scale and zero point a map, from
the smallest and largest value seen. Sums are exact; activations and residual sums share the
rounding of the operator before them; every scale becomes an integer multiplier and a shift.
"""

from __future__ import annotations

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.quantize.fuse import fuse_graph
from pulsarray.compiler.passes.quantize.integer_nodes import IntegerNodes
from pulsarray.compiler.passes.quantize.integer_weights import Columns, integer_columns
from pulsarray.compiler.passes.quantize.ranges import observe, targets
from pulsarray.config import Config

__all__ = ["quantize"]


def quantize(folded: Graph, samples: Floats, config: Config) -> Graph:
    """The network in int8 operators, each with its scales and roundings.

    Parameters
    ----------
    folded
        The network, all of whose values are feature maps.
    samples
        Typical inputs, (samples, elements).
    config
        The machine: width of sums and multipliers.

    Raises
    ------
    InputError
        If an operator is not possible in int8, samples make a value beyond float32, or a sum has
        too many products for the machine.
    """
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
        folded.name, folded.output.name, after, views, notes={"calibration_samples": len(samples)}
    )
