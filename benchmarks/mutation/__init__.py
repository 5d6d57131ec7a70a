"""Faults drawn in the netlists of blocks, and whether the benches notice."""
