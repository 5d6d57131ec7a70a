"""What each operator of a training step computes on mantissas, bit for bit (docs/training.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.numerics.exponents import (
    BIAS,
    CODE_ONE,
    DERIVATIVES,
    FRACTION,
    GUARD,
    PROBABILITY,
    SLOPE,
)
from pulsarray.compiler.numerics.mantissas import (
    blen,
    exact,
    factor,
    in_floats,
    limited,
    rne,
    sym,
)
from pulsarray.compiler.numerics.quotients import softmax
from pulsarray.compiler.numerics.tables import table
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.causal_softmax import CausalSoftmax, allowed
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.gradient import Gradient, Same, Total
from pulsarray.compiler.ops.loss import LossGradient
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import ScaleShift
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.training.gradients import GRADIENT
from pulsarray.compiler.passes.training.maps import function_name
from pulsarray.compiler.training.gradients import class_gradient, gate, loss_gradient
from pulsarray.compiler.training.losses import ALIGNED
from pulsarray.compiler.training.scales import Scales

__all__ = ["Part", "Run", "computed"]

Ints = npt.NDArray[np.int64]
_ZERO = np.zeros((), np.int64)
Part = tuple[Ints, int]
"""Mantissas, and their exponent."""


class Run(Protocol):
    """What a pass over the graph lends to operators."""

    scales: Scales
    segments: int

    def rounded(self, node: Node, values: Ints, exponent: int) -> Part:
        """A result from exact values, by its format."""

    def scale_of(self, node: Node) -> str:
        """Name of the exponent that a result has, or is about to be requantized to."""


@dataclass(frozen=True)
class _Result:
    """How the result of an operator is kept."""

    node: Node
    run: Run

    @property
    def segments(self) -> int:
        """Of the function tables."""
        return self.run.segments

    def rounded(self, values: Ints, exponent: int) -> Part:
        """The result from exact values, by its format."""
        return self.run.rounded(self.node, values, exponent)

    def guarded(self, level: int) -> int:
        """The exponent with guard bits below that of a result of so many bits above 2^0."""
        name = self.run.scale_of(self.node)
        self.run.scales.expect(name, level)
        return limited(self.run.scales[name] - GUARD)


@singledispatch
def computed(op: Operator, node: Node, parts: Sequence[Part], run: Run) -> Part:
    """The result of an operator from what it reads."""
    return op.mantissas(parts, _Result(node, run))


# What a definition in real numbers says of integers, too


@computed.register
def _(op: Convolution | ScaleShift, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (x, e_x), (weight, e_weight), (bias, _) = parts
    exponent, nothing = e_x + e_weight, np.zeros_like(bias)
    sums = exact(op.real, x, weight, nothing) + rne(bias, exponent - BIAS)
    return run.rounded(node, sums, exponent)


@computed.register
def _(op: MatMul | Multiply, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (a, e_a), (b, e_b) = parts
    return run.rounded(node, exact(op.real, a, b), e_a + e_b)


@computed.register
def _(op: MaxPool, _node: Node, parts: Sequence[Part], _run: Run) -> Part:
    ((x, e_x),) = parts
    return in_floats(op.real, x), e_x


@computed.register
def _(op: AveragePool, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (mantissa, e_share), ((x, e_x),) = factor(op.share, node.name), parts
    return run.rounded(node, op.total(x) * mantissa, e_x + e_share)


# What rounds by itself


@computed.register
def _(op: Dropout, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (x, e_x), *masks = parts
    if not masks:
        return run.rounded(node, x, e_x)
    mantissa, e_share = factor(op.share, node.name)
    return run.rounded(node, x * masks[0][0] * mantissa, e_x + e_share)


@computed.register
def _(_op: Add, node: Node, parts: Sequence[Part], run: Run) -> Part:
    return run.rounded(node, *_total(node, parts, run))


@computed.register
def _(_op: Subtract, node: Node, parts: Sequence[Part], run: Run) -> Part:
    plus, (minus, e_minus) = parts
    return run.rounded(node, *_total(node, (plus, (-minus, e_minus)), run))


@computed.register
def _(_op: Total, node: Node, parts: Sequence[Part], run: Run) -> Part:
    if node.output.endswith(GRADIENT):
        return _exact_total(parts)
    return run.rounded(node, *(parts[0] if len(parts) == 1 else _total(node, parts, run)))


def _exact_total(parts: Sequence[Part]) -> Part:
    """The sum of what layers give that share weights: at one exponent, once those are found."""
    exponent = max(e_values for _, e_values in parts)
    return sum((rne(values, exponent - e_values) for values, e_values in parts), _ZERO), exponent


def _total(node: Node, parts: Sequence[Part], run: Run) -> Part:
    """The sum of several tensors, 32 bits, with guard bits below the exponent of the result."""
    name = run.scale_of(node)
    run.scales.expect(name, max(blen(values) + exponent for values, exponent in parts))
    exponent = limited(run.scales[name] - GUARD)
    sums = rne(parts[0][0], exponent - parts[0][1])
    for values, e_values in parts[1:]:
        sums = sym(sums + rne(values, exponent - e_values), 32)
    return sums, exponent


@computed.register
def _(_op: Same, _node: Node, parts: Sequence[Part], _run: Run) -> Part:
    return parts[0]


@computed.register
def _(op: Function, node: Node, parts: Sequence[Part], run: Run) -> Part:
    ((x, e_x),), name = parts, function_name(op)
    rule = DERIVATIVES[name]
    if rule.steps:
        return np.where(x > 0, np.int64(1 << -CODE_ONE), np.int64(0)), CODE_ONE
    if rule.argument is None:
        codes, exponent = run.rounded(node, x, e_x)
        return np.maximum(codes, 0) if name == "relu" else codes, exponent
    looked_up = _looked_up(name, rule.argument, parts[0], run)
    if rule.gated:
        return run.rounded(node, x * looked_up, e_x + FRACTION)
    return looked_up, FRACTION


def _looked_up(name: str, argument: int, part: Part, run: Run) -> Ints:
    """A function table of mantissas."""
    return table(name, run.segments)(sym(rne(part[0], argument - part[1]), 16))


@computed.register
def _(_op: Softmax, node: Node, parts: Sequence[Part], run: Run) -> Part:
    ((x, e_x),) = parts
    return run.rounded(node, softmax(x, e_x, run.segments), PROBABILITY)


@computed.register
def _(_op: CausalSoftmax, node: Node, parts: Sequence[Part], run: Run) -> Part:
    ((x, e_x),) = parts
    seen = allowed(x.shape[1:])
    return run.rounded(node, softmax(x, e_x, run.segments, seen), PROBABILITY)


@computed.register
def _(op: LossGradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (z, e_z), (target, e_target) = parts
    if op.loss.name == "cross-entropy":
        return run.rounded(node, class_gradient(z, target), e_z)
    slope = loss_gradient(op.loss, z, e_z, target, e_target, run.segments)
    exponent = op.loss.rule.error
    if exponent is None:
        return run.rounded(node, slope, ALIGNED)
    return slope, exponent if isinstance(exponent, int) else e_target


# Gradients


@computed.register
def _(op: Gradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    return _gradient(op.of, op, node, parts, run)


@singledispatch
def _gradient(_of: Operator, op: Gradient, _node: Node, parts: Sequence[Part], _run: Run) -> Part:
    """The gradient of an operator: of products exact, whatever the result's format."""
    arrays, exponents = zip(*parts, strict=True)
    return exact(op.real, *arrays), sum(exponents)


