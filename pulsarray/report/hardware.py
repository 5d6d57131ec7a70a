"""What machines take on hardware, where it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from pulsarray.config import Config

__all__ = ["AMOUNTS", "hardware_of", "hardware_text"]

AMOUNTS = {
    "lut_equivalents": "LUT equivalents",
    "ff": "FF",
    "dsp": "DSP",
    "block_ram": "block RAM",
    "gates": "gates",
    "fmax_mhz": "MHz",
}
"""Figures of a machine on a target, and what they are called."""


def hardware_of(config: Config) -> list[dict[str, Any]]:
    """What a machine takes on each target for which it was synthesized, without ``trace``.

    From the table that ``make bench-synth`` writes; empty for what is not in it.
    """
    return [dict(row) for row in _table().get(replace(config, trace=False).fingerprint, ())]


@cache
def _table() -> Mapping[str, list[dict[str, Any]]]:
    """Rows by fingerprint."""
    text = files("pulsarray.report").joinpath("hardware.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def hardware_text(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each target with its figures in a few words."""
    for row in rows:
        figures = [f"{row[n]:,} {text}" for n, text in AMOUNTS.items() if row[n] is not None]
        yield row["target"], f"{', '.join(figures)} ({row['date']}, {row['commit']})"
