"""The AXI4-Lite register port (docs/registers.md)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.counters import COUNTER_BITS
from pulsarray.hw.memory.axi import axi_lite_members
from pulsarray.registers import (
    COUNTER_BASE,
    COUNTERS,
    IDENTITY,
    INTERFACE_VERSION,
    REGISTERS,
    Control,
)

__all__ = ["Registers"]


class Registers(Shared):
    """One access at a time; a write takes effect when both its channels have come.

    Parameters
    ----------
    config
        The machine: its fingerprint, and whether it has counters.

    Members
    -------
    start, clear
        A one was written to that bit of CONTROL.
    PROGRAM_ADDRESS and the other writable registers
        Their values, in lower case.
    status, error_code, error_index
        Values of those registers.
    counter_number, counter_valid, counter_value
        A counter that is read, whether its value is there, and the value; without counters only
        the first one, ``cycles``, is asked for.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._counters = len(COUNTERS) if config.counters else 1
        fingerprint = int(config.fingerprint, 16)
        written = {r.name.lower(): Out(32) for r in REGISTERS if r.writable and r.name != "CONTROL"}
        super().__init__(
            {
                **axi_lite_members(),
                "start": Out(1),
                "clear": Out(1),
                **written,
                "status": In(3),
                "error_code": In(4),
                "error_index": In(32),
                "counter_number": Out(range(len(COUNTERS))),
                "counter_valid": In(1),
                "counter_value": In(COUNTER_BITS),
            },
            counters=self._counters,
            fingerprint=fingerprint,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two small machines, one a direction."""
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        wants = self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid
        strobes = Cat(*(strobe.replicate(8) for strobe in self.s_axil_wstrb))
        m.d.comb += [self.s_axil_awready.eq(wants), self.s_axil_wready.eq(wants)]
        with m.If(wants):
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.Elif(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        for register in REGISTERS:
            if not register.writable:
                continue
            here = wants & (self.s_axil_awaddr[2:] == register.address >> 2)
            if register.name == "CONTROL":
                bits = self.s_axil_wdata & strobes
                m.d.comb += [
                    self.start.eq(here & bits[int(Control.START).bit_length() - 1]),
                    self.clear.eq(here & bits[int(Control.CLEAR).bit_length() - 1]),
                ]
                continue
            value = getattr(self, register.name.lower())
            with m.If(here):
                m.d.sync += value.eq((value & ~strobes) | (self.s_axil_wdata & strobes))

    def _read(self, m: Module) -> None:
        """A register is there at once; a counter may keep its reader waiting."""
        word, value = Signal(10), Signal(32)
        offset, is_counter, wants = Signal(10), Signal(), Signal()
        known = {r.address >> 2: self._value(r.name) for r in REGISTERS}
        registers = [known.get(number, Const(0, 32)) for number in range(max(known) + 1)]
        m.d.comb += [
            word.eq(self.s_axil_araddr[2:]),
            offset.eq(word - (COUNTER_BASE >> 2)),
            is_counter.eq(offset < self._counters),
            self.counter_number.eq(offset),
            wants.eq(
                self.s_axil_arvalid & ~self.s_axil_rvalid & (~is_counter | self.counter_valid)
            ),
            self.s_axil_arready.eq(wants),
        ]
        with m.If(word < len(registers)):
            m.d.comb += value.eq(chosen(registers, word))
        with m.If(wants):
            m.d.sync += [
                self.s_axil_rvalid.eq(1),
                self.s_axil_rdata.eq(Mux(is_counter, self.counter_value, value)),
            ]
        with m.Elif(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)

    def _value(self, name: str) -> Any:
        fingerprint = int(self._config.fingerprint, 16)
        fixed = {
            "ID": IDENTITY,
            "VERSION": INTERFACE_VERSION,
            "FINGERPRINT_LOW": fingerprint & 0xFFFFFFFF,
            "FINGERPRINT_HIGH": fingerprint >> 32,
            "CONTROL": 0,
        }
        return Const(fixed[name], 32) if name in fixed else getattr(self, name.lower())
