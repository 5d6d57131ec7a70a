"""Maps side by side whose channels move between lanes: products with 0 and 1."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.convolution import emit_convolution
from pulsarray.compiler.lower.convolve import Term
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import finish_of, sums_of
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.lower.weights import Tiles
from pulsarray.compiler.ops.integer.concat import Concat
from pulsarray.compiler.ops.integer.scale import Scale

__all__: list[str] = []


@traits_of.register
def _(_: Concat) -> Traits:
    return Traits(beside=True)


@lower.register
def _(_: Concat, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, dim = lowering.stored(work.output), lowering.config.dim
    first, terms = 0, []
    for name in work.maps:
        stored = lowering.stored(name)
        values = np.zeros((result.blocks, 1, 1, stored.blocks, dim, dim), np.int8)
        for channel in range(stored.channels):
            to = first + channel
            values[to // dim, 0, 0, channel // dim, channel % dim, to % dim] = 1
        terms.append(Term(stored, Window((1, 1)), Tiles(values, [0] * result.blocks)))
        first += stored.channels
    scale = Scale(np.ones(1, np.int64), np.zeros(1, np.int64))
    sums = sums_of(lowering, work.node.name, scale, np.zeros(first, np.int64))
    emit_convolution(
        lowering, work, terms, result, None, 1, finish_of(lowering, work, result, None, sums)
    )
    return 0, 0, 0
