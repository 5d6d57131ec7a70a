"""Transformers that are trained here: the network that tells digits apart by their patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.compiler.attention import Projections, attention, tokenwise
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import TrainingData

__all__ = ["block", "digit_transformer", "patches"]

_SIDE, _PATCH, _WIDTH, _HEADS, _HIDDEN, _BLOCKS = 28, 7, 64, 4, 128, 2
_TOKENS = (_SIDE // _PATCH) ** 2
_CLASSES = 10


def patches(data: TrainingData) -> TrainingData:
    """Images of 28 x 28 pixels as 16 tokens: the 49 pixels of a patch, and which one it is.

    The number of the patch is one of 16 channels that are 1: their weights are what is learned for
    each position.
    """
    assert data.test_inputs is not None
    return replace(data, inputs=_tokens(data.inputs), test_inputs=_tokens(data.test_inputs))


def _tokens(images: Floats) -> Floats:
    count = len(images)
    side = _SIDE // _PATCH
    grid = images.reshape(count, side, _PATCH, side, _PATCH).transpose(0, 1, 3, 2, 4)
    place = np.broadcast_to(np.eye(_TOKENS), (count, _TOKENS, _TOKENS))
    return np.concatenate([grid.reshape(count, _TOKENS, -1), place], axis=2)[:, None]


def block(
    builder: Builder, random: np.random.Generator, heads: int, hidden: int, width: int,
    name: str, *, causal: bool = False,
) -> str:  # fmt: skip
    """A block of a transformer: attention and two dense layers, each after a normalization."""

    def normal(rows: int, columns: int) -> Floats:
        return random.normal(0, rows**-0.5, (rows, columns))

    source, ones, zeros = builder.last, np.ones(width), np.zeros(width)
    builder.layer_norm(ones, zeros, name=f"{name}.norm1")
    weights = Projections(*(normal(width, width) for _ in range(4)))
    attention(builder, weights, heads, causal=causal, name=f"{name}.attention")
    source = builder.add(source, f"{name}.add1").last
    builder.layer_norm(ones, zeros, name=f"{name}.norm2")
    tokenwise(builder, normal(width, hidden), f"{name}.fc1")
    builder.gelu(f"{name}.gelu")
    tokenwise(builder, normal(hidden, width), f"{name}.fc2")
    return builder.add(source, f"{name}.add2").last


def digit_transformer(seed: int) -> Graph:
    """Two blocks of four heads, 64 channels wide, on the 16 patches of a digit."""
    random = np.random.default_rng(seed)
    inputs = _PATCH * _PATCH + _TOKENS
    builder = Builder("mnist-transformer", (1, _TOKENS, inputs))
    first = random.normal(0, _PATCH**-1.0, (inputs, _WIDTH))
    first[_PATCH * _PATCH :] = random.normal(0, 0.1, (_TOKENS, _WIDTH))
    tokenwise(builder, first, "embedding")
    for number in range(_BLOCKS):
        block(builder, random, _HEADS, _HIDDEN, _WIDTH, f"block{number + 1}")
    builder.layer_norm(np.ones(_WIDTH), np.zeros(_WIDTH), name="norm")
    builder.global_average_pool(name="mean").flatten()
    weight = random.normal(0, _WIDTH**-0.5, (_WIDTH, _CLASSES))
    return builder.dense(weight, name="fc").softmax().build()
