"""Pulsarray: a systolic-array accelerator in RTL with a golden model exact to bit and cycle."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
"""Version of the package; the programming interface has its own in :mod:`pulsarray.registers`."""
