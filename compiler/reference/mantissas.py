"""Arithmetic on 16-bit mantissas with shared exponents, and what a walk measures for those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Shared16
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.mantissas import Part
from pulsarray.compiler.numerics.exponents import GUARD, ROOM
from pulsarray.compiler.numerics.mantissas import blen, limited, rne, sym

__all__ = ["Mantissas", "Scales"]

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


@dataclass(frozen=True)
class Mantissas:
    """The arithmetic of a walk over a network.

    Parameters
    ----------
    graph
        The network.
    scales
        Exponents with their statistics.
    segments
        Of the function tables.
    """

    graph: Graph
    scales: Scales
    segments: int

    def __call__(self, node: Node, values: Mapping[str, Part]) -> Part:
        """The result of an operator; what is missing among the values it can do without."""
        parts = [values[name] for name in node.inputs if name in values]
        return node.op.mantissas(parts, _Result(self, node))


@dataclass(frozen=True)
class _Result:
    """How the result of an operator is kept."""

    of: Mantissas
    node: Node

    @property
    def segments(self) -> int:
        """Of the function tables."""
        return self.of.segments

    def rounded(self, values: Ints, exponent: int) -> Part:
        """The result from exact values, by its format.

        Sums stay as they are, as does what is at a fixed exponent.
        """
        form, scales = self.of.graph.values[self.node.output].format, self.of.scales
        if not isinstance(form, Shared16) or form.fixed is not None:
            return values, exponent
        return scales.narrow(form.name, values, exponent), scales[form.name]

    def guarded(self, level: int) -> int:
        """The exponent with guard bits below that of a result of so many bits above 2^0."""
        name = self.of.graph.values[self.node.output].scale
        self.of.scales.expect(name, level)
        return limited(self.of.scales[name] - GUARD)
