"""Replaces wires that are used once by their expressions, where no value can change.

In Verilog an expression's place decides the width in which it is evaluated: the operands of a sum
are first extended to the width of what the sum is assigned to. A wire ends that, so its expression
may take its place only where the same width results.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container
from dataclasses import replace

from pulsarray.hw.verilog.expression import Expression, simplified
from pulsarray.hw.verilog.netlist import Netlist

__all__ = ["inline", "narrow", "whole"]

_UNNAMED = re.compile(r"_\d+_|signal\$\w+")
_LONGEST = 240


def narrow(module: Netlist) -> None:
    """Drop the upper bits of wires of which nothing but the lower bits is read."""
    read: dict[str, set[str]] = defaultdict(set)
    for value in module.uses():
        for leaf in value.leaves():
            read[leaf.base].add(leaf.text)
    written = Counter(target.text for target, _ in module.assigns)
    together = {part.base for target, _ in module.assigns for part in target.parts}
    kept = {}
    for name, texts in read.items():
        net = module.nets.get(name)
        if not net or net.direction or net.variable or len(texts) != 1 or name in together:
            continue
        (text,) = texts
        if (match := re.fullmatch(r"\[(\d+):0\]|\[(0)\]", text[len(name) :])) and written[
            text
        ] == 1:
            kept[name] = int(match[1] or match[2]) + 1
    for name, width in kept.items():
        module.nets[name].width = width
    module.assigns = [
        (whole(target, kept), value)
        for target, value in module.assigns
        if target.base not in kept or target.text in read[target.base]
    ]
    module.rewrite(lambda value, _: whole(value, kept))


def whole(node: Expression, kept: Container[str]) -> Expression:
    """The expression with the parts of narrowed wires written as the wires."""
    if node.base in kept:
        return replace(node, kind="name", text=node.base)
    return replace(node, parts=tuple(whole(part, kept) for part in node.parts))


def inline(module: Netlist) -> None:
    """Replace wires without a name of their own that are used once, and drop them."""
    module.assigns = [
        (target, simplified(value) if target.width == 1 else value)
        for target, value in module.assigns
    ]
    inliner = _Inliner(module)
    module.rewrite(inliner.value)
    module.assigns = [
        (target, value) for target, value in module.assigns if target.text not in inliner.replaced
    ]
    for name in inliner.replaced:
        del module.nets[name]


class _Inliner:
    """The values of the wires that may be replaced, and the wires that were."""

    def __init__(self, module: Netlist) -> None:
        self.replaced: set[str] = set()
        self._nets = module.nets
        uses = Counter(leaf.base for value in module.uses() for leaf in value.leaves())
        self._single = {
            target.base: value
            for target, value in module.assigns
            if target.kind == "name"
            and uses[target.base] == 1
            and not module.nets[target.base].direction
            and _UNNAMED.fullmatch(target.base)
        }
        self._done: dict[str, Expression] = {}

    def value(self, node: Expression, width: int) -> Expression:
        """All of what is assigned to a target of a width, or of a place without one (0)."""
        if width and self._may(node) and self._nets[node.base].width == width:
            return self._take(node)
        return self._operand(node, width)

    def _may(self, node: Expression) -> bool:
        return (
            node.kind == "name"
            and node.base in self._single
            and len(str(self._expression(node.base))) <= _LONGEST
        )

    def _expression(self, name: str) -> Expression:
        if name not in self._done:
            self._done[name] = self.value(self._single[name], self._nets[name].width)
        return self._done[name]

    def _take(self, node: Expression) -> Expression:
        self.replaced.add(node.base)
        return self._expression(node.base)

    def _operand(self, node: Expression, context: int) -> Expression:
        """An expression in a place that extends it to a width, or to none (0)."""
        if self._may(node) and self._fits(self._expression(node.base), node.width, context):
            return self._take(node)
        parts = tuple(self._operand(part, place) for part, place in node.places(context))
        return replace(node, parts=parts)

    @staticmethod
    def _fits(value: Expression, width: int, context: int) -> bool:
        """Whether a wire's value keeps its width, and its sign does not matter, in a place."""
        if value.width != width:
            return False
        return value.closed or not context or (context == width and not value.signed)
