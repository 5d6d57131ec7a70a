"""Chains of dense layers: each a product followed by one element-wise function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.graph import Activate, Dense, Flatten, Graph, Softmax
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["FusedLayer", "fuse", "is_dense_chain"]

_KINDS = (Dense, Activate, Flatten, Softmax)


@dataclass(frozen=True, eq=False)
class FusedLayer:
    """A dense operator and every activation up to the next one.

    Parameters
    ----------
    name
        Name of the dense operator.
    weight, bias
        Its parameters, (K, N) and (N,).
    activations
        What follows, in order.
    """

    name: str
    weight: Floats
    bias: Floats
    activations: Sequence[Activate]


def is_dense_chain(graph: Graph) -> bool:
    """Whether a network is dense layers and activations of vectors, one after the other."""
    results = zip(graph.nodes, graph.values[1:], strict=True)
    vectors = all(len(value.shape) == 1 for _, value in results)
    return graph.is_chain and vectors and all(isinstance(node, _KINDS) for node in graph.nodes)


def fuse(graph: Graph) -> tuple[list[FusedLayer], str]:
    """The layers of a network, and what a host applies to the last one's result.

    Activations before the first product get one with the identity matrix.

    Raises
    ------
    InputError
        If the network is no chain of dense layers and activations.
    """
    if not is_dense_chain(graph):
        raise InputError(
            f"{graph.name}: is not dense layers and activations of vectors one after the other; "
            "compile_network and quantize_graph take other networks"
        )
    groups: list[tuple[str, Floats, Floats, list[Activate]]] = []
    after = ""
    for node in graph.nodes:
        if isinstance(node, Dense):
            groups.append((node.name, node.weight, node.bias, []))
        elif isinstance(node, Activate):
            if not groups:
                groups.append(_identity(node.name, graph.input.size))
            groups[-1][3].append(node)
        elif isinstance(node, Softmax):
            after = "softmax"
    if not groups:
        groups.append(_identity(graph.name, graph.input.size))
    return [FusedLayer(*group) for group in groups], after


def _identity(name: str, size: int) -> tuple[str, Floats, Floats, list[Activate]]:
    return name, np.eye(size), np.zeros(size), []
