"""What normalizations of a training step compute on mantissas (docs/training.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.numerics.exponents import (
    GUARD,
    NORMAL,
    SMALLER,
)
from pulsarray.compiler.numerics.mantissas import blen, limited
from pulsarray.compiler.numerics.normalization import (
    Mean,
    Normalized,
    normalize,
    normalize_channels,
    pull,
    pull_channels,
    pulled,
)
from pulsarray.compiler.ops.statistics import (
    BatchMean,
    ChannelMean,
    Normalize,
    NormalizeChannels,
    NormalizeChannelsGradient,
    NormalizeGradient,
)
from pulsarray.compiler.training.integer_nodes import Part, Run, computed

__all__: list[str] = []

Ints = npt.NDArray[np.int64]


def _mean(values: Ints, node: Node) -> Mean:
    return Mean.over(int(np.prod(values.shape[:3])), node.name.rpartition(".")[0])


def _along(values: Ints, node: Node) -> Mean:
    return Mean.along(values.shape[3], node.name.rpartition(".")[0])


@computed.register
def _(_op: BatchMean, node: Node, parts: Sequence[Part], _run: Run) -> Part:
    return _middle(parts, _mean(parts[0][0], node), axis=(0, 1, 2), keepdims=False)


@computed.register
def _(_op: ChannelMean, node: Node, parts: Sequence[Part], _run: Run) -> Part:
    return _middle(parts, _along(parts[0][0], node), axis=(3,), keepdims=True)


def _middle(parts: Sequence[Part], mean: Mean, axis: tuple[int, ...], *, keepdims: bool) -> Part:
    """Means of a value, or of its product with another at the exponent of that."""
    (x, e_x), *others = parts
    if not others:
        return mean(x.sum(axis=axis, keepdims=keepdims)), e_x
    ((y, e_y),) = others
    products = (x * y).sum(axis=axis, keepdims=keepdims)
    return np.clip(mean(products, e_x), -(1 << 15), (1 << 15) - 1), e_y


@computed.register
def _(op: Normalize, node: Node, parts: Sequence[Part], run: Run) -> Part:
    return _normal(op.epsilon, node, parts, run).values, NORMAL


@computed.register
def _(op: NormalizeChannels, node: Node, parts: Sequence[Part], run: Run) -> Part:
    return _normal_channels(op.epsilon, node, parts, run).values, NORMAL


def _normal(epsilon: float, node: Node, parts: Sequence[Part], run: Run) -> Normalized:
    (x, e_x), (middle, _) = parts
    return normalize(x, e_x, middle, _mean(x, node), epsilon, run.segments)


def _normal_channels(epsilon: float, node: Node, parts: Sequence[Part], run: Run) -> Normalized:
    (x, e_x), (middle, _) = parts
    return normalize_channels(x, e_x, middle, _along(x, node), epsilon, run.segments)


@computed.register
def _(op: NormalizeGradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (x, e_x), _, _, (along, _), (error, e_error), (scale, e_scale) = parts
    normal = _normal(op.epsilon, node, parts[:2], run)
    values, shifts = pull(error, normal, along, scale, _mean(x, node))
    lanes = (blen(values[..., c]) - int(shift) for c, shift in enumerate(shifts))
    exponent = e_error + e_scale - SMALLER - e_x
    return _guarded(node, values, shifts, exponent, max(lanes), run)


@computed.register
def _(op: NormalizeChannelsGradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (x, e_x), _, _, (along, _), (error, e_error) = parts
    normal = _normal_channels(op.epsilon, node, parts[:2], run)
    values, shifts = pull_channels(error, normal, along, _along(x, node))
    most = np.frexp(np.abs(values).max(axis=3, keepdims=True).astype(np.float64))[1]
    level = int((most - shifts).max())
    return _guarded(node, values, shifts, e_error - SMALLER - e_x, level, run)


def _guarded(node: Node, values: Ints, shifts: Ints, exponent: int, level: int, run: Run) -> Part:
    """Values after a last shift, with guard bits below the exponent of the result."""
    name = run.scale_of(node)
    run.scales.expect(name, level + exponent)
    guarded = limited(run.scales[name] - GUARD)
    return pulled(values, shifts, guarded - exponent), guarded
