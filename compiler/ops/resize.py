"""Maps of other sizes: each row and column a weighted sum of the input's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import image
from pulsarray.errors import InputError

__all__ = ["Lines", "Resize", "Run", "linear", "nearest", "positions"]

Floats32 = npt.NDArray[np.float32]
_STEPS = 16
"""Lines from one of a run to the next that are tried; factors of enlargement are no larger."""


@dataclass(frozen=True)
class Run:
    """Lines ``first``, ``first + step`` ... of a result, alike but for where they begin.

    Their sums begin at line ``source`` of the input, ``stride`` further on from one to the next (0
    where all are the same), and have ``weights`` for what follows.
    """

    first: int
    step: int
    count: int
    source: int
    stride: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Lines:
    """Rows, or columns, each a weighted sum of those of an input that has ``size`` of them.

    Parameters
    ----------
    size
        Rows or columns of the input.
    terms
        For each of the result the places that it is a sum of, ascending, and their weights.
    """

    size: int
    terms: tuple[tuple[tuple[int, float], ...], ...]

    def __str__(self) -> str:
        return f"{len(self.terms)} of {self.size}"

    def __len__(self) -> int:
        return len(self.terms)

    @classmethod
    def same(cls, size: int) -> Lines:
        """Each as it is."""
        return cls(size, tuple(((place, 1),) for place in range(size)))

    @property
    def is_same(self) -> bool:
        """Whether each is as it is."""
        return self == Lines.same(self.size)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The weights, (result, input)."""
        matrix = np.zeros((len(self.terms), self.size))
        for line, terms in zip(matrix, self.terms, strict=True):
            for place, weight in terms:
                line[place] += weight
        return matrix

    @property
    def places(self) -> npt.NDArray[np.int64] | None:
        """Which line of the input each is; None if one is another sum."""
        if any(len(terms) != 1 or terms[0][1] != 1 for terms in self.terms):
            return None
        return np.array([terms[0][0] for terms in self.terms], np.int64)

    @property
    def runs(self) -> tuple[Run, ...]:
        """All lines in as few runs as come of taking the longest one first."""
        left = dict(enumerate(map(_pattern, self.terms)))
        made = []
        while left:
            first = next(iter(left))
            run = max((_run(left, first, step) for step in range(1, _STEPS + 1)), key=_length)
            for place in range(first, first + run.count * run.step, run.step):
                del left[place]
            made.append(run)
        return tuple(made)


def _length(run: Run) -> int:
    return run.count


_Pattern = tuple[int, tuple[float, ...]]
"""The first line of a sum, and the weights from there on."""


def _pattern(terms: tuple[tuple[int, float], ...]) -> _Pattern:
    low, high = terms[0][0], terms[-1][0]
    weights = [0.0] * (high - low + 1)
    for place, weight in terms:
        weights[place - low] += weight
    return low, tuple(weights)


def _run(left: dict[int, _Pattern], first: int, step: int) -> Run:
    """The longest run from a line on with this step, among the lines that are left."""
    source, weights = left[first]
    second = left.get(first + step)
    stride = second[0] - source if second is not None else 0
    count = 1
    while stride >= 0 and left.get(first + count * step) == (source + count * stride, weights):
        count += 1
    alone = count == 1
    return Run(first, 1 if alone else step, count, source, 1 if alone else stride, weights)


def linear(size: int, places: npt.NDArray[np.floating]) -> Lines:
    """Lines between two neighbours, at places that may be fractions; beyond the ends the last."""
    inside = np.clip(places.astype(np.float64), 0.0, size - 1)
    lower = np.floor(inside).astype(np.int64)
    return Lines(size, tuple(map(_between, lower.tolist(), (inside - lower).tolist())))


def _between(lower: int, share: float) -> tuple[tuple[int, float], ...]:
    return ((lower, 1.0 - share), (lower + 1, share)) if share else ((lower, 1.0),)


