"""All operators that can be lowered: importing this registers every family."""

from pulsarray.compiler.maps import additions, concat, elementwise, matrices, pooling, product

__all__ = ["additions", "concat", "elementwise", "matrices", "pooling", "product"]
