"""What is proven of each block."""
