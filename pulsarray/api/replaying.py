"""A run through a DRAM as an object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.shown import Shown, Table, table
from pulsarray.program import Program

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Replay", "replay_program"]


class Replay(Shown):
    """The bursts of a run through a DRAM.

    Parameters
    ----------
    data
        As :func:`pulsarray.model.replay.replay` gives it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __repr__(self) -> str:
        kept = self._data["sufficient"]
        text = "no fixed times kept" if kept is None else f"{kept['cycles']:,} cycles"
        return f"<Replay through {self._data['memory']}: {text}>"

    @property
    def cycles(self) -> int | None:
        """Machine cycles with fixed times that the DRAM keeps; None if it keeps none."""
        kept = self._data["sufficient"]
        return None if kept is None else int(kept["cycles"])

    @property
    def runs(self) -> Table:
        """One row a run: as asked, and with the times that the DRAM keeps."""
        return table([run for run in (self._data["asked"], self._data["sufficient"]) if run])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return dict(self._data)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.replay import replay_view

        return replay_view(self._data)


def replay_program(
    program: Program, memory: str | Path, clock_mhz: float, times: Mapping[str, int]
) -> Replay:
    """A run of a program through a DRAM: see :meth:`pulsarray.Compiled.replay`."""
    from pulsarray.model.replay import replay
    from pulsarray.report.dram import load_memory

    return Replay(replay(program, load_memory(memory), clock_mhz, **times))
