"""The banks on the chip, and the way to the memory outside."""
