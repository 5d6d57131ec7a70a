"""Maps of other sizes: a depthwise convolution for each run of alike rows and columns."""

from __future__ import annotations

from itertools import product

import numpy as np

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.convolution import emit_scaled
from pulsarray.compiler.lower.convolve import Term
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import offsets_of
from pulsarray.compiler.lower.weights import tiles_of
from pulsarray.compiler.ops.integer.resize import Resize
from pulsarray.compiler.ops.integer.scale import Scale

__all__: list[str] = []


@lower.register
def _(op: Resize, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    name, source = work.node.name, lowering.stored(work.maps[0])
    whole, dim = lowering.stored(work.output), lowering.config.dim
    zero, channels = op.zero(lowering.value(work.maps[0]).format), source.channels
    multiplier, shift = (np.array([part], np.int64) for part in op.scale)
    scale = Scale(multiplier, shift, zero)
    for number, (rows, columns) in enumerate(product(op.rows.runs, op.columns.runs)):
        kernel = np.outer(rows.weights, columns.weights).astype(np.int8)
        weight = np.repeat(kernel[:, :, None, None], channels, axis=3)
        window = Window(
            (kernel.shape[0], kernel.shape[1]),
            (rows.stride, columns.stride),
            (-rows.source, -columns.source, 0, 0),
        )
        none = np.zeros(channels, np.int64)
        offsets = offsets_of(name, weight, none, zero, lowering.config)
        part = whole.part(
            (rows.step, columns.step), (rows.first, columns.first), (rows.count, columns.count)
        )
        term = Term(source, window, tiles_of(weight, channels, dim))
        emit_scaled(lowering, work, f"{name}.{number}", [term], part, scale, offsets)
    return 0, 0, 0
