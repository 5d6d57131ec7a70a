"""Roundings go before what only chooses among its inputs' elements: no value changes.

Functions of single elements commute with ``Flatten``, ``Shuffle`` and ``Concat``; those that never
fall, as all here, also with ``MaxPool``. Limits commute with rounding if they are rounded, too.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace

from pulsarray.compiler.graph import Activate, Flatten, Node
from pulsarray.compiler.quantization.fuse import CURVES
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.spatial import Concat, MaxPool, Shuffle

__all__ = ["hoist"]


def hoist(
    nodes: Sequence[Node],
    source: str,
    rounded: MutableMapping[str, Quantization],
    is_rounded: Callable[[str], bool],
) -> list[Node]:
    """The operators with functions before what chooses, where that reads what is not rounded.

    Parameters
    ----------
    nodes
        Operators in order; values that are not rounded have one reader each.
    source
        The network's input: limits of it, too, go behind its rounding.
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
        limit = isinstance(node, Activate) and node.function not in CURVES and not node.is_identity
        early = limit and node.inputs == (source,) and reader is not None and _rounds(made[reader])
        late = isinstance(node, MaxPool | Flatten | Shuffle | Concat) and not all(
            is_rounded(name) for name in node.inputs
        )
        if reader is None or not (early or late) or is_rounded(node.output):
            place -= 1
            continue
        function = made.pop(reader)
        assert isinstance(function, Activate)
        swapped = _swapped(node, function, rounded)
        made[place : place + 1] = swapped
        place += len(swapped) - 1
    return made


def _reader(nodes: Sequence[Node], place: int) -> int | None:
    """Place of the function that alone reads an operator's result."""
    readers = [k for k, other in enumerate(nodes) if nodes[place].output in other.inputs]
    alone = len(readers) == 1 and isinstance(nodes[readers[0]], Activate)
    return readers[0] if alone else None


def _rounds(node: Node) -> bool:
    return isinstance(node, Activate) and node.is_identity


def _swapped(
    node: Node, function: Activate, rounded: MutableMapping[str, Quantization]
) -> list[Node]:
    """The function of each of an operator's inputs, then the operator."""
    made: list[Node] = []
    names: list[str] = []
    for number, name in enumerate(node.inputs):
        output = f"{function.output} before {node.name} {number}"
        label = f"{function.name} before {node.name} {number}"
        made.append(replace(function, name=label, input=name, output=output))
        names.append(output)
        if function.output in rounded:
            rounded[output] = rounded[function.output]
    if isinstance(node, Concat):
        return [*made, replace(node, inputs=tuple(names), output=function.output)]
    return [*made, replace(node, input=names[0], output=function.output)]  # type: ignore[arg-type]
