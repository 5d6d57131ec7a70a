"""TensorFlow Lite's operators that are made of several, in real numbers; truth is 1 or 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.ir.operator import Operator as Op
from pulsarray.compiler.ir.value import Value, constant
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.log import Log
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.maximum import Maximum
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.power import Power, Root
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceSum
from pulsarray.compiler.ops.sign import Absolute, Negate, Sign
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.step import Step
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.whole import Floor
from pulsarray.errors import InputError

__all__ = ["COMPOSED", "added", "composed", "cumulative", "log_softmax", "normalized", "power",
           "reduced", "response"]  # fmt: skip

_TINY = 1e-6
"""The smallest norm by which L2_NORMALIZATION divides."""


class Steps:
    """Puts operators on the way to a result."""

    def __init__(self, network: RealNetwork, operator: Operator) -> None:
        self._network, self._operator = network, operator

    def __call__(self, op: Op, *values: Value) -> Value:
        """An operator's result."""
        return self._network.step(self._operator, op, *values)

    def number(self, value: float) -> Value:
        """A constant of one number."""
        return self.array(np.array([value]))

    def array(self, values: np.ndarray) -> Value:
        """A constant."""
        draft = self._network.draft
        name = f"{self._network.target(self._operator).name}.constant"
        return draft.values[draft.hold(constant(name, values))]


Compose = Callable[..., Value]


def _not(step: Steps, x: Value) -> Value:
    return step(Subtract(), step.number(1.0), x)


def _greater(step: Steps, a: Value, b: Value) -> Value:
    return step(Step(), step(Subtract(), a, b))


def _unequal(step: Steps, a: Value, b: Value) -> Value:
    return step(Absolute(), step(Sign(), step(Subtract(), a, b)))


def _select(step: Steps, condition: Value, a: Value, b: Value) -> Value:
    """One of two values; a constant condition rounds nothing."""
    if condition.role.is_constant:
        other = step.array(1.0 - condition.array)
        return step(Add(), step(Multiply(), a, condition), step(Multiply(), b, other))
    if b.role.is_constant and not b.array.any():
        return step(Multiply(), a, condition)
    if a.role.is_constant and not a.array.any():
        return step(Multiply(), b, _not(step, condition))
    if a.role.is_constant and b.role.is_constant:
        difference = step.array(a.array - b.array)
        return step(Add(), step(Multiply(), condition, difference), b)
    return step(Add(), step(Multiply(), step(Subtract(), a, b), condition), b)


def _floor_quotient(step: Steps, a: Value, b: Value) -> Value:
    return step(Floor(), step(Divide(), a, b))


def _remainder(step: Steps, a: Value, b: Value) -> Value:
    return step(Subtract(), a, step(Multiply(), b, _floor_quotient(step, a, b)))


COMPOSED: Mapping[str, Compose] = {
    "EQUAL": lambda step, a, b: _not(step, _unequal(step, a, b)),
    "FLOOR_DIV": _floor_quotient,
    "FLOOR_MOD": _remainder,
    "GREATER": _greater,
    "GREATER_EQUAL": lambda step, a, b: _not(step, _greater(step, b, a)),
    "LESS": lambda step, a, b: _greater(step, b, a),
    "LESS_EQUAL": lambda step, a, b: _not(step, _greater(step, a, b)),
    "LOGICAL_AND": lambda step, a, b: step(Multiply(), a, b),
    "LOGICAL_NOT": _not,
    "LOGICAL_OR": lambda step, a, b: step(Maximum(), a, b),
    "NOT_EQUAL": _unequal,
    "SELECT": _select,
    "SELECT_V2": _select,
}
"""From all operands, some of which may be constant, to the result."""


