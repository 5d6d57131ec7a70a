"""What the benches share inside the simulator: one clock cycle at a time, and words of lanes."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from pulsarray.config import Config
from pulsarray.isa import Instruction

__all__ = ["Bench", "encoded", "machine", "pack", "parameters", "raw", "unpack"]

_PERIOD = 2
_SETTINGS = json.loads(os.environ.get("PULSARRAY_BENCH", "{}"))


def parameters() -> dict[str, int]:
    """The numbers that the test gave to :func:`tests.hw.harness.run_bench`."""
    return dict(_SETTINGS["parameters"])


def machine() -> Config:
    """The machine whose parts are tested, where the test gave :func:`tests.hw.configs.settings`."""
    names = {field.name for field in dataclasses.fields(Config)}
    return Config(**{name: value for name, value in parameters().items() if name in names})


def encoded(instruction: Instruction) -> int:
    """An instruction as the number that its bytes are."""
    return int.from_bytes(instruction.encode(), "little")


def raw(parts: Iterable[int], size: int) -> int:
    """Parts of ``size`` bytes each as one number, the first lowest."""
    return pack(parts, 8 * size)


def pack(values: Iterable[int], bits: int) -> int:
    """Lanes of ``bits`` each as one number, lane 0 lowest."""
    mask, word = (1 << bits) - 1, 0
    for index, value in enumerate(values):
        word |= (int(value) & mask) << (index * bits)
    return word


def unpack(word: int, bits: int, lanes: int, *, signed: bool = True) -> list[int]:
    """The lanes of a word, lane 0 first."""
    values = [(word >> (index * bits)) & ((1 << bits) - 1) for index in range(lanes)]
    if not signed:
        return values
    return [value - (1 << bits) if value >> (bits - 1) else value for value in values]


class Bench:
    """Drives all inputs and samples outputs, a whole cycle at a time.

    Members
    -------
    now
        Number of the next cycle; 0 is the first after reset.
    """

    def __init__(self, dut: Any) -> None:
        self.now = 0
        self._dut = dut
        self._handles: dict[str, Any] = {}
        self._driven = dict.fromkeys(_SETTINGS["inputs"], 0)

    async def start(self) -> None:
        """Start the clock and leave reset, with every input at 0 before the first edge."""
        for name in self._driven:
            getattr(self._dut, name).value = 0
        for name in _SETTINGS["clocks"]:
            getattr(self._dut, name).value = int(name == "rst")
        await Timer(1, unit="ns")
        clock = Clock(self._dut.clk, _PERIOD, unit="ns", impl="gpi")
        clock.start(start_high=False)
        await RisingEdge(self._dut.clk)
        if "rst" in _SETTINGS["clocks"]:
            self._dut.rst.value = 0
            await RisingEdge(self._dut.clk)

    async def reset(self) -> None:
        """One cycle of reset."""
        self._dut.rst.value = 1
        await RisingEdge(self._dut.clk)
        self._dut.rst.value = 0
        self.now += 1

    async def cycle(
        self, inputs: Mapping[str, int] | None = None, outputs: Iterable[str] = ()
    ) -> dict[str, int]:
        """One cycle with these inputs, the others 0; the outputs in it, as unsigned numbers."""
        self._drive(inputs or {})
        await FallingEdge(self._dut.clk)
        sampled = {name: int(self._handle(name).value) for name in outputs}
        await RisingEdge(self._dut.clk)
        self.now += 1
        return sampled

    async def skip(self, cycles: int, inputs: Mapping[str, int]) -> None:
        """Some cycles with the same inputs, in which nobody looks."""
        if not cycles:
            return
        self._drive(inputs)
        await Timer(_PERIOD * cycles - 1, unit="ns")
        await RisingEdge(self._dut.clk)
        self.now += cycles

    def _drive(self, inputs: Mapping[str, int]) -> None:
        if unknown := inputs.keys() - self._driven.keys():
            raise KeyError(f"no inputs named {', '.join(sorted(unknown))}")
        for name, value in self._driven.items():
            wanted = inputs.get(name, 0)
            if wanted != value:
                self._handle(name).value = wanted
                self._driven[name] = wanted

    def _handle(self, name: str) -> Any:
        """A port; cocotb's own look-up takes longer."""
        if name not in self._handles:
            self._handles[name] = getattr(self._dut, name)
        return self._handles[name]
