"""What random machines of every kind have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.config import Config

__all__ = ["fewer_lanes"]


def fewer_lanes(random: np.random.Generator, config: Config) -> Config:
    """The machine, half of the time with fewer lanes in its vector unit where its D allows that."""
    cycles, dim = int(random.choice((1, 1, 2, 4))), config.dim
    fits = dim % 2 == 0 if cycles == 2 else dim % 4 == 0 and dim & (dim - 1) == 0
    return replace(config, vector_lanes=dim // cycles if fits else 0)
