"""Arithmetic on integers by which operators are defined."""
