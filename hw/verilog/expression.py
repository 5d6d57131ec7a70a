"""Expressions of Verilog 2005 with the widths and signs that the language gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby

__all__ = [
    "BINARY",
    "COMPARISONS",
    "SHIFTS",
    "Expression",
    "binary",
    "choice",
    "constant",
    "part_of",
    "simplified",
]

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "&&", "||")
SHIFTS = ("<<", ">>", "<<<", ">>>")
BINARY = ("&", "|", "^", "+", "-", "*", *SHIFTS, *COMPARISONS)
_ASSOCIATIVE = ("&", "|", "^", "+")


@dataclass(frozen=True)
class Expression:
    """A node of an expression.

    Parameters
    ----------
    kind
        ``name`` (all of a net or variable), ``part`` (constant bits of it), ``constant``,
        ``word`` (of a memory), ``cat``, ``signed``, ``~``, ``-``, ``!``, ``reduce&``,
        ``reduce|``, ``?``, or a binary operator.
    parts
        Operands.
    width, signed
        Size in bits and sign that the expression has by itself.
    text
        Of a leaf: how it is written; of a ``part`` or ``word``, with ``base``.
    base
        Of a leaf: the identifier.
    """

    kind: str
    parts: tuple[Expression, ...] = ()
    width: int = 1
    signed: bool = False
    text: str = ""
    base: str = ""

    @property
    def closed(self) -> bool:
        """Whether what surrounds it has no effect but to extend it by zeros."""
        leaf = self.kind in ("name", "part", "constant", "word", "cat", "!")
        return leaf or self.kind.startswith("reduce") or self.kind in COMPARISONS

    def nodes(self) -> Iterator[Expression]:
        """It, its operands, and theirs."""
        yield self
        for part in self.parts:
            yield from part.nodes()

    def leaves(self) -> Iterator[Expression]:
        """Every name, part, word and constant in it."""
        return (node for node in self.nodes() if node.text)

    def replaced(self, others: Mapping[str, Expression]) -> Expression:
        """The same with others of equal width in place of operands, by their text."""
        parts = tuple(part.replaced(others) for part in self.parts)
        return others.get(str(self)) or replace(self, parts=parts)

    def places(self, context: int) -> Iterator[tuple[Expression, int]]:
        """Operands, each with the width that it is extended to in its place, 0 if to none.

        Parameters
        ----------
        context
            The width that this expression is extended to; 0 if to none.
        """
        width = max(context, self.width)
        if self.kind == "?":
            condition, *choices = self.parts
            yield condition, 0
            yield from ((choice, width) for choice in choices)
        elif self.kind in SHIFTS:
            yield self.parts[0], width
            yield self.parts[1], 0
        elif self.kind in ("&&", "||"):
            yield from ((part, 0) for part in self.parts)
        elif self.kind in COMPARISONS:
            widest = max(part.width for part in self.parts)
            yield from ((part, widest) for part in self.parts)
        elif self.kind in BINARY or self.kind == "~":
            yield from ((part, width) for part in self.parts)
        else:
            yield from ((part, 0) for part in self.parts)

    def __str__(self) -> str:
        """The expression as Verilog text."""
        if self.kind == "cat":
            return f"{{ {', '.join(_repeated(self.parts))} }}"
        if self.kind == "signed":
            return f"$signed({self.parts[0]})"
        if self.kind == "word":
            return f"{self.base}[{self.parts[0]}]"
        if self.text:
            return self.text
        if self.kind == "?":
            condition, yes, no = self.parts
            last = str(no) if no.kind == "?" else no._operand()
            return f"{condition._operand()} ? {yes._operand()} : {last}"
        if len(self.parts) == 1:
            operator = self.kind.removeprefix("reduce")
            return f"{operator}{self.parts[0]._operand()}"
        left, right = self.parts
        same = (self.kind,) if self.kind in _ASSOCIATIVE else ()
        return f"{left._operand(same)} {self.kind} {right._operand(same)}"

    def _operand(self, bare: tuple[str, ...] = ()) -> str:
        """The text in an operator's place; in parentheses unless plain or one of ``bare``."""
        plain = self.text or self.kind in ("cat", "signed", "word", "~", "!")
        return str(self) if plain or self.kind in bare else f"({self})"


