"""What the machine computes of a network in integers: its part without the host's."""

from __future__ import annotations

from typing import Any

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import machine_part, split_host
from pulsarray.compiler.reference.run import run, run_outputs

__all__ = ["Codes", "after", "codes_of", "every_map", "host_codes", "result_of", "weight_of"]

Codes = np.ndarray[Any, np.dtype[np.int64]]


def codes_of(graph: Graph, codes: Codes) -> Codes:
    """The machine's result, (N, H, W, C)."""
    machine = machine_part(graph)
    return run_outputs(machine, codes)[machine.output.name]


def every_map(graph: Graph, codes: Codes) -> dict[str, Codes]:
    """Every map that the machine knows by name, the input included."""
    return run(machine_part(graph), codes)


def result_of(graph: Graph) -> Affine8:
    """Quantization of the machine's result."""
    return machine_part(graph).output.codes


def after(graph: Graph) -> str:
    """What a host applies to it."""
    return split_host(graph)[1][0].after


def host_codes(graph: Graph, values: Codes) -> Codes:
    """Codes of a network's input that a host makes of real values in the order of the map."""
    return graph.input.codes.encode(values).reshape(-1, *graph.input.shape)


def weight_of(graph: Graph, place: int = 0) -> tuple[Codes, Codes]:
    """Weights and biases of an operator."""
    node = graph.nodes[place]
    return tuple(graph.values[name].array for name in node.inputs[1:3])  # type: ignore[return-value]
