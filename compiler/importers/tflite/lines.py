"""Which elements TensorFlow Lite's operators take along each axis, and where between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ops.resize import Lines, Resize, linear, nearest, positions
from pulsarray.errors import InputError

__all__ = ["axis_indices", "resized", "strided_axes", "strided_indices"]

_LONGEST = 1 << 20


def resized(operator: Operator, shape: Shape, sizes: Sequence[int]) -> Resize:
    """RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR of a map to rows and columns.

    Raises
    ------
    InputError
        If sizes or options are not possible.
    """
    if len(sizes) != 2 or not 1 <= min(sizes) <= max(sizes) <= _LONGEST:
        raise InputError(f"sizes must be two of at least 1, not {list(sizes)}")
    corners, half = operator.option("AlignCorners"), operator.option("HalfPixelCenters")
    if corners and half and operator.kind == "RESIZE_BILINEAR":
        raise InputError("must be with aligned corners or half pixels, not both")
    make = _linear if operator.kind == "RESIZE_BILINEAR" else _nearest
    rows, columns = (
        make(old, new, bool(corners), bool(half)) for old, new in zip(shape, sizes, strict=False)
    )
    return Resize(rows, columns)


def _linear(old: int, new: int, corners: bool, half: bool) -> Lines:
    way = "align_corners" if corners and new > 1 else "half_pixel" if half else "asymmetric"
    return linear(old, positions(way, old, new, new / old))


def _nearest(old: int, new: int, corners: bool, half: bool) -> Lines:
    """As TensorFlow Lite's kernel computes it: in float32."""
    apart = corners and new > 1
    scale = np.float32(old - 1) / np.float32(new - 1) if apart else np.float32(old / new)
    places = (np.arange(new, dtype=np.float32) + np.float32(0.5 if half else 0.0)) * scale
    whole = np.floor(places + np.float32(0.5)) if corners else np.floor(places)
    return nearest(old, np.clip(whole, 0, old - 1).astype(int).tolist())


def axis_indices(shape: Shape, begin: Sequence[int], size: Sequence[int]) -> list[list[int]]:
    """SLICE: so many of each axis, from one on; -1 for all that are left.

    Raises
    ------
    InputError
        If these are not elements of the axes, or none.
    """
    if not len(shape) == len(begin) == len(size):
        raise InputError(f"begin {list(begin)} and size {list(size)} do not fit {shape}")
    ends = [n if k == -1 else low + k for n, low, k in zip(shape, begin, size, strict=True)]
    lines = [range(low, high) for low, high in zip(begin, ends, strict=True)]
    for line, count in zip(lines, shape, strict=True):
        if not line or not 0 <= line[0] <= line[-1] < count:
            raise InputError(f"begin {list(begin)} and size {list(size)} are not inside {shape}")
    return [list(line) for line in lines]


def strided_axes(
    operator: Operator, shape: Shape, numbers: Sequence[Sequence[int]]
) -> tuple[Operator, Shape, list[list[int]]]:
    """STRIDED_SLICE as one without ellipsis and new axes: its masks, and the shape with these.

    Raises
    ------
    InputError
        If numbers do not fit the axes.
    """
    if len(numbers) != 3 or any(len(line) != len(numbers[0]) for line in numbers):
        raise InputError("needs begin, end and strides of one length")
    masks = {name: operator.option(f"{name}Mask")
             for name in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")}  # fmt: skip
    if not masks["Ellipsis"] and not masks["NewAxis"]:
        return operator, shape, [list(line) for line in numbers]
    specs = range(len(numbers[0]))
    new = [k for k in specs if masks["NewAxis"] >> k & 1 and not masks["Ellipsis"] >> k & 1]
    rest = len(shape) - (len(specs) - len(new) - bool(masks["Ellipsis"]))
    if masks["Ellipsis"].bit_count() > 1 or rest < 0:
        raise InputError(f"begin {list(numbers[0])} does not fit {shape}")
    sizes: list[int] = []
    parts: list[tuple[int, ...]] = []
    left = [*shape]
    made = dict.fromkeys(("Begin", "End", "ShrinkAxis"), 0)
    for k in specs:
        whole = bool(masks["Ellipsis"] >> k & 1)
        for _ in range(rest if whole else 1):
            place = 1 << len(parts)
            made["Begin"] |= place * (whole or k in new or masks["Begin"] >> k & 1)
            made["End"] |= place * (whole or k in new or masks["End"] >> k & 1)
            made["ShrinkAxis"] |= place * (not whole and k not in new
                                           and masks["ShrinkAxis"] >> k & 1)  # fmt: skip
            sizes.append(1 if k in new else left.pop(0))
            parts.append((0, 0, 1) if whole or k in new else tuple(n[k] for n in numbers))
    options = {f"{name}Mask": mask for name, mask in made.items()}
    whole_operator = replace(operator, options={"Offset": operator.option("Offset"), **options})
    return whole_operator, (*sizes, *left), [[part[n] for part in parts] for n in range(3)]


def strided_indices(
    operator: Operator, shape: Shape, numbers: Sequence[Sequence[int]]
) -> list[list[int]]:
    """STRIDED_SLICE: every so many of each axis, as a Python slice has them.

    Raises
    ------
    InputError
        If masks or numbers are not possible, or nothing is left.
    """
    if len(numbers) != 3 or any(len(line) != len(numbers[0]) for line in numbers):
        raise InputError("needs begin, end and strides of one length")
    if len(numbers[0]) > len(shape) or not all(numbers[2]):
        raise InputError(
            f"begin {list(numbers[0])} and strides {list(numbers[2])} do not fit {shape}"
        )
    lines = [_strided(operator, axis, shape[axis], *parts)
             for axis, parts in enumerate(zip(*numbers, strict=True))]  # fmt: skip
    lines += [list(range(n)) for n in shape[len(lines) :]]
    if not all(lines):
        raise InputError(f"leaves nothing of {shape}")
    return lines


def _strided(
    operator: Operator, axis: int, size: int, begin: int, end: int, step: int
) -> list[int]:
    bit = 1 << axis
    if operator.option("ShrinkAxisMask") & bit:
        if not -size <= begin < size:
            raise InputError(f"axis {axis} of {size} has no element {begin}")
        return [begin % size]
    last = begin + end if operator.option("Offset") else end
    low = None if operator.option("BeginMask") & bit else begin
    high = None if operator.option("EndMask") & bit else last
    return list(range(size))[low:high:step]