@_gradient.register
def _(_of: Softmax, _op: Gradient, _node: Node, parts: Sequence[Part], _run: Run) -> Part:
    (y, e_y), (error, e_error) = parts
    along = rne(-(error * y).sum(axis=-1, keepdims=True), -GUARD - e_y)
    return sym(rne(error, -GUARD) + along, 32) * y, e_error + e_y - GUARD


@_gradient.register
def _(_of: MaxPool, op: Gradient, _node: Node, parts: Sequence[Part], _run: Run) -> Part:
    (x, _), (y, _), (error, e_error) = parts
    return in_floats(op.real, x, y, error), e_error


@_gradient.register
def _(of: AveragePool, op: Gradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (mantissa, e_share), ((error, e_error),) = factor(of.share, node.name), parts
    return run.rounded(node, of.spread(error * mantissa, op.shapes[0]), e_error + e_share)


@_gradient.register
def _(of: Function, _op: Gradient, node: Node, parts: Sequence[Part], run: Run) -> Part:
    (value, e_value), (error, e_error) = parts
    name = function_name(of)
    rule = DERIVATIVES[name]
    if rule.gated and rule.argument is not None:
        slope = _looked_up(f"{name}{SLOPE}", rule.argument, (value, e_value), run)
        return run.rounded(node, error * slope, e_error + CODE_ONE)
    return run.rounded(node, *gate(name, error, e_error, value))
