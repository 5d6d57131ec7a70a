"""Names of signals from the statements that make them, the same under every version of Python.

Amaranth names a signal after the variable that it finds in the bytecode following the call. That
bytecode differs between versions of Python, and so did the generated names. The position of the
call in its source file does not.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import itertools
import linecache
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, TypeAlias

from amaranth import tracer

from pulsarray.errors import InputError

__all__ = ["names_from_source"]

_End: TypeAlias = tuple[int, int]
_RAISE: Any = object()


@contextlib.contextmanager
def names_from_source() -> Iterator[None]:
    """Let Amaranth name signals so while components are made and elaborated."""
    original = tracer.get_var_name
    tracer.get_var_name = _variable_of_call
    try:
        yield
    finally:
        tracer.get_var_name = original


def _variable_of_call(depth: int = 2, default: Any = _RAISE) -> Any:
    """What Amaranth asks for: the variable that the call in progress in a frame is assigned to."""
    frame = sys._getframe(depth)
    name = _variables(frame.f_code.co_filename).get(_end_of_call(frame), default)
    if name is _RAISE:
        raise tracer.NameNotFound  # type: ignore[attr-defined]  # not in the stubs
    return name


def _end_of_call(frame: FrameType) -> _End:
    """Line and column, in bytes, where the expression ends whose call is in progress."""
    positions = itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None)
    _, line, _, column = next(positions)
    if line is None or column is None:
        raise InputError(
            "Python was told to forget columns (PYTHONNODEBUGRANGES or -X no_debug_ranges), and "
            "the names in the Verilog derive from them; unset it"
        )
    return line, column


@functools.cache
def _variables(filename: str) -> dict[_End, str]:
    """Variables that calls are assigned to, by the end of the call; no other call ends there."""
    tree = ast.parse("".join(linecache.getlines(filename)))
    return dict(pair for node in ast.walk(tree) for pair in _assigned(node))


def _assigned(node: ast.AST) -> Iterator[tuple[_End, str]]:
    if isinstance(node, ast.Assign):
        yield from _named(node.targets[0], node.value)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
        yield from _named(node.target, node.value)


def _named(target: ast.expr, value: ast.expr) -> Iterator[tuple[_End, str]]:
    """Pairs of targets and calls, within tuples too."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for part, part_value in zip(target.elts, value.elts, strict=False):
            yield from _named(part, part_value)
    elif isinstance(value, ast.Call) and value.end_lineno and value.end_col_offset:
        end = value.end_lineno, value.end_col_offset
        if isinstance(target, ast.Name):
            yield end, target.id
        elif isinstance(target, ast.Attribute):
            yield end, target.attr
