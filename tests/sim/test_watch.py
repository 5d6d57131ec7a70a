"""How far a simulation is."""

from __future__ import annotations

import time
from pathlib import Path

from pulsarray.sim.watch import watched


def until(seen: list[int], last: int) -> None:
    end = time.monotonic() + 10
    while seen[-1:] != [last] and time.monotonic() < end:
        time.sleep(0.01)


def test_figures_arrive(tmp_path: Path) -> None:
    path, seen = tmp_path / "progress", list[int]()
    with watched(path, seen.append):
        path.write_text("")
        for cycles in (300, 700):
            path.write_text(str(cycles))
            until(seen, cycles)
    assert list(dict.fromkeys(seen)) == [300, 700]


def test_nobody_asks(tmp_path: Path) -> None:
    with watched(tmp_path / "progress", None):
        pass
    assert not list(tmp_path.iterdir())