def composed(network: RealNetwork, operator: Operator) -> Value:
    """What is made of operands element by element."""
    values = [network.operand(operator, place) for place in range(len(operator.inputs))]
    if len(values) != (1 if operator.kind == "LOGICAL_NOT" else 2 + ("SELECT" in operator.kind)):
        raise InputError(f"has {len(values)} inputs")
    condition = values[0]
    each = operator.kind == "SELECT" and len(condition.shape) == 1 < len(values[-1].shape)
    if each and condition.size > 1:
        raise InputError("a condition for each of the first axis is not supported")
    return COMPOSED[operator.kind](Steps(network, operator), *values)


def reduced(network: RealNetwork, operator: Operator) -> Value:
    """REDUCE_MIN, REDUCE_ALL: the largest of what is negative."""
    step, op = Steps(network, operator), network.reduction(operator, ReduceMax)
    return step(Negate(), step(op, step(Negate(), network.value(operator))))


def power(network: RealNetwork, operator: Operator) -> Value:
    """POW with a constant exponent, or with a constant base above 0."""
    step, places = Steps(network, operator), (0, 1)
    known = [network.is_constant(network.tensor(operator, place)) for place in places]
    if not any(known):
        raise InputError("needs a constant exponent or base")
    numbers = network.real_constant(operator, known.index(True), "exponent or base").reshape(-1)
    if not numbers.size or (numbers != numbers[0]).any():
        raise InputError("needs one exponent or base")
    number = float(numbers[0])
    if known[1]:
        op = Square() if number == 2.0 else Root() if number == 0.5 else Power(number)
        return step(op, network.value(operator))
    if number <= 0.0:
        raise InputError(f"needs a base above 0, not {number}")
    scaled = step(Multiply(), network.value(operator, 1), step.number(float(np.log(number))))
    return step(Exp(), scaled)


def normalized(network: RealNetwork, operator: Operator) -> Value:
    """L2_NORMALIZATION along the last axis."""
    step, x = Steps(network, operator), network.value(operator)
    norm = step(Root(), step(ReduceSum((-1,)), step(Square(), x)))
    return step(Divide(), x, step(Clip(low=_TINY), norm))


def log_softmax(network: RealNetwork, operator: Operator) -> Value:
    """LOG_SOFTMAX along the last axis."""
    step, x = Steps(network, operator), network.value(operator)
    centred = step(Subtract(), x, step(ReduceMax((-1,)), x))
    return step(Subtract(), centred, step(Log(), step(ReduceSum((-1,)), step(Exp(), centred))))


def response(network: RealNetwork, operator: Operator) -> Value:
    """LOCAL_RESPONSE_NORMALIZATION: alpha is that of a single square."""
    size = 2 * operator.option("Radius") + 1
    alpha, beta, bias = (
        float(operator.options.get(name, 0.0)) for name in ("Alpha", "Beta", "Bias")
    )
    op = LocalResponseNorm(size, alpha * size, beta, bias)
    return network.step(operator, op, network.value(operator))


def cumulative(network: RealNetwork, operator: Operator) -> Value:
    """CUMSUM: a product with ones on one side of the diagonal."""
    value, tensor = network.value(operator), network.tensor(operator, 0)
    (axis,) = network.integers(operator, 1, "axis") or [0]
    place = network.axis(tensor, axis)
    size, behind = value.shape[place], value.shape[len(value.shape) + place + 1 :]
    network.spend(size * size)
    ones = np.tri(size, k=-operator.option("Exclusive"))
    ones = ones.T if operator.option("Reverse") else ones
    step = Steps(network, operator)
    if not behind or behind == (1,) * len(behind):
        row = network.shaped(operator, value, (value.size // size, size))
        return network.shaped(operator, step(MatMul(), row, step.array(ones.T.copy())), value.shape)
    raise InputError("must be along the last axis")


def added(network: RealNetwork, operator: Operator) -> Value:
    """ADD_N."""
    values: Sequence[Value] = [network.operand(operator, k) for k in range(len(operator.inputs))]
    total = values[0]
    for value in values[1:]:
        total = network.step(operator, Add(), total, value)
    if len(values) < 2:
        raise InputError("needs two values or more")
    return total
