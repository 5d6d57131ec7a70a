"""Maps that are nothing but another way to see a map: heads of attention, channels repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.lower.traits import traits_of
from pulsarray.compiler.machine.views import Stored
from pulsarray.compiler.ops.integer.moving import Join, Repeat, Split

__all__ = ["Alias", "seen_as"]


@dataclass(frozen=True)
class Alias:
    """A map that lies inside another one.

    Parameters
    ----------
    parent
        The other one.
    block
        From which of its channel blocks on, with as many pixels.
    part
        Channel blocks of a row, where each row is the next ones of the other one's only row.
    repeated
        Whether all of its blocks are the other one's only one.
    """

    parent: str
    block: int = 0
    part: int = 0
    repeated: bool = False

    def within(self, parent: Stored) -> Stored:
        """Where it begins, and its steps; shape and zero point are still the other one's."""
        if parent.laid is None and not self.part and not self.repeated:
            return replace(parent, block=parent.block + self.block)
        block, image, row, column = parent.steps
        row = block * self.part if self.part else row
        steps = (0 if self.repeated else block, image, row, column)
        return replace(parent, laid=(steps, parent.origin + self.block * block))


def seen_as(graph: Graph, node: Node, dim: int) -> tuple[str, Alias] | None:
    """Which map of an operator that moves codes is a view of which; None where they must move.

    Words then lie apart, so whoever reads or writes them must be able to.
    """
    op, source, result = node.op, node.inputs[0], node.output
    if isinstance(op, Repeat) and graph.values[source].shape[2] == dim:
        alias = result, Alias(source, repeated=True)
    elif isinstance(op, Split | Join) and op.rows:
        one, other = (result, source) if isinstance(op, Split) else (source, result)
        channels = graph.values[one].shape[2]
        alias = one, Alias(other, part=channels // dim)
        if channels % dim:
            return None
    else:
        return None
    if isinstance(op, Join) and graph.uses[source] > 1:
        return None
    others = [n for n in graph.nodes if n is not node and alias[0] in (*n.inputs, n.output)]
    inside = alias[0] not in graph.outputs and not graph.values[alias[0]].role.is_constant
    return alias if inside and others and _anywhere(others) else None


def _anywhere(nodes: Sequence[Node]) -> bool:
    return all(traits_of(node.op).anywhere for node in nodes)
