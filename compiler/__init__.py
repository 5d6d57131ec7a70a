"""From a network to a program: ``compile(graph, config, ...)`` for every network.

What is named here is imported when it is first used: most commands need little of the compiler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulsarray.compiler.api import compile, disassemble  # noqa: A004
    from pulsarray.compiler.builder import Builder
    from pulsarray.compiler.gemm import compile_gemm
    from pulsarray.compiler.ir.graph import Graph

__all__ = ["Builder", "Graph", "compile", "compile_gemm", "disassemble"]

_HOMES = {
    "Builder": "builder",
    "Graph": "ir.graph",
    "compile": "api",
    "compile_gemm": "gemm",
    "disassemble": "api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
