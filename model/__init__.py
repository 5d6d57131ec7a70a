"""The golden model: what a program leaves in memory, and when everything happens."""
