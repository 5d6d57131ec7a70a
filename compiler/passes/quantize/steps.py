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
        Names of the values that it reads, without constants.
    constants
        Constants that it reads: weight and bias of products.
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
        own = (self.node,) if self.op.is_elementwise else ()
        return (*own, *self.applied)

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval that all functions together cut to; None if one of them is a curve."""
        if any(function.op.limits is None for function in self.functions):
            return None
        low, high = self.activate(np.array([-inf, inf]))
        return float(low), float(high)

    def activate(self, values: Floats) -> Floats:
        """All functions of real values; where one needs positive ones, of the least that is."""
        for function in self.functions:
            if 0 in function.op.positive:
                least = values.min(where=values > 0.0, initial=inf)
                values = np.maximum(values, least if least < inf else 1.0)
            values = function.op.real(values)
        return values
