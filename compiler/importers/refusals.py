"""What a file would need that the compiler has not: each reason once, for all its nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

__all__ = ["named_once"]

_MOST = 2
"""Places that are named of each reason."""


def named_once(reasons: Iterable[tuple[str, str]]) -> str:
    """Reasons and places as one line: ``GRU (node a), HardSwish (node b, node c and 19 more)``."""
    places: dict[str, list[str]] = defaultdict(list)
    for reason, place in reasons:
        places[reason].append(place)
    return ", ".join(f"{reason} ({_some(nodes)})" for reason, nodes in places.items())


def _some(places: list[str]) -> str:
    more = len(places) - _MOST
    return ", ".join(places[:_MOST]) + (f" and {more} more" if more > 0 else "")
