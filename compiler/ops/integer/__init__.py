"""Operators on int8 codes: the machine's kernels, each defined by integers alone."""

from pulsarray.compiler.ops.integer.add import Add, TfliteAdd
from pulsarray.compiler.ops.integer.chain import Chain
from pulsarray.compiler.ops.integer.concat import Concat, Reshape
from pulsarray.compiler.ops.integer.elementwise import Copy, Elementwise, Multiply
from pulsarray.compiler.ops.integer.log_softmax import LogSoftmax
from pulsarray.compiler.ops.integer.matmul import MatMul
from pulsarray.compiler.ops.integer.moving import Join, Repeat, Split, Swap
from pulsarray.compiler.ops.integer.normalize import Normalize
from pulsarray.compiler.ops.integer.pool import AveragePool, MaxPool
from pulsarray.compiler.ops.integer.product import Convolution, TransposedConvolution
from pulsarray.compiler.ops.integer.resize import Resize
from pulsarray.compiler.ops.integer.softmax import Softmax

__all__ = [
    "Add",
    "AveragePool",
    "Chain",
    "Concat",
    "Convolution",
    "Copy",
    "Elementwise",
    "Join",
    "LogSoftmax",
    "MatMul",
    "MaxPool",
    "Multiply",
    "Normalize",
    "Repeat",
    "Reshape",
    "Resize",
    "Softmax",
    "Split",
    "Swap",
    "TfliteAdd",
    "TransposedConvolution",
]
