"""TensorFlow Lite's operators whose results are some elements along each axis of one operand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.lines import axis_indices, strided_axes, strided_indices
from pulsarray.compiler.ir.value import Shape
from pulsarray.errors import InputError

__all__ = ["CHOICES", "Choice", "Lines"]

Lines = Sequence[Sequence[int]]
"""Which elements along each axis, in order; they may repeat."""
Numbers = Sequence[Sequence[int]]
LONGEST = 1 << 20
"""Elements of an axis of a result."""


@dataclass(frozen=True)
class Choice:
    """An operator.

    Parameters
    ----------
    lines
        From the operator, the operand's shape and its other operands to the shape that the operand
        is taken in (with further axes of size 1) and what each result has of it, in order; results
        may have fewer axes.
    count
        Operands besides the one that it chooses from, all constants of integers.
    data
        Place of the latter among the inputs.
    """

    lines: Callable[[Operator, Shape, Numbers], tuple[Shape, list[Lines]]]
    count: int = 1
    data: int = 0

    def of(self, operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
        """The lines, checked.

        Raises
        ------
        InputError
            If operands do not fit, or nothing is left.
        """
        if len(numbers) != self.count:
            raise InputError(f"needs {self.count + 1} inputs, not {len(numbers) + 1}")
        taken, results = self.lines(operator, shape, numbers)
        for lines in results:
            if not all(lines) or max(map(len, lines), default=0) > LONGEST:
                raise InputError(f"leaves nothing, or too much, of {shape}")
        return taken, results

    def constants(self, operator: Operator) -> list[int]:
        """Places of its operands of integers."""
        return [place for place in range(len(operator.inputs)) if place != self.data]


def _whole(shape: Shape) -> list[Sequence[int]]:
    return [range(size) for size in shape]


def _axis(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise InputError(f"there is no axis {axis} of {len(shape)}")
    return axis % len(shape)


def _one(numbers: Numbers, place: int) -> int:
    if len(numbers) <= place or len(numbers[place]) != 1:
        raise InputError("needs one axis")
    return numbers[place][0]


def _slice(_operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    begin, size = numbers
    return shape, [[*axis_indices(shape, begin, size)]]


def _strided(operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    operator, shape, whole = strided_axes(operator, shape, numbers)
    return shape, [[*strided_indices(operator, shape, whole)]]


def _gather(operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    (line,), axis = numbers, _axis(operator.option("Axis"), shape)
    size = shape[axis]
    if operator.option("BatchDims"):
        raise InputError("indices of each sample are not supported")
    if not line or not 0 <= min(line) <= max(line) < size:
        raise InputError(f"indices {[*line[:9]]} are not inside 0 .. {size - 1}")
    lines = _whole(shape)
    lines[axis] = line
    return shape, [lines]


def _tile(_operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    (times,) = numbers
    if len(times) != len(shape) or not 1 <= min(times) <= max(times) < LONGEST:
        raise InputError(f"multiples {[*times]} do not fit {shape}")
    for size, count in zip(shape, times, strict=True):
        if count > 1 and count * size > LONGEST:
            raise InputError(f"{count} times {size} elements are too many")
    pairs = zip(shape, times, strict=True)
    return shape, [[[*range(n)] * k if k > 1 else range(n) for n, k in pairs]]


def _broadcast(_operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    (sizes,) = numbers
    shape = (*[1] * (len(sizes) - len(shape)), *shape)
    if len(shape) != len(sizes) or any(a not in (1, b) for a, b in zip(shape, sizes, strict=True)):
        raise InputError(f"{shape} cannot be spread to {[*sizes]}")
    if max(sizes, default=1) > LONGEST or min(sizes, default=1) < 1:
        raise InputError(f"sizes {[*sizes]} are not possible")
    return shape, [[[0] * b if a != b else range(a) for a, b in zip(shape, sizes, strict=True)]]


def _reverse(_operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    axes = {_axis(axis, shape) for axis in numbers[0]}
    return shape, [[range(n - 1, -1, -1) if axis in axes else range(n)
                    for axis, n in enumerate(shape)]]  # fmt: skip


def _mirror(operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    (sides,), skip = numbers, int(operator.option("Mode") == 0)
    pairs = [*zip(sides[::2], sides[1::2], strict=False)]
    if len(sides) != 2 * len(shape) or min(sides, default=0) < 0:
        raise InputError(f"padding {[*sides]} does not fit {shape}")
    if any(max(pair) > max(n - skip, 0) for pair, n in zip(pairs, shape, strict=True)):
        raise InputError(f"padding {[*sides]} is larger than what it mirrors, {shape}")
    mode = "reflect" if skip else "symmetric"
    return shape, [[
        np.pad(np.arange(n), pair, mode=mode).tolist() if any(pair) else range(n)  # type: ignore[call-overload]
        for n, pair in zip(shape, pairs, strict=True)
    ]]  # fmt: skip


def _parts(shape: Shape, axis: int, sizes: Sequence[int]) -> list[Lines]:
    ends = np.cumsum([0, *sizes]).tolist()
    made: list[Lines] = []
    for begin, end in pairwise(ends):
        lines = _whole(shape)
        lines[axis] = range(begin, end)
        made.append(lines)
    return made


def _split(operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    axis, count = _axis(_one(numbers, 0), shape), len(operator.outputs)
    if shape[axis] % count:
        raise InputError(f"{shape[axis]} elements have no {count} equal parts")
    return shape, _parts(shape, axis, [shape[axis] // count] * count)


def _split_sizes(operator: Operator, shape: Shape, numbers: Numbers) -> tuple[Shape, list[Lines]]:
    axis, count = _axis(_one(numbers, 1), shape), len(operator.outputs)
    rest = shape[axis] - sum(size for size in numbers[0] if size >= 0)
    sizes = [rest if size == -1 else size for size in numbers[0]]
    if len(sizes) != count or min(sizes) < 1 or sum(sizes) != shape[axis]:
        raise InputError(f"{shape[axis]} elements have no {count} parts of {sizes}")
    return shape, _parts(shape, axis, sizes)


def _unpack(operator: Operator, shape: Shape, _numbers: Numbers) -> tuple[Shape, list[Lines]]:
    axis = _axis(operator.option("Axis"), shape)
    if len(operator.outputs) != shape[axis]:
        raise InputError(f"an axis of {shape[axis]} has other results")
    return shape, _parts(shape, axis, [1] * shape[axis])


CHOICES: Mapping[str, Choice] = {
    "BROADCAST_TO": Choice(_broadcast),
    "GATHER": Choice(_gather),
    "MIRROR_PAD": Choice(_mirror),
    "REVERSE_V2": Choice(_reverse),
    "SLICE": Choice(_slice, count=2),
    "SPLIT": Choice(_split, data=1),
    "SPLIT_V": Choice(_split_sizes, count=2),
    "STRIDED_SLICE": Choice(_strided, count=3),
    "TILE": Choice(_tile),
    "UNPACK": Choice(_unpack, count=0),
}
"""All of them."""
