"""Proof by simulation: tools, benches, the memory outside the chip, and comparisons."""
