"""Read requests of FETCH and LOAD on one AXI4 read channel."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.fifo import Fifo
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.memory.axi import axi4_read
from pulsarray.hw.memory.bursts import BEATS_BITS, MEMORY_BITS

__all__ = ["ReadArbiter"]


class ReadArbiter(Shared):
    """Grants one burst a cycle, FETCH first, and hands the beats to whoever asked.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    fetch_want, fetch_address, fetch_beats, fetch_grant
        A request, and whether it is granted in this cycle; the same for ``load``.
    fetch_valid, load_valid
        A beat for one or the other in this cycle, of the data and response on the bus.
    idle
        No burst is outstanding and no address on the bus.
    halt, clear
        Grant nothing more; forget everything.
    axi
        The read channels.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        request = {
            f"{who}_{name}": flow(bits)
            for who in ("fetch", "load")
            for name, flow, bits in (
                ("want", In, 1),
                ("address", In, MEMORY_BITS),
                ("beats", In, BEATS_BITS),
                ("grant", Out, 1),
                ("valid", Out, 1),
            )
        }
        super().__init__(
            {
                **request,
                "idle": Out(1),
                "halt": In(1),
                "clear": In(1),
                "axi": Out(axi4_read(config)),
            },
            bus_bits=config.bus_bits,
            outstanding=config.outstanding,
        )

    def body(self, platform: Any) -> Elaboratable:
        """An address register, and a queue of who asked for the bursts that are outstanding."""
        m = Module()
        axi, places = self.axi, self._config.outstanding
        m.submodules.owners = owners = Fifo(1, places)
        can, grant, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            can.eq((owners.level != places) & (~axi.arvalid | axi.arready) & ~self.halt),
            self.fetch_grant.eq(can & self.fetch_want),
            self.load_grant.eq(can & self.load_want & ~self.fetch_want),
            grant.eq(self.fetch_grant | self.load_grant),
            ends.eq(axi.rvalid & axi.rlast),
            owners.push.eq(grant),
            owners.entering.eq(self.load_grant),
            owners.pop.eq(ends),
            axi.rready.eq(1),
            self.fetch_valid.eq(axi.rvalid & ~owners.head),
            self.load_valid.eq(axi.rvalid & owners.head),
            self.idle.eq((owners.level == 0) & ~axi.arvalid),
            axi.arsize.eq(self._config.bus_bytes.bit_length() - 1),
            axi.arburst.eq(1),
            axi.arcache.eq(0b0011),
        ]
        beats = Mux(self.fetch_grant, self.fetch_beats, self.load_beats)
        with m.If(grant):
            m.d.sync += [
                axi.arvalid.eq(1),
                axi.araddr.eq(Mux(self.fetch_grant, self.fetch_address, self.load_address)),
                axi.arlen.eq(beats - 1),
            ]
        with m.Elif(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        return m
