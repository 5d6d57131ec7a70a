"""Simpler networks that compute the same: what quantization need not know, folded away.

After :func:`fold` every value is a feature map (H, W, C), and no operator is left that
:mod:`pulsarray.compiler.quantization.rules` does not know.
"""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.constants import with_constants
from pulsarray.compiler.passes.ends import with_plain_ends
from pulsarray.compiler.passes.expand import expand
from pulsarray.compiler.quantization.arithmetic import with_products
from pulsarray.compiler.quantization.dropout import without_dropout
from pulsarray.compiler.quantization.maps import with_maps
from pulsarray.compiler.quantization.norms import without_norms
from pulsarray.compiler.quantization.padding import with_padded_windows
from pulsarray.compiler.quantization.rules import with_rules

__all__ = ["FOLDING", "fold"]

FOLDING = (
    with_plain_ends,
    expand,
    with_constants,
    with_rules,
    without_dropout,
    with_maps,
    with_products,
    with_padded_windows,
    without_norms,
)
"""From a network to one with the same results, one after the other."""


def fold(graph: Graph) -> Graph:
    """The network without dropout, padding, normalization, dense layers and flattening.

    Raises
    ------
    InputError
        If a flattened map is used in a way that would need it in another order in memory, or a
        value is no feature map.
    """
    for step in FOLDING:
        graph = step(graph)
    return graph
