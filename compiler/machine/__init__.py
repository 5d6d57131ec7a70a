"""The chip as the compiler sees it: memory, transfers, instructions in order; no operators."""
