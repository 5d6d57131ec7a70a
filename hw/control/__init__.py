"""Instructions on their way to the units, their order, errors, registers, counters."""
