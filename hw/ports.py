"""The ports of the machine, as data and with their meaning."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from pulsarray.config import Config
from pulsarray.hw.top import machine_members

__all__ = ["Port", "machine_ports"]

_CHANNELS = {
    "aw": "write address",
    "w": "write data",
    "b": "write response",
    "ar": "read address",
    "r": "read data",
}
_OTHERS = {
    "clk": "clock, rising edge",
    "rst": "reset, synchronous, active high",
    "interrupt": "level: done, or stopped by an error, until CLEAR is written to CONTROL",
    "running": "trace: a program runs",
    "cycle": "trace: number of the current cycle of the run",
}
_BUSES = {"m_axi_": "AXI4 manager to memory", "s_axil_": "AXI4-Lite subordinate, registers"}


@dataclass(frozen=True)
class Port:
    """A port of the top module: its name, direction (``input`` or ``output``), bits, meaning."""

    name: str
    direction: str
    width: int
    meaning: str


def machine_ports(config: Config, address_bits: int = 32) -> list[Port]:
    """Every port of the module ``pulsarray``, clock and reset first."""
    ports = [Port(name, "input", 1, _OTHERS[name]) for name in ("clk", "rst")]
    for name, member in machine_members(config, address_bits).items():
        direction = "input" if member.flow == In else "output"
        ports.append(Port(name, direction, Shape.cast(member.shape).width, _meaning(name)))
    return ports


def _meaning(name: str) -> str:
    for prefix, bus in _BUSES.items():
        if name.startswith(prefix):
            signal = name.removeprefix(prefix)
            channel = max((c for c in _CHANNELS if signal.startswith(c)), key=len)
            return f"{bus}: {_CHANNELS[channel]}"
    if name.startswith("trace_"):
        return f"trace: {name.removeprefix('trace_').replace('_', ' ')}"
    return _OTHERS[name]
