"""Chains of matrix products: tiles, schedule, and the search for a fast one."""