def nearest(size: int, places: Iterable[int]) -> Lines:
    """Lines that are each one of the input's."""
    return Lines(size, tuple(((int(place), 1.0),) for place in places))


def positions(way: str, size: int, made: int, factor: float) -> Floats32:
    """Where each line of a result lies in an input, in float32, as runtimes compute it.

    Parameters
    ----------
    way
        ONNX's name of a coordinate transformation; ``half_pixel`` and ``align_corners`` are
        TensorFlow Lite's of these names, ``asymmetric`` is what it does without them.
    size, made, factor
        Lines of the input and of the result, and the result's by the input's.

    Raises
    ------
    InputError
        If there is no such way.
    """
    number, scale = np.arange(made, dtype=np.float32), np.float32(factor)
    centre = (number + np.float32(0.5)) / scale - np.float32(0.5)
    if way == "half_pixel_symmetric":
        # The result's length before it was cut to a whole number moves the centre.
        return np.asarray(centre + np.float32(size / 2 * (1 - made / (factor * size))), np.float32)
    ways = {
        "asymmetric": number / scale,
        "half_pixel": centre,
        "pytorch_half_pixel": centre if made > 1 else 0 * number,
        "align_corners": number * np.float32((size - 1) / max(made - 1, 1)),
        "tf_half_pixel_for_nn": (number + np.float32(0.5)) / scale,
    }
    if way not in ways:
        raise InputError(f"coordinates must be {', '.join(ways)}, not {way}")
    return np.asarray(ways[way], np.float32)


@dataclass(frozen=True)
class Resize(
    Operator, title="resize", summary="weighted sums of rows, and of columns", reads=("x",)
):
    """Maps (H, W, C) whose rows and columns are weighted sums of the input's.

    Interpolation between neighbours, repeating, leaving out, and mirroring at the edges are all
    of this form: ``y[i, j, c] = sum of rows[i, h] * columns[j, w] * x[h, w, c]``.
    """

    rows: Lines
    columns: Lines

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If the lines are not of maps of this size, or there are none.
        """
        height, width, channels = image(shapes[0])
        for lines, size in ((self.rows, height), (self.columns, width)):
            inside = all(0 <= place < size for terms in lines.terms for place, _ in terms)
            if lines.size != size or not (inside and len(lines) and all(lines.terms)):
                raise InputError(f"rows {self.rows} and columns {self.columns} are not of a map "
                                 f"{shapes[0]}")  # fmt: skip
        return len(self.rows), len(self.columns), channels

    def real(self, *arrays: Array) -> Array:
        """All sums."""
        (x,) = arrays
        rows, columns = self.rows.places, self.columns.places
        if rows is not None and columns is not None:
            return np.ascontiguousarray(x[:, rows[:, None], columns])
        return _summed(x, self.rows.matrix, self.columns.matrix)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Each line's share of the errors of the sums that it is in."""
        return [_summed(error, self.rows.matrix.T, self.columns.matrix.T)]

    def macs(self, *shapes: Shape) -> int:
        """One for each term of each result."""
        counts = [sum(map(len, lines.terms)) for lines in (self.rows, self.columns)]
        return counts[0] * counts[1] * shapes[0][2]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Linear or nearest neighbours, of any size up to twice that of the input."""
        if len(shape) != 3:
            return None
        return cls(*(_draw(rng, size) for size in shape[:2])), ()


def _summed(x: Array, rows: Array, columns: Array) -> Array:
    """``rows @ x @ columns.T`` of maps (N, H, W, C)."""
    tall = np.tensordot(rows.astype(x.dtype), x, (1, 1))
    return np.ascontiguousarray(np.tensordot(columns.astype(x.dtype), tall, (1, 2)).transpose(
        2, 1, 0, 3
    ))  # fmt: skip


def _draw(rng: np.random.Generator, size: int) -> Lines:
    made = int(rng.integers(1, 2 * size + 1))
    if rng.integers(2):
        return nearest(size, rng.integers(0, size, made).tolist())
    return linear(size, positions("half_pixel", size, made, made / size))
