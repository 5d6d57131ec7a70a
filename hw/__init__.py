"""The machine in Amaranth, and the writer of its Verilog."""

from pulsarray.extras import require

require("RTL", "amaranth")
