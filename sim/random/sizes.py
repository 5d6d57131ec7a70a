"""Random int8 networks of operators that change a map's rows and columns."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import Lines, linear, nearest, positions

__all__ = ["draw_resizes"]

Random = np.random.Generator
_WAYS = ("half_pixel", "align_corners", "asymmetric")


def draw_resizes(random: Random, bits: int) -> Graph:
    """One or two changes of size, one after the other, of a small map of up to 20 channels.

    ``bits`` are those of multipliers.
    """
    parts, name = Parts(), "x"
    height, width = (int(n) for n in random.integers(1, 7, 2))
    codes = Affine8(1.0, int(random.integers(-128, 128)))
    parts.input(name, (height, width, int(random.integers(1, 21))), codes)
    for number in range(int(random.integers(1, 3))):
        shape, made = parts.values[name].shape, f"m{number}"
        rows = _lines(random, shape[0], 127)
        # Weights of rows and columns are multiplied to int8.
        columns = _lines(random, shape[1], 127 // int(max(w for t in rows.terms for _, w in t)))
        op = integer.Resize.rounded(rows, columns, bits)
        if bits == 31 and random.integers(2):
            op = integer.Resize.away(rows, columns)
        parts.map(made, op.shape(shape), codes)
        parts.add(made, op, (name,), made, "resize")
        name = made
    return parts.graph("random", (name,))


def _lines(random: Random, size: int, most: int) -> Lines:
    """Neighbours, or means of two, of any size or by a whole factor."""
    made = int(random.choice((size, 2 * size, int(random.integers(1, 9)))))
    if random.random() < 0.3 or most < 2:
        return whole_lines(nearest(size, random.integers(0, size, made).tolist()))
    places = positions(str(random.choice(_WAYS)), size, made, made / size)
    return whole_lines(linear(size, places), int(random.integers(1, most + 1)))
