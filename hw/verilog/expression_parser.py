"""Reads expressions as Yosys writes them: one operator, on operands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pulsarray.hw.verilog.expression import BINARY, Expression, binary, choice, constant, part_of

__all__ = ["NAME", "parse"]

NAME = r"(?:\\\S+ |[A-Za-z_][\w$]*)"
"""A plain or an escaped identifier, as a regular expression."""

_TOKEN = re.compile(
    rf"\s*(\$signed|\d+'h[\da-fxz]+|\d+'d\d+|{NAME}|\d+|>>>|<<<|>>|<<|[<>=!]=|&&|\|\||\S)"
)


def parse(text: str, widths: Mapping[str, int]) -> Expression:
    """An expression, as Yosys writes them: one operator, on operands.

    Parameters
    ----------
    text
        The expression.
    widths
        Bits of every net, variable and word of a memory.

    Raises
    ------
    ValueError
        If it is of another form.
    """
    parser = _Parser(text, widths)
    result = parser.expression()
    if parser.tokens:
        raise ValueError(f"cannot read the expression {text!r}")
    return result


class _Parser:
    """Reads one expression."""

    def __init__(self, text: str, widths: Mapping[str, int]) -> None:
        self.tokens = _TOKEN.findall(f"{text} ")[::-1]
        self._widths = widths

    def _accept(self, token: str) -> bool:
        accepted = bool(self.tokens) and self.tokens[-1] == token
        if accepted:
            self.tokens.pop()
        return accepted

    def _list(self, last: str) -> list[Expression]:
        arguments = [self.expression()]
        while self._accept(","):
            arguments.append(self.expression())
        if not self._accept(last):
            raise ValueError(f"{last} expected before {self.tokens[::-1]}")
        return arguments

    def expression(self) -> Expression:
        """Up to the end, or to what cannot belong to it."""
        left = self._operand()
        operator = self.tokens[-1] if self.tokens else ""
        if self._accept("?"):
            yes = self._operand()
            if not self._accept(":"):
                raise ValueError(f": expected before {self.tokens[::-1]}")
            no = self._operand()
            return choice(left, yes, no)
        if operator in BINARY:
            self.tokens.pop()
            return binary(operator, left, self._operand())
        return left

    def _operand(self) -> Expression:
        if self._accept("!"):
            return Expression("!", (self._operand(),))
        if self._accept("{"):
            parts = tuple(self._list("}"))
            return Expression("cat", parts, sum(part.width for part in parts))
        token = self.tokens.pop()
        if token in ("~", "-"):
            part = self._operand()
            return Expression(token, (part,), part.width, part.signed)
        if token in ("&", "|"):
            return Expression(f"reduce{token}", (self._operand(),))
        if token in ("$signed",) and self._accept("("):
            (part,) = self._list(")")
            return Expression("signed", (part,), part.width, signed=True)
        if "'" in token:
            return constant(token)
        if token not in self._widths:
            raise ValueError(f"{token!r} is no operand")
        return self._named(token)

    def _named(self, name: str) -> Expression:
        width = self._widths[name]
        if self._accept("("):
            return _selected(width, *self._list(")"))
        if not self._accept("["):
            return Expression("name", width=width, text=name, base=name)
        if not self.tokens[-1].isdigit():
            address = tuple(self._list("]"))
            return Expression("word", address, width, text=f"{name}[...]", base=name)
        top = low = self.tokens.pop()
        if self._accept(":"):
            low = self.tokens.pop()
        bits = f"[{top}]" if top == low else f"[{top}:{low}]"
        if not self._accept("]"):
            raise ValueError(f"{name}: ] expected after {bits}")
        return Expression("part", (), int(top) - int(low) + 1, text=name + bits, base=name)


def _selected(width: int, default: Expression, values: Expression, bits: Expression) -> Expression:
    """What Yosys' function of that form gives: the value whose bit is set, the lowest first."""
    result = default
    for place in reversed(range(bits.width)):
        result = choice(part_of(bits, place, 1), part_of(values, place * width, width), result)
    return result
