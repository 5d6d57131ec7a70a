"""Lines of Verilog text."""

from __future__ import annotations

import re
import textwrap

__all__ = ["LINE_LENGTH", "fill", "packed", "tied"]

LINE_LENGTH = 100
"""Longest line, as far as names and numbers allow."""

_NO_BREAK = "\N{NO-BREAK SPACE}"


def fill(text: str, indent: int = 2) -> str:
    """Break a statement at spaces, but not within an escaped name and the space that ends it."""
    filled = textwrap.fill(
        re.sub(r"(\\\S+) ", rf"\1{_NO_BREAK}", text),
        width=LINE_LENGTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(_NO_BREAK, " ")


def tied(text: str) -> str:
    """Text for :func:`fill` that stays on one line."""
    return text.replace(" ", _NO_BREAK)


def packed(statements: list[str], indent: int) -> list[str]:
    """Statements, several on a line where they fit."""
    lines: list[str] = []
    for text in statements:
        if lines and indent + len(lines[-1]) + 1 + len(text) <= LINE_LENGTH:
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    return [fill(line, indent) for line in lines]
