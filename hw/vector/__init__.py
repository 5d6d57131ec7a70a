"""The vector unit: its lanes, tables, scale, and exponents."""
