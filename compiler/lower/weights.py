"""Weights of a convolution as tiles of the array, and constants as rows of the parameter bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import ranges
from pulsarray.program import Tensor

__all__ = ["Slice", "Tiles", "parameter_rows", "place_weights", "slices_of", "tiles_of"]

Bytes = npt.NDArray[np.int8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tiles:
    """What one input contributes to every channel block of the result.

    Parameters
    ----------
    values
        int8 (blocks of the result, kh, kw, blocks of the input, D, D): rows are input lanes.
    starts
        First channel block of the input that each block of the result sees.
    """

    values: Bytes
    starts: Sequence[int]

    @property
    def depth(self) -> int:
        """Channel blocks of the input that a block of the result sees."""
        return int(self.values.shape[3])


@dataclass(frozen=True)
class Slice:
    """What a step multiplies: blocks and kernel rows of one input.

    Parameters
    ----------
    term
        Number of the input.
    blocks
        Channel blocks, counted from the first that the result's block sees.
    taps
        Kernel rows.
    offset, words
        Where its weights are among those of a block of the result, in words.
    """

    term: int
    blocks: tuple[int, int]
    taps: tuple[int, int]
    offset: int
    words: int


def tiles_of(weight: npt.NDArray[np.generic], groups: int, dim: int) -> Tiles:
    """Tiles of a weight (kh, kw, C / groups, N).

    Groups make the matrix block diagonal: of it, a block of the result keeps what is not zero.
    """
    kh, kw, per_group, count = weight.shape
    blocks = -(-count // dim)
    if groups == 1:
        depth = -(-per_group // dim)
        padded = np.zeros((kh, kw, depth * dim, blocks * dim), np.int8)
        padded[:, :, :per_group, :count] = weight
        split = padded.reshape(kh, kw, depth, dim, blocks, dim)
        return Tiles(np.ascontiguousarray(split.transpose(4, 0, 1, 2, 3, 5)), [0] * blocks)
    results = count // groups
    first = [(block * dim // results) * per_group // dim for block in range(blocks)]
    last = [
        (((min(count, (block + 1) * dim) - 1) // results + 1) * per_group - 1) // dim
        for block in range(blocks)
    ]
    depth = max(high - low + 1 for low, high in zip(first, last, strict=True))
    total = -(-per_group * groups // dim)
    starts = [min(low, total - depth) for low in first]
    values = np.zeros((blocks, kh, kw, depth, dim, dim), np.int8)
    for block, start in enumerate(starts):
        flat = values[block].reshape(kh, kw, depth * dim, dim)
        for lane in range(min(dim, count - block * dim)):
            result = block * dim + lane
            low = result // results * per_group - start * dim
            flat[:, :, low : low + per_group, lane] = weight[:, :, :, result]
    return Tiles(values, starts)


def slices_of(terms: Sequence[Tiles], depth: int, taps: int) -> list[Slice]:
    """Steps over the inputs: at most ``depth`` blocks and ``taps`` kernel rows each."""
    slices, offset = [], 0
    for number, term in enumerate(terms):
        _, kh, kw, blocks, dim, _ = term.values.shape
        parts = product(ranges((0, blocks), depth), ranges((0, kh), taps))
        for (low, high), (top, bottom) in parts:
            words = (bottom - top) * kw * (high - low) * dim
            slices.append(Slice(number, (low, high), (top, bottom), offset, words))
            offset += words
    return slices


def place_weights(
    layout: Layout, name: str, terms: Sequence[Tiles], slices: Sequence[Slice], columns: int
) -> Tensor:
    """Bring the weights to memory in the order of the slices: block j is all steps of block j."""
    blocks, *_, dim = terms[0].values.shape
    parts = [
        terms[s.term]
        .values[:, s.taps[0] : s.taps[1], :, s.blocks[0] : s.blocks[1]]
        .reshape(blocks, s.words, dim)
        for s in slices
    ]
    words = np.concatenate(parts, axis=1)
    config = layout.config
    padded = np.zeros((*words.shape[:2], config.word_bytes), np.int8)
    padded[:, :, :dim] = words
    return layout.add(
        f"{name}.weight",
        "weight",
        words.shape[1],
        columns,
        words=padded.reshape(-1).view(np.uint8),
    )


def parameter_rows(
    layout: Layout,
    name: str,
    bias: Ints,
    multiplier: Ints,
    shift: Ints,
    dim: int,
    constant: Ints | None = None,
) -> Tensor:
    """Rows of bias, multiplier, shift and constant, one row a channel block."""
    blocks = -(-len(bias) // dim)
    rows = np.zeros((blocks * dim, PARAMETER_COLUMNS), np.int64)
    columns = np.broadcast_arrays(bias, multiplier, shift, 0 if constant is None else constant)
    rows[: len(bias)] = np.stack(columns, axis=1)
    words = rows.reshape(blocks, dim, PARAMETER_COLUMNS).transpose(0, 2, 1)
    return layout.add(
        f"{name}.parameters",
        "constant",
        blocks * PARAMETER_COLUMNS,
        dim,
        element="sum",
        values=words.reshape(-1, dim),
    )
