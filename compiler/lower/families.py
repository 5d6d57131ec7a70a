"""All operators that can be lowered: importing this registers every family.

A file here has the name of the file in ``compiler/ops/integer`` that says what its operators are.
"""

from pulsarray.compiler.lower import add, concat, elementwise, matmul, pool, product, resize

__all__ = ["add", "concat", "elementwise", "matmul", "pool", "product", "resize"]
