"""Proofs of the generated Verilog by Yosys and solvers."""
