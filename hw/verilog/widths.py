"""Writes the widths out that Verilog would extend or cut operands to in silence.

Linters ask for it, and a reader sees the sign that an operand is extended with. Two extensions stay
Verilog's own, as linters accept them: a sum that keeps its carry, and the factors of a product,
which synthesis tools take for a multiplier of just those widths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pulsarray.hw.verilog.expression import COMPARISONS, SHIFTS, Expression, constant, part_of
from pulsarray.hw.verilog.netlist import Netlist

__all__ = ["write_widths"]

_SELECTABLE = ("name", "part", "constant", "cat")


def write_widths(module: Netlist) -> None:
    """Make every expression, and every operand in it, as wide as its place."""
    writer = _Writer(module)
    module.rewrite(writer.placed)
    module.assigns += writer.wires


class _Writer:
    """Rewrites expressions; collects the wires that it had to make for parts of them."""

    def __init__(self, module: Netlist) -> None:
        self.wires: list[tuple[Expression, Expression]] = []
        self._module = module

    def placed(self, node: Expression, width: int) -> Expression:
        """An expression that is assigned to a target of a width, or to none (0)."""
        width = width or node.width
        if node.width > width:
            return self._cut(node, width)
        return self._sized(node, width, node.signed)

    def _sized(self, node: Expression, width: int, signed: bool) -> Expression:
        """The expression in a place that extends it to a width, with its sign or with zeros."""
        if node.kind == "signed":
            inside = self._own(node.parts[0])
            if not signed:
                return self._extended(inside, width, signed)
            inside = self._extended(inside, width, signed)
            return Expression("signed", (inside,), width, signed=True)
        if node.closed:
            return self._extended(self._closed(node), width, signed)
        return replace(node, parts=tuple(self._operands(node, width, signed)), width=width)

    def _operands(self, node: Expression, width: int, signed: bool) -> Iterator[Expression]:
        """Operands of an expression that passes a width and a sign on to them."""
        if node.kind == "?":
            yield self._condition(node.parts[0])
            yield from (self._sized(choice, width, signed) for choice in node.parts[1:])
        elif node.kind in SHIFTS:
            yield self._sized(node.parts[0], width, signed)
            yield self._own(node.parts[1])
        else:
            yield from (self._operand(node, part, width, signed) for part in node.parts)

    def _operand(
        self, parent: Expression, part: Expression, width: int, signed: bool
    ) -> Expression:
        plain = part.closed or part.kind == "signed"
        carry = parent.kind in ("+", "-") and len(parent.parts) == 2 and part.width + 1 == width
        if plain and (carry or parent.kind == "*"):
            return self._sized(part, part.width, signed)
        return self._sized(part, width, signed)

    def _own(self, node: Expression) -> Expression:
        """The expression in a place that extends it to nothing."""
        return self._sized(node, node.width, node.signed)

    def _closed(self, node: Expression) -> Expression:
        """The expression with its operands, whose widths depend on nothing around it."""
        if node.kind == "!":
            return self._none(self._own(node.parts[0]))
        if node.kind in ("&&", "||"):
            return replace(node, parts=tuple(map(self._condition, node.parts)))
        if node.kind in COMPARISONS:
            width = max(part.width for part in node.parts)
            signed = all(part.signed for part in node.parts)
            parts = tuple(self._sized(part, width, signed) for part in node.parts)
            return replace(node, parts=parts)
        return replace(node, parts=tuple(map(self._own, node.parts)))

    @staticmethod
    def _none(node: Expression) -> Expression:
        """That no bit is set."""
        if node.width == 1:
            return Expression("~", (node,))
        return Expression("==", (node, _zeros(node.width)))

    def _condition(self, node: Expression) -> Expression:
        node = self._own(node)
        return node if node.width == 1 else Expression("reduce|", (node,))

    def _extended(self, node: Expression, width: int, signed: bool) -> Expression:
        more = width - node.width
        if more == 0:
            return node
        if node.kind == "constant" and not node.text.endswith("x"):
            return _extended_constant(node, width, signed)
        if not signed:
            return _joined(_zeros(more), node)
        node = self._selectable(node)
        return _joined(*[part_of(node, node.width - 1, 1)] * more, node)

    def _cut(self, node: Expression, width: int) -> Expression:
        """The low bits of an expression."""
        if node.kind in _SELECTABLE:
            return self._own(part_of(node, 0, width))
        if node.kind == "signed":
            return self.placed(node.parts[0], width)
        if node.kind == "?":
            condition, *choices = node.parts
            low = (self._low(choice, width, node.signed) for choice in choices)
            return Expression("?", (self._condition(condition), *low), width)
        if node.kind in ("+", "-", "*", "&", "|", "^", "~"):
            low = (self._low(part, width, node.signed) for part in node.parts)
            return Expression(node.kind, tuple(low), width)
        if node.kind == ">>" and width == 1 and 1 << node.parts[1].width <= node.parts[0].width:
            return self._bit(*node.parts)
        return part_of(self._selectable(self._own(node)), 0, width)

    def _bit(self, node: Expression, place: Expression) -> Expression:
        """The bit at a place that lies within the expression."""
        base = (node if node.kind == "name" else self._wire(self._own(node))).base
        return Expression("word", (self._own(place),), text=f"{base}[...]", base=base)

    def _low(self, node: Expression, width: int, signed: bool) -> Expression:
        """Low bits of an operand of an expression that is cut, or all with its extension."""
        if node.width > width:
            return self._cut(node, width)
        return self._sized(node, width, signed)

    def _selectable(self, node: Expression) -> Expression:
        """The expression, or a wire for it, so that bits of it have a name."""
        return node if node.kind in _SELECTABLE else self._wire(node)

    def _wire(self, node: Expression) -> Expression:
        wire = self._module.new_wire("whole", node.width)
        self.wires.append((wire, node))
        return wire


def _extended_constant(node: Expression, width: int, signed: bool) -> Expression:
    base, digits = node.text.partition("'")[2][0], node.text.partition("'")[2][1:]
    value = int(digits, 10 if base == "d" else 16)
    if signed and value >> (node.width - 1):
        value += (1 << width) - (1 << node.width)
    return constant(f"{width}'h{value:x}" if base == "h" else f"{width}'d{value}")


def _zeros(width: int) -> Expression:
    return constant(f"{width}'h0")


def _joined(*parts: Expression) -> Expression:
    flat = [piece for part in parts for piece in (part.parts if part.kind == "cat" else (part,))]
    return Expression("cat", tuple(flat), sum(part.width for part in flat))
