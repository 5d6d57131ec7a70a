"""All operators that can be lowered: importing this registers every family.

A file here has the name of the file in ``compiler/ops/integer`` that says what its operators are.
"""

from pulsarray.compiler.lower import (
    add,
    chain,
    concat,
    elementwise,
    log_softmax,
    matmul,
    moving,
    normalize,
    pool,
    product,
    resize,
    softmax,
)

__all__ = [
    "add",
    "chain",
    "concat",
    "elementwise",
    "log_softmax",
    "matmul",
    "moving",
    "normalize",
    "pool",
    "product",
    "resize",
    "softmax",
]
