"""All operators that can be lowered: importing this registers every family."""

from pulsarray.compiler.maps import additions, concat, elementwise, pooling, product

__all__ = ["additions", "concat", "elementwise", "pooling", "product"]
