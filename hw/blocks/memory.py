"""The storage primitive of scratchpad, accumulator, parameters and tables."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared

__all__ = ["Memory1R1W"]

_VERILOG = """\
module {name}(input clk, write_enable, read_enable,
  input [{address_top}:0] write_address, read_address,
  input [{data_top}:0] write_data, output reg [{data_top}:0] read_data);
  (* no_rw_check{style} *)
  reg [{data_top}:0] rows [0:{last}];
  integer row;
  initial begin
    read_data = {bits}'d0;
    for (row = 0; row <= {last}; row = row + 1) rows[row] = {bits}'d0;
  end
  always @(posedge clk) begin
    if (write_enable) rows[write_address] <= write_data;
    if (read_enable) read_data <= rows[read_address];
  end
endmodule
"""

_BLOCK_BITS = 4096
"""From so many bits on a memory is a block RAM, however few its rows."""
_BLOCK_ROWS, _BLOCK_ROW_BITS = 17, 64
"""And so is one of wide rows that are more than one table of a device holds."""
_MANY_ROWS = 64
"""And one of so many rows, however narrow: tables would take a multiplexer for every bit too."""
_STYLES = ("", "block", "distributed")


class Memory1R1W(Shared):
    """Words with one synchronous read port and one write port, zero at power-on.

    Reading and writing one address in the same cycle reads the old word in simulation and is
    undefined in a block RAM: a user that may do so forwards the word that it writes. Reset
    clears neither the words nor ``read_data``.

    Parameters
    ----------
    shape_bits
        Bits of a word.
    depth
        Words, at least 2; an enabled address must be below it.
    style
        What a device makes it of: its ``block`` RAM or its ``distributed`` one, tables; empty:
        what suits its size.

    Members
    -------
    write_enable, write_address, write_data
        The word is stored at the end of the cycle.
    read_enable, read_address
        Asks for a word.
    read_data
        The word, in the cycle after ``read_enable``, held until the cycle after the next one.
    """

    def __init__(self, shape_bits: int, depth: int, style: str = "") -> None:
        self._bits, self._depth = shape_bits, depth
        self._style = style or ("block" if self._is_large else "")
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(range(depth)),
                "write_data": In(shape_bits),
                "read_enable": In(1),
                "read_address": In(range(depth)),
                "read_data": Out(shape_bits),
            },
            shape_bits=shape_bits,
            depth=depth,
            **({"style": _STYLES.index(style)} if style else {}),
        )

    @property
    def _is_large(self) -> bool:
        is_wide = self._depth >= _BLOCK_ROWS and self._bits >= _BLOCK_ROW_BITS
        is_deep = self._depth >= _MANY_ROWS
        return is_wide or is_deep or self._bits * self._depth >= _BLOCK_BITS

    def verilog(self, name: str) -> str:
        """The module with its rows cleared by a loop, which no RTLIL memory can express."""
        return _VERILOG.format(
            name=name,
            bits=self._bits,
            style=f', ram_style = "{self._style}"' if self._style else "",
            last=self._depth - 1,
            data_top=self._bits - 1,
            address_top=(self._depth - 1).bit_length() - 1,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The same memory for Amaranth's own simulator."""
        m = Module()
        rows: Any = memory.Memory(shape=self._bits, depth=self._depth, init=[])
        m.submodules.rows = rows
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
