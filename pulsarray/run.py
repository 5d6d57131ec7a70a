"""What one run of a program gives, the same from the model and from RTL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["EVENT_FIELDS", "RunResult"]

EVENT_FIELDS = ("index", "queue", "start", "complete")
"""Columns of :attr:`RunResult.events`: index, then cycles p, s and c of docs/machine.md."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Outcome of one run.

    Parameters
    ----------
    source
        ``"model"``, ``"icarus"`` or ``"verilator"``.
    counters
        Every counter of :data:`pulsarray.registers.COUNTERS` by name.
    events
        int64 array, one row an instruction in program order, columns :data:`EVENT_FIELDS`;
        empty where the configuration has no trace.
    memory
        uint8 array: memory after the run, from address 0; None where values were not computed.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.
    """

    source: str
    counters: Mapping[str, int]
    events: npt.NDArray[np.int64]
    memory: npt.NDArray[np.uint8] | None
    memory_latency: int
    memory_interval: int

    @property
    def cycles(self) -> int:
        """Machine cycles from start to interrupt."""
        return self.counters["cycles"]
