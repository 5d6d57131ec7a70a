"""Shared exponents while a step runs, and what it measures for those of the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.mantissas import blen, limited, rne, sym
from pulsarray.compiler.training.rules import ROOM

__all__ = ["Scales"]

Ints = npt.NDArray[np.int64]


@dataclass
class Scales:
    """Exponents of a pass over the network, and the statistics that it gathers.

    Parameters
    ----------
    exponents
        By name.
    exact
        Whether each adaptive exponent becomes what its tensor needs.
    statistics
        By name, the largest bit length plus exponent of what was requantized.
    """

    exponents: dict[str, int]
    exact: bool = False
    statistics: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.exponents[name]

    def expect(self, name: str, level: int) -> None:
        """In the pass that finds exponents, aim at a level before anything is requantized."""
        if self.exact:
            self.exponents[name] = limited(level - ROOM)

    def narrow(self, name: str, values: Ints, exponent: int) -> Ints:
        """Values requantized to 16 bits at the adaptive exponent of a tensor."""
        level = blen(values) + exponent
        if level > exponent:
            # Zeros do not say how large the values of other batches are.
            self.statistics[name] = max(level, self.statistics.get(name, level))
        self.expect(name, self.statistics.get(name, 0))
        return sym(rne(values, self.exponents[name] - exponent), 16)
