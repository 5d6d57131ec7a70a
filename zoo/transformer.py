"""Transformers that are trained here: digits by their patches, and the next character of a text.

A token is a vector in which one element is 1: its weights are what is learned for each symbol, and
for each place. That is an embedding; its gradient is the product with the same vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pydoc_data.topics import topics

import numpy as np

from pulsarray.compiler.attention import Projections, attention, tokenwise
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import TrainingData

__all__ = ["CHARACTERS", "character_transformer", "digit_transformer", "patches", "text_windows"]

_SIDE, _PATCH, _CLASSES = 28, 7, 10
_PATCHES = (_SIDE // _PATCH) ** 2
_WIDTH, _HEADS, _HIDDEN, _BLOCKS = 64, 4, 128, 2
CHARACTERS = "\n !\"'()*,-./0123456789:;=[]_`abcdefghijklmnopqrstuvwxyz"
"""What a text is made of; all else becomes a space."""
_WINDOW, _TRAIN, _TEST = 32, 1600, 200


@dataclass(frozen=True, eq=False)
class _Layers:
    """Puts layers with random weights behind others."""

    builder: Builder
    random: np.random.Generator

    def normal(self, rows: int, columns: int) -> Floats:
        """Weights."""
        return self.random.normal(0, rows**-0.5, (rows, columns))

    def norm(self, name: str) -> None:
        """A layer normalization."""
        self.builder.layer_norm(np.ones(_WIDTH), np.zeros(_WIDTH), name=name)

    def embedding(self, symbols: int, places: int) -> None:
        """Of what a token has, and of its place."""
        place = self.random.normal(0, 0.1, (places, _WIDTH))
        weight = np.concatenate([self.normal(symbols, _WIDTH), place])
        tokenwise(self.builder, weight, "embedding")

    def block(self, name: str, *, causal: bool) -> None:
        """Attention and two dense layers, each after a normalization and beside a sum."""
        builder, source = self.builder, self.builder.last
        self.norm(f"{name}.norm1")
        weights = Projections(*(self.normal(_WIDTH, _WIDTH) for _ in range(4)))
        attention(builder, weights, _HEADS, causal=causal, name=f"{name}.attention")
        source = builder.add(source, f"{name}.add1").last
        self.norm(f"{name}.norm2")
        tokenwise(builder, self.normal(_WIDTH, _HIDDEN), f"{name}.fc1")
        builder.gelu(f"{name}.gelu")
        tokenwise(builder, self.normal(_HIDDEN, _WIDTH), f"{name}.fc2")
        builder.add(source, f"{name}.add2")


def _body(name: str, symbols: int, places: int, seed: int, *, causal: bool) -> _Layers:
    """Embedding, blocks, and a last normalization."""
    builder = Builder(name, (1, places, symbols + places))
    layers = _Layers(builder, np.random.default_rng(seed))
    layers.embedding(symbols, places)
    for number in range(_BLOCKS):
        layers.block(f"block{number + 1}", causal=causal)
    layers.norm("norm")
    return layers


def digit_transformer(seed: int) -> Graph:
    """Two blocks of four heads, 64 channels wide, on the 16 patches of a digit."""
    layers = _body("mnist-transformer", _PATCH**2, _PATCHES, seed, causal=False)
    layers.builder.global_average_pool(name="mean").flatten()
    return layers.builder.dense(layers.normal(_WIDTH, _CLASSES), name="fc").softmax().build()


def character_transformer(seed: int) -> Graph:
    """The same of characters, causal: what comes next after each of 32."""
    count = len(CHARACTERS)
    layers = _body("characters", count, _WINDOW, seed, causal=True)
    tokenwise(layers.builder, layers.normal(_WIDTH, count), "fc")
    return layers.builder.softmax().build()


def _with_places(tokens: Floats) -> Floats:
    """Tokens (N, S, C) as maps, each with the number of its place."""
    count, places, _ = tokens.shape
    place = np.broadcast_to(np.eye(places), (count, places, places))
    return np.concatenate([tokens, place], axis=2)[:, None]


def patches(data: TrainingData) -> TrainingData:
    """Images of 28 x 28 pixels as 16 tokens, the 49 pixels of a patch each."""
    assert data.test_inputs is not None
    inputs, test = (_with_places(_patches(x)) for x in (data.inputs, data.test_inputs))
    return replace(data, inputs=inputs, test_inputs=test)


def _patches(images: Floats) -> Floats:
    side, count = _SIDE // _PATCH, len(images)
    grid = images.reshape(count, side, _PATCH, side, _PATCH).transpose(0, 1, 3, 2, 4)
    return grid.reshape(count, _PATCHES, -1)


@cache
def text_windows() -> TrainingData:
    """Windows of the help texts that Python brings, and each character's next one."""
    text = "\n".join(topics[name] for name in sorted(topics)).lower()
    codes = np.array([CHARACTERS.find(c) if c in CHARACTERS else 1 for c in text])
    total = _TRAIN + _TEST
    starts = np.linspace(0, len(codes) - _WINDOW - 2, total).astype(np.int64)
    rows = codes[starts[:, None] + np.arange(_WINDOW + 1)]
    tokens = np.eye(len(CHARACTERS))[rows]
    x, t = _with_places(tokens[:, :-1]), tokens[:, 1:].reshape(total, -1)
    test = np.zeros(total, np.bool_)
    test[:: total // _TEST] = True
    return TrainingData(x[~test], t[~test], x[test], t[test])
