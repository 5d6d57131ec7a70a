"""What the int8 pipeline can do with each operator.

One row an operator; functions of single elements share one. What has no row is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.flatten import Flatten, Unflatten
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.resize import Resize
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = [
    "Place",
    "Rule",
    "Takes",
    "is_nothing",
    "keeps_codes",
    "multiplies_maps",
    "rule_of",
    "with_rules",
]


class Place(Enum):
    """Which unit works on an operator."""

    ARRAY = "array"
    VECTOR = "vector unit"
    BOTH = "array, vector unit"
    MEMORY = "memory layout"
    NOTHING = "nothing to do"


class Takes(Enum):
    """Which functions of single elements an operator can apply to its result."""

    NONE = 0
    ROUNDING = 1
    """Those that change no real number."""
    LIMITS = 2
    """Those that cut to an interval."""
    ALL = 3

    def allows(self, function: Operator) -> bool:
        """Whether a function is one of them."""
        if function.limits is None:
            return self is Takes.ALL
        least = Takes.ROUNDING if function.is_identity else Takes.LIMITS
        return self.value >= least.value


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is possible with an operator.

    Parameters
    ----------
    place
        Which unit works on it.
    takes
        Functions that it can apply to its result.
    adds
        Whether a sum with another map can join it.
    sums
        Whether it is such a sum.
    keeps_codes
        Whether its result's elements are those of its input, or zero, which is a code of every
        quantization; so codes stay codes.
    averages
        Whether its result's elements are means of its input's, in the same codes.
    joins
        Whether its inputs become parts of its result, where they lie.
    multiplies
        Whether it needs products of two maps, and tables.
    factors
        Places of inputs whose codes are factors as they are: real zero must be code 0.
    """

    place: Place
    takes: Takes = Takes.NONE
    adds: bool = False
    sums: bool = False
    keeps_codes: bool = False
    averages: bool = False
    joins: bool = False
    multiplies: bool = False
    factors: tuple[int, ...] = ()

    @property
    def inherits(self) -> bool:
        """Whether its result has the quantization of its input."""
        return self.keeps_codes or self.averages


_RULES: Mapping[type[Operator], Rule] = {
    Convolution: Rule(place=Place.ARRAY, takes=Takes.ALL, adds=True),
    TransposedConvolution: Rule(place=Place.ARRAY, takes=Takes.ALL),
    AveragePool: Rule(place=Place.ARRAY, takes=Takes.LIMITS),
    MaxPool: Rule(place=Place.VECTOR, takes=Takes.LIMITS, keeps_codes=True),
    Add: Rule(place=Place.VECTOR, takes=Takes.LIMITS, sums=True),
    Concat: Rule(place=Place.MEMORY, takes=Takes.ROUNDING, keeps_codes=True, joins=True),
    Shuffle: Rule(place=Place.ARRAY, keeps_codes=True),
    Reshape: Rule(place=Place.MEMORY, keeps_codes=True),
    Resize: Rule(place=Place.ARRAY, averages=True),
    Pad: Rule(place=Place.ARRAY, keeps_codes=True),
    Flatten: Rule(place=Place.NOTHING),
    Dropout: Rule(place=Place.NOTHING),
    LocalResponseNorm: Rule(place=Place.BOTH, multiplies=True),
    MatMul: Rule(place=Place.ARRAY, takes=Takes.ALL, factors=(1,)),
    Multiply: Rule(place=Place.VECTOR, takes=Takes.LIMITS, multiplies=True, factors=(1,)),
}
_FOLDED = frozenset(
    {BatchNorm, Dense, ReduceMax, ReduceMean, ReduceSum, Subtract, Transpose, Unflatten}
)
"""Operators that folding makes others of."""
_WITH_CONSTANTS = frozenset({Add, MatMul, Multiply, Subtract})
"""Operators of which any input may be a constant."""
_FUNCTION = Rule(place=Place.VECTOR, takes=Takes.ALL)


def rule_of(node: Node) -> Rule:
    """The rule of an operator.

    Raises
    ------
    InputError
        If there is none.
    """
    rule = _rule(node.op)
    if rule is None:
        raise InputError(f"{node.name}: {node.op.title} is not possible in int8")
    return rule


def with_rules(graph: Graph) -> Graph:
    """The network itself, if all of its operators are possible.

    Raises
    ------
    InputError
        If one is not.
    """
    for node in graph.nodes:
        if type(node.op) not in _FOLDED and node.op.kind is not Kind.HOST:
            rule_of(node)
        fixed = {place for place, v in enumerate(graph.inputs_of(node)) if v.role.is_constant}
        if fixed - node.op.constants and type(node.op) not in _WITH_CONSTANTS:
            raise InputError(f"{node.name}: {node.op.title} of a constant is not possible in int8")
    return graph


def keeps_codes(op: Operator) -> bool:
    """Whether an operator makes no other codes of the codes that it gets."""
    rule = _rule(op)
    return rule is not None and rule.keeps_codes


def multiplies_maps(op: Operator) -> bool:
    """Whether an operator needs products of two maps."""
    rule = _rule(op)
    return rule is not None and rule.multiplies


def is_nothing(op: Operator) -> bool:
    """Whether nothing is left of an operator on the machine."""
    rule = _rule(op)
    return rule is not None and rule.place is Place.NOTHING


def _rule(op: Operator) -> Rule | None:
    return _RULES.get(type(op), _FUNCTION if op.is_elementwise else None)
