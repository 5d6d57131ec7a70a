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
        cleared = {name: value for name, value in kept.items() if name in self._cleared}
        plain = {name: value for name, value in kept.items() if name not in self._cleared}
        flags = self._stage(f"flags{self.cycle}", cleared, reset_less=False)
        with self._m.If(clear):
            self._m.d.sync += flags.eq(0)
        self.values = {name: flags[name] for name in cleared}
        if plain:
            stage = self._stage(f"stage{self.cycle}", plain, reset_less=True)
            self.values |= {name: stage[name] for name in plain}

    def _stage(self, name: str, values: dict[str, Value], *, reset_less: bool) -> Any:
        layout = data.StructLayout({name: value.shape() for name, value in values.items()})
        stage: Any = Signal(layout, name=name, reset_less=reset_less)
        self._m.d.sync += [stage[name].eq(value) for name, value in values.items()]
        return stage
