"""Drivers: what runs programs on a machine that has been built."""
