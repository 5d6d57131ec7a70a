"""The golden model: what a program computes, to the bit, and when, to the cycle."""
