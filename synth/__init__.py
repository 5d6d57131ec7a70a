"""From Verilog to what it takes on a device: Yosys, nextpnr, and reports of both."""
