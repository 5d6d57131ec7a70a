"""How objects of the programming interface look: on a terminal, in a notebook, as tables."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Shown", "Table", "flat", "table"]

Table: TypeAlias = Any
"""A ``pandas.DataFrame``, or a list of dictionaries where pandas is not installed."""

_WIDTH = 120
_PRE = "<pre style='white-space: pre; overflow-x: auto; line-height: 1.2'>{code}</pre>"


class Shown:
    """Something that a terminal and a notebook show as the command line does."""

    def __rich__(self) -> RenderableType:
        """What a terminal shows."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from rich.console import Console

        console = Console(record=True, file=io.StringIO(), width=_WIDTH, highlight=False)
        console.print(self.__rich__())
        return console.export_html(inline_styles=True, code_format=_PRE)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=_WIDTH, highlight=False)
        with console.capture() as capture:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in capture.get().splitlines())


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of named values as a table; values by name in rows get a column each."""
    flattened = [dict(flat(row)) for row in rows]
    if find_spec("pandas") is None:
        return flattened
    import pandas as pd

    return pd.DataFrame(flattened)


def flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Values by name, those inside others as ``outer_inner``; lists as their text."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}_")
        else:
            yield f"{before}{name}", ", ".join(map(str, value)) if type(value) is list else value
