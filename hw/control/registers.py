"""The AXI4-Lite register port (docs/registers.md)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal
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
    PARAMETER_BASE,
    REGISTERS,
    Control,
    parameter_values,
)

__all__ = ["Registers"]


class Registers(Shared):
    """One access at a time; a write takes effect when both its channels have come.

    Parameters
    ----------
    config
        The machine: its parameters and fingerprint, and whether it has counters.
    address_bits
        Of the memory's addresses, 32 or 64: with 32 there is no BASE_ADDRESS_HIGH.

    Members
    -------
    start, clear, stop
        A one was written to that bit of CONTROL.
    PROGRAM_ADDRESS and the other writable registers
        Their values, in lower case.
    status, error_code, error_index
        Values of those registers.
    counter_number, counter_valid, counter_value
        A counter that is read, whether its value is there, and the value; without counters only
        the first one, ``cycles``, is asked for.
    """

    def __init__(self, config: Config, address_bits: int = 32) -> None:
        self._config = config
        self._counters = len(COUNTERS) if config.counters else 1
        self._stored = [
            register
            for register in REGISTERS
            if register.writable
            and register.name != "CONTROL"
            and (register.name != "BASE_ADDRESS_HIGH" or address_bits > 32)
        ]
        fingerprint = int(config.fingerprint, 16)
        out: Any = Out  # the stubs know nothing of init
        written = {r.name.lower(): out(32, init=r.initial) for r in self._stored}
        super().__init__(
            {
                **axi_lite_members(),
                "start": Out(1),
                "clear": Out(1),
                "stop": Out(1),
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
            address_bits=address_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two small machines, one a direction."""
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        wants = self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid
        m.d.comb += [self.s_axil_awready.eq(wants), self.s_axil_wready.eq(wants)]
        with m.If(wants):
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.Elif(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        for bit in Control:
            asked = self.s_axil_wdata[bit.bit_length() - 1] & self.s_axil_wstrb[0]
            acts = getattr(self, str(bit.name).lower())
            m.d.comb += acts.eq(wants & self._written("CONTROL") & asked)
        for register in self._stored:
            value = getattr(self, register.name.lower())
            writes = wants & self._written(register.name)
            for byte, strobe in enumerate(self.s_axil_wstrb):
                place = slice(8 * byte, 8 * byte + 8)
                with m.If(writes & strobe):
                    m.d.sync += value[place].eq(self.s_axil_wdata[place])

    def _written(self, name: str) -> Any:
        """Whether a write is to the register of a name."""
        address = next(r.address for r in REGISTERS if r.name == name)
        return self.s_axil_awaddr[2:] == address >> 2

    def _read(self, m: Module) -> None:
        """A register is there at once; a counter may keep its reader waiting."""
        word, value = Signal(10), Signal(32)
        offset, is_counter, wants = Signal(10), Signal(), Signal()
        known = {r.address >> 2: self._value(r.name) for r in REGISTERS}
        registers = [known.get(number, Const(0, 32)) for number in range(max(known) + 1)]
        parameters = [Const(v, 32) for v in parameter_values(self._config).values()]
        parameter = Signal(10)
        m.d.comb += [
            word.eq(self.s_axil_araddr[2:]),
            offset.eq(word - (COUNTER_BASE >> 2)),
            parameter.eq(word - (PARAMETER_BASE >> 2)),
            is_counter.eq(offset < self._counters),
            self.counter_number.eq(offset),
            wants.eq(
                self.s_axil_arvalid & ~self.s_axil_rvalid & (~is_counter | self.counter_valid)
            ),
            self.s_axil_arready.eq(wants),
        ]
        for number, values in ((word, registers), (parameter, parameters)):
            with m.If(number < len(values)):
                m.d.comb += value.eq(chosen(values, number))
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
            "PARAMETERS": len(parameter_values(self._config)),
        }
        if name not in fixed and not hasattr(self, name.lower()):
            return Const(0, 32)
        return Const(fixed[name], 32) if name in fixed else getattr(self, name.lower())
