"""What each ONNX operator becomes: one function an operator, called with the network before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulsarray.compiler.importers.onnx import (
    arithmetic,
    attention,
    functions,
    layers,
    pools,
    shapes,
)
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.tensors import Network

__all__ = ["IMAGES", "OPERATORS"]

OPERATORS: Mapping[str, Callable[[Network, Call], None]] = {
    **dict.fromkeys(functions.FUNCTIONS, functions.function),
    "Add": arithmetic.add,
    "AveragePool": pools.average_pool,
    "BatchNormalization": layers.batch_norm,
    "Clip": functions.clip,
    "Concat": shapes.concat,
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Div": arithmetic.div,
    "Dropout": arithmetic.dropout,
    "Flatten": shapes.flatten,
    "Gemm": layers.gemm,
    "GlobalAveragePool": pools.global_average_pool,
    "GlobalMaxPool": pools.global_max_pool,
    "Identity": shapes.identity,
    "LayerNormalization": attention.layer_norm,
    "LRN": layers.local_response_norm,
    "MatMul": attention.matmul,
    "Max": arithmetic.extreme,
    "MaxPool": pools.max_pool,
    "Min": arithmetic.extreme,
    "Mul": arithmetic.mul,
    "Pad": pools.pad,
    "Pow": functions.power,
    "PRelu": arithmetic.prelu,
    "ReduceMean": pools.reduce_mean,
    "Reshape": shapes.reshape,
    "Shape": shapes.shape,
    "Softmax": shapes.softmax,
    "Squeeze": shapes.squeeze,
    "Sub": arithmetic.sub,
    "Sum": arithmetic.total,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
}

IMAGES = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LRN",
        "MaxPool",
        "Pad",
        "ReduceMean",
    }
)
"""Operators that make a tensor (N, C, H, W) images."""