def _repeated(parts: tuple[Expression, ...]) -> Iterator[str]:
    """Elements of a list, a run of equal ones as a repetition."""
    for text, run in groupby(map(str, parts)):
        count = len(list(run))
        yield from [f"{{{count}{{{text}}}}}"] if count > 2 else [text] * count


def constant(text: str) -> Expression:
    """A constant with a size, written without leading zeros."""
    size, base, digits = re.fullmatch(r"(\d+)'(\w)(\w+)", text).groups()  # type: ignore[union-attr]
    if base == "h":
        digits = digits.lstrip("0") or "0"
        digits = "x" if set(digits) == {"x"} else digits
    return Expression("constant", width=int(size), text=f"{size}'{base}{digits}")


def choice(condition: Expression, yes: Expression, no: Expression) -> Expression:
    """One of two expressions."""
    return Expression(
        "?", (condition, yes, no), max(yes.width, no.width), signed=yes.signed and no.signed
    )


def part_of(node: Expression, low: int, width: int) -> Expression:
    """Bits of a name, a constant or a list of them.

    Raises
    ------
    ValueError
        If it is another expression.
    """
    if (low, width) == (0, node.width):
        return node
    if node.kind == "cat":
        parts, place = [], node.width
        for part in node.parts:
            place -= part.width
            top, bottom = min(low + width, place + part.width), max(low, place)
            if bottom < top:
                parts.append(part_of(part, bottom - place, top - bottom))
        return parts[0] if len(parts) == 1 else Expression("cat", tuple(parts), width)
    if node.kind == "constant":
        digits = node.text.partition("'")[2]
        if digits == "hx":
            return replace(node, width=width, text=f"{width}'hx")
        value = int(digits[1:], 16 if digits[0] == "h" else 10) >> low & ((1 << width) - 1)
        return replace(node, width=width, text=f"{width}'h{value:x}")
    if node.kind not in ("name", "part"):
        raise ValueError(f"no bits of the expression {node}")
    first = re.search(r"(\d+)\]$", node.text)
    low += int(first[1]) if first and node.kind == "part" else 0
    bits = f"[{low}]" if width == 1 else f"[{low + width - 1}:{low}]"
    return Expression("part", (), width, text=node.base + bits, base=node.base)


def binary(operator: str, left: Expression, right: Expression) -> Expression:
    """An operator and its operands."""
    if operator in COMPARISONS:
        return Expression(operator, (left, right))
    if operator in SHIFTS:
        return Expression(operator, (left, right), left.width, signed=left.signed)
    width = max(left.width, right.width)
    return Expression(operator, (left, right), width, signed=left.signed and right.signed)


def simplified(node: Expression) -> Expression:
    """The same value, X included, of an expression of one bit that stays one bit wide."""
    if node.kind in ("reduce&", "reduce|") and node.parts[0].kind == "cat":
        return _reduced(node)
    if node.kind == "?" and node.width == 1 and node.parts[0].width == 1:
        condition, yes, no = node.parts
        inverse = Expression("~", (condition,))
        if no.text == "1'h0":
            return condition if yes.text == "1'h1" else binary("&", condition, yes)
        if yes.text == "1'h1":
            return binary("|", condition, no)
        if yes.text == "1'h0":
            return inverse if no.text == "1'h1" else binary("&", inverse, no)
        if no.text == "1'h1":
            return binary("|", inverse, yes)
    return node


def _reduced(node: Expression) -> Expression:
    """All or any of the bits of a list: without zeros for any, bit by bit if it has single bits."""
    parts = node.parts[0].parts
    if node.kind == "reduce|":
        parts = tuple(part for part in parts if not re.fullmatch(r"\d+'[hd]0", part.text)) or parts
    if all(part.width == 1 for part in parts):
        return reduce(lambda result, bit: binary(node.kind[-1], result, bit), parts[::-1])
    bits = Expression("cat", parts, sum(part.width for part in parts))
    return replace(node, parts=(bits if len(parts) > 1 else parts[0],))
