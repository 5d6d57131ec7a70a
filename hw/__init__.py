"""The machine in Amaranth, and the writer of its Verilog."""
