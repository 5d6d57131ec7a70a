"""Rewrites the Verilog of Yosys so that an engineer reads it; knows nothing of the machine."""
