"""Steps: what the machine does in one go, before a result is rounded."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Floats

__all__ = ["Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """An operator, with the functions and the sum that are computed together with it.

    Parameters
    ----------
    node
        The operator; a function where nothing before it can take it in.
    sources
        Names of the maps that it reads, constant ones too.
    constants
        Weight and bias of products.
    output
        Name of the result.
    raw
        Name of the value before the functions (but with the residual).
    applied
        Functions of single elements that follow, in order.
    residual
        Name of a value that is added before the functions; only with a convolution.
    """

    node: Node
    sources: tuple[str, ...]
    constants: tuple[Array, ...]
    output: str
    raw: str
    applied: tuple[Node, ...] = ()
    residual: str | None = None

    @property
    def name(self) -> str:
        """Name of the operator."""
        return self.node.name

    @property
    def source(self) -> str:
        """The first value that it reads."""
        return self.sources[0]

    @property
    def op(self) -> Operator:
        """What the operator is."""
        return self.node.op

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that it reads, the residual too."""
        return self.sources if self.residual is None else (*self.sources, self.residual)

    @property
    def functions(self) -> tuple[Node, ...]:
        """All functions, with that which is the operator itself."""
        first = (self.node,) if self.op.is_elementwise else ()
        return (*first, *self.applied)

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval that all functions together cut to; None if one of them is a curve."""
        if any(function.op.limits is None for function in self.functions):
            return None
        low, high = self.activate(np.array([-inf, inf]))
        return float(low), float(high)

    def activate(self, values: Floats) -> Floats:
        """All functions of real values; where one has no result, that of the nearest that has."""
        for function in self.functions:
            with np.errstate(all="ignore"):
                values = _everywhere(values, function.op.real(values))
        return values


def _everywhere(values: Floats, results: Floats) -> Floats:
    """Results of a function, those that are no numbers replaced by that of the nearest value."""
    good = np.isfinite(results) | np.isinf(values)
    if good.all() or not good.any():
        return results
    nearest = abs(values[~good, None] - values[good]).argmin(axis=1)
    filled = results.copy()
    filled[~good] = results[good][nearest]
    return filled
