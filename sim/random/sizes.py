"""Random int8 networks of operators that change a map's sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import Lines, linear, nearest, positions

__all__ = ["draw_sizes"]

Random = np.random.Generator
_WAYS = ("half_pixel", "align_corners", "asymmetric")


def draw_sizes(random: Random, bits: int) -> Graph:
    """One to four operators, one after the other, of a small map of up to 20 channels.

    ``bits`` are those of multipliers.
    """
    parts, name = Parts(), "x"
    height, width = (int(n) for n in random.integers(1, 7, 2))
    codes = Affine8(1.0, int(random.integers(-128, 128)))
    parts.input(name, (height, width, int(random.integers(1, 21))), codes)
    for number in range(int(random.integers(1, 5))):
        shapes = {v.name: v.shape for v in parts.values.values()}
        op, more = _KINDS[int(random.integers(len(_KINDS)))](random, bits, shapes, name)
        made = f"m{number}"
        parts.map(made, op.shape(*(shapes[n] for n in (name, *more))), codes)
        parts.add(made, op, (name, *more), made, op.title)
        name = made
    return parts.graph("random", (name,))


_Drawn = tuple[Operator, tuple[str, ...]]
"""An operator of the newest map, and what else it reads."""


def _resize(random: Random, bits: int, shapes: Mapping[str, Shape], name: str) -> _Drawn:
    height, width, _ = shapes[name]
    rows = _lines(random, height, 127)
    # Weights of rows and columns are multiplied to int8.
    columns = _lines(random, width, 127 // int(max(w for t in rows.terms for _, w in t)))
    if bits == 31 and random.integers(2):
        return integer.Resize.away(rows, columns), ()
    return integer.Resize.rounded(rows, columns, bits), ()


def _reshape(random: Random, _: int, shapes: Mapping[str, Shape], name: str) -> _Drawn:
    pixels = shapes[name][0] * shapes[name][1]
    height = int(random.choice([n for n in range(1, pixels + 1) if pixels % n == 0]))
    return integer.Reshape((height, pixels // height)), ()


def _concat(random: Random, _: int, shapes: Mapping[str, Shape], name: str) -> _Drawn:
    """Along any axis, with maps that fit, perhaps itself."""
    axis = -int(random.integers(1, 4))
    kept = [a for a in range(3) if a != axis + 3]
    fits = [n for n, s in shapes.items() if all(s[a] == shapes[name][a] for a in kept)]
    return integer.Concat(axis), tuple(str(n) for n in random.choice(fits, random.integers(1, 3)))


_KINDS = (_resize, _reshape, _concat)


def _lines(random: Random, size: int, most: int) -> Lines:
    """Neighbours, or means of two, of any size or by a whole factor."""
    made = int(random.choice((size, 2 * size, int(random.integers(1, 9)))))
    if random.random() < 0.3 or most < 2:
        return whole_lines(nearest(size, random.integers(0, size, made).tolist()))
    places = positions(str(random.choice(_WAYS)), size, made, made / size)
    return whole_lines(linear(size, places), int(random.integers(1, most + 1)))
