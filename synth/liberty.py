"""Areas of the cells of a liberty file, in NAND2 equivalents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pulsarray.errors import CheckFailed, InputError

__all__ = ["Liberty", "load_liberty"]

_CELL = re.compile(r'^\s*cell\s*\(\s*"?([\w.$]+)"?\s*\)', re.MULTILINE)
_AREA = re.compile(r"\barea\s*:\s*([\d.eE+-]+)")
_FLIP_FLOP = re.compile(r"\bff\s*\(")
_NAND2 = re.compile(r".*(nand2|nd2).*", re.IGNORECASE)


@dataclass(frozen=True)
class Liberty:
    """Cells of a library: NAND2 equivalents of each, and which of them are flip-flops."""

    path: Path
    gates: Mapping[str, float]
    flip_flops: frozenset[str]

    def cell(self, kind: str) -> list[tuple[str, float]]:
        """What a cell takes.

        Raises
        ------
        CheckFailed
            If it is none of the library.
        """
        if kind not in self.gates:
            raise CheckFailed(f"{self.path}: no cell of it can be {kind}")
        area = ("gates", self.gates[kind])
        return [area, ("ff", 1)] if kind in self.flip_flops else [area]


def load_liberty(path: Path) -> Liberty:
    """Read a liberty file.

    Raises
    ------
    InputError
        If it is unreadable, or has no cells with areas or no NAND2.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None
    starts = [*_CELL.finditer(text)]
    ends = [*(match.start() for match in starts), len(text)][1:]
    bodies = {match[1]: text[match.end() : end] for match, end in zip(starts, ends, strict=True)}
    areas = {name: float(area[1]) for name, body in bodies.items() if (area := _AREA.search(body))}
    if not areas:
        raise InputError(f"{path}: not a liberty file: it has no cells with an area")
    units = [area for name, area in areas.items() if _NAND2.fullmatch(name) and area > 0]
    if not units:
        raise InputError(f"{path}: has no NAND2 cell, so areas cannot be told in NAND2 equivalents")
    unit = min(units)
    return Liberty(
        path.resolve(),
        {name: area / unit for name, area in areas.items()},
        frozenset(name for name, body in bodies.items() if _FLIP_FLOP.search(body)),
    )
