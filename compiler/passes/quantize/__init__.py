"""From floating point to int8."""
