"""Maps side by side: copies, or products with 0 and 1 where channels move between lanes."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np

from pulsarray.compiler.lower.elementwise import copy_codes
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.moving import selected
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.ops.integer.concat import Concat, Reshape

__all__: list[str] = []


@traits_of.register
def _(op: Concat) -> Traits:
    return Traits(beside=op.axis == -1)


@traits_of.register
def _(_: Reshape) -> Traits:
    return Traits(beside=True)


@lower.register
def _(_: Reshape, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    """A copy, where the result cannot be the input as it lies."""
    source, result = lowering.stored(work.maps[0]), lowering.stored(work.output)
    copy_codes(lowering, work, replace(source, height=result.height, width=result.width), result)
    return 0, 0, 0


@lower.register
def _(op: Concat, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    if op.axis == -1:
        _mixed_lanes(lowering, work)
        return 0, 0, 0
    result, place = lowering.stored(work.output), [0, 0]
    for name in work.node.inputs:
        source = lowering.stored(name)
        size = source.height, source.width
        copy_codes(lowering, work, source, result.part((1, 1), (place[0], place[1]), size))
        place[op.axis + 3] += size[op.axis + 3]
    return 0, 0, 0


def _mixed_lanes(lowering: Lowering, work: Work) -> None:
    """Products with 0 and 1, whose sums are the channels in order."""
    result = lowering.stored(work.output)
    maps = [lowering.stored(name) for name in work.node.inputs]
    firsts = accumulate((stored.channels for stored in maps[:-1]), initial=0)
    wanted = (np.arange(result.channels) - first for first in firsts)
    selected(lowering, work, list(zip(maps, wanted, strict=True)), result)
