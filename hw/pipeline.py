"""Values that travel beside a datapath, stage by stage, each as far as it is needed."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["Pipeline"]


class Pipeline:
    """One register a stage, made of the values that a later stage still needs.

    Parameters
    ----------
    m
        Where the registers are put.

    Attributes
    ----------
    cycle
        The stage that is being described, from 0.
    values
        By name, the values in that stage.
    """

    def __init__(self, m: Module) -> None:
        self._m = m
        self.cycle = 0
        self.values: dict[str, Value] = {}
        self._until: dict[str, int] = {}
        self._cleared: set[str] = set()

    def add(self, name: str, value: Value, *, until: int, cleared: bool = False) -> None:
        """A value of this stage, needed up to another; ``cleared`` values become 0 on a clear."""
        self.values[name], self._until[name] = value, until
        if cleared:
            self._cleared.add(name)

    def advance(self, clear: Value) -> None:
        """Go on to the next stage."""
        kept = {n: v for n, v in self.values.items() if self._until[n] > self.cycle}
        self.cycle += 1
        layout = data.StructLayout({name: value.shape() for name, value in kept.items()})
        stage: Any = Signal(layout, name=f"stage{self.cycle}")
        self._m.d.sync += [stage[name].eq(value) for name, value in kept.items()]
        with self._m.If(clear):
            self._m.d.sync += [stage[name].eq(0) for name in kept if name in self._cleared]
        self.values = {name: stage[name] for name in kept}
