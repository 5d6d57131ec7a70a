"""Sweeps: many designs, each with its exact cost."""
