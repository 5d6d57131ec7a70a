"""Self-attention as operators that there are already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["Projections", "attention", "tokenwise"]


@dataclass(frozen=True, eq=False)
class Projections:
    """Weights of an attention of C channels.

    Parameters
    ----------
    query, key, value
        (C, D), each head D / heads columns of them.
    output
        (D, C).

    Biases are 0 at first.
    """

    query: Floats
    key: Floats
    value: Floats
    output: Floats


def tokenwise(builder: Builder, weight: Floats, name: str, source: str = "") -> str:
    """The same dense layer, weights (C, N) and biases 0, of each token of a map (1, S, C)."""
    kernel = np.asarray(weight, np.float64)[None, None]
    return builder.convolution(kernel, name=name, source=source).last


def attention(
    builder: Builder,
    weights: Projections,
    heads: int,
    *,
    causal: bool = False,
    name: str = "attention",
    source: str = "",
) -> str:
    """Scaled dot-product attention of a map (1, S, C) to itself (Vaswani et al. 2017).

    The factor 1 / sqrt(D / heads) is part of the weights of queries. Outputs of heads are added up
    through a projection each, which is one projection of all of them side by side.

    Parameters
    ----------
    builder
        Takes the operators.
    weights, heads
        Projections, and into how many heads D falls.
    causal
        Whether a token sees no later ones.
    name
        Begins the names of all operators.
    source
        What is read; the last result unless it is given.

    Returns
    -------
    The name of the result, a map (1, S, C).

    Raises
    ------
    InputError
        If D is no multiple of the heads.
    """
    width, source = np.shape(weights.query)[1], source or builder.last
    if heads < 1 or width % heads:
        raise InputError(f"{name}: {width} columns do not fall into {heads} heads")
    size, total = width // heads, ""
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        query, key, value = (
            tokenwise(builder, array[:, part], f"{name}.{what}{head}", source)
            for what, array in (
                ("query", np.asarray(weights.query) * size**-0.5),
                ("key", weights.key),
                ("value", weights.value),
            )
        )
        builder.matmul(key, f"{name}.scores{head}", transpose_b=True, source=query)
        builder.softmax(f"{name}.softmax{head}", causal=causal)
        builder.matmul(value, f"{name}.mixed{head}")
        result = tokenwise(builder, weights.output[part], f"{name}.output{head}")
        total = builder.add(total, f"{name}.sum{head}").last if total else result
    return total
