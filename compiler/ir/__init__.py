"""The compiler's one graph: typed values, and the operators between them."""
