"""Values that are not rounded get one reader each, so that what reads them can share a rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pulsarray.compiler.ir.graph import Node
from pulsarray.errors import InputError

__all__ = ["split"]

_MOST = 4
"""Operators at most, in multiples of those before: copies of copies would have no end."""


def split(
    nodes: Sequence[Node], is_rounded: Callable[[str], bool]
) -> tuple[list[Node], dict[str, str]]:
    """The operators, those repeated whose unrounded result several others read.

    Returns them and, by name of a copy, the name of the operator it repeats.

    Raises
    ------
    InputError
        If that makes far too many.
    """
    done: list[Node] = []
    copied: dict[str, str] = {}
    for node in reversed(nodes):
        places = [k for k, other in enumerate(done) if node.output in other.inputs]
        copies = [node]
        for number, place in enumerate(() if is_rounded(node.output) else places[1:], 2):
            copy = replace(node, name=f"{node.name}#{number}", output=f"{node.output}#{number}")
            done[place] = done[place].renamed({node.output: copy.output})
            copied[copy.name] = node.name
            copies.append(copy)
        done[:0] = copies
        if len(done) > _MOST * len(nodes) + 64:
            raise InputError(f"{node.name}: too many operators read its result unrounded")
    return done, copied
