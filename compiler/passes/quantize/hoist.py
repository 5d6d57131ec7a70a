"""Roundings go before what only chooses among its inputs' elements: no value changes.

Functions of single elements commute with what only moves them; those that never fall also with
what chooses, as a maximum does. Limits commute with rounding if they are rounded, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping, Sequence
from dataclasses import replace
from functools import singledispatch

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ops.flatten import Unflatten

__all__ = ["hoist"]


def hoist(
    nodes: Sequence[Node],
    sources: Collection[str],
    rounded: MutableMapping[str, Affine8],
    is_rounded: Callable[[str], bool],
) -> list[Node]:
    """The operators with functions before what chooses, where that reads what is not rounded.

    Parameters
    ----------
    nodes
        Operators in order; values that are not rounded have one reader each.
    sources
        The network's inputs: limits of them, too, go behind their rounding.
    rounded
        Quantization of rounded values; those that this makes are added.
    is_rounded
        Whether a value of ``nodes`` is rounded.
    """
    made = list(nodes)
    place = len(made) - 1
    while place >= 0:
        node = made[place]
        reader = _reader(made, place)
        if reader is None or is_rounded(node.output):
            place -= 1
            continue
        function = made[reader].op
        limit = node.op.limits is not None and not node.op.is_identity
        early = limit and node.inputs[0] in sources and function.is_identity
        late = _commutes(node.op, function) and not all(map(is_rounded, node.inputs))
        if not (early or late):
            place -= 1
            continue
        swapped = _swapped(node, made.pop(reader), rounded)
        made[place : place + 1] = swapped
        place += len(swapped) - 1
    return made


def _reader(nodes: Sequence[Node], place: int) -> int | None:
    """Place of the function that alone reads an operator's result."""
    readers = [k for k, other in enumerate(nodes) if nodes[place].output in other.inputs]
    alone = len(readers) == 1 and nodes[readers[0]].op.is_elementwise
    return readers[0] if alone else None


@singledispatch
def _commutes(op: Operator, function: Operator) -> bool:
    """Whether a function of an operator's result can as well come before it."""
    return op.only_moves or (op.only_chooses and function.is_monotonic)


@_commutes.register
def _(_op: Unflatten, _function: Operator) -> bool:
    """It becomes a product, which rounds anyway."""
    return False


def _swapped(node: Node, function: Node, rounded: MutableMapping[str, Affine8]) -> list[Node]:
    """The function of each of an operator's inputs, then the operator."""
    made: list[Node] = []
    names: list[str] = []
    for number, name in enumerate(node.inputs):
        output = f"{function.output} before {node.name} {number}"
        label = f"{function.name} before {node.name} {number}"
        made.append(replace(function, name=label, inputs=(name,), output=output))
        names.append(output)
        if function.output in rounded:
            rounded[output] = rounded[function.output]
    return [*made, replace(node, inputs=tuple(names), output=function.output)]
