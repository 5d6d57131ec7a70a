"""What each ONNX operator becomes: one function an operator, called with the network before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulsarray.compiler.importers.onnx import (
    arithmetic,
    attention,
    functions,
    indices,
    joining,
    layers,
    linear,
    moving,
    pools,
    reductions,
    resize,
    shapes,
)
from pulsarray.compiler.importers.onnx.composed import COMPOSED, Compose
from pulsarray.compiler.importers.onnx.file import EXPANDED, Call
from pulsarray.compiler.importers.onnx.fused import FUSED
from pulsarray.compiler.importers.onnx.qonnx import QUANTIZERS
from pulsarray.compiler.importers.onnx.recurrent import RECURRENT, recurrent
from pulsarray.compiler.importers.onnx.tensors import Network

__all__ = ["IF", "IMAGES", "MADE_OF_OTHERS", "OPERATORS", "TAKEN"]

OPERATORS: Mapping[str, Callable[[Network, Call], None]] = {
    **dict.fromkeys(functions.FUNCTIONS, functions.function),
    **dict.fromkeys(reductions.REDUCTIONS, reductions.reduce),
    **dict.fromkeys(linear.AFFINE, linear.affine),
    "Add": arithmetic.add,
    "ArgMax": reductions.place_of,
    "ArgMin": reductions.place_of,
    "AveragePool": pools.average_pool,
    "BatchNormalization": layers.batch_norm,
    "Cast": shapes.cast,
    "CastLike": shapes.cast_like,
    "Clip": arithmetic.clip,
    "Concat": joining.concat,
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "DepthToSpace": moving.depth_to_space,
    "Div": arithmetic.div,
    "Dropout": arithmetic.dropout,
    "Flatten": shapes.flatten,
    "Gather": moving.cut,
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
    "OneHot": indices.read_numbers,
    "Pad": pools.pad,
    "Pow": functions.power,
    "PRelu": arithmetic.prelu,
    "RMSNormalization": attention.layer_norm,
    "ReduceMean": pools.reduce_mean,
    "Resize": resize.resize,
    "Reshape": shapes.reshape,
    "Shape": shapes.shape,
    "Slice": moving.cut,
    "Softmax": shapes.softmax,
    "SpaceToDepth": moving.space_to_depth,
    "Split": moving.split,
    "Squeeze": shapes.squeeze,
    "Sub": arithmetic.sub,
    "Sum": arithmetic.total,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    "Upsample": resize.resize,
}

MADE_OF_OTHERS: Mapping[str, Compose] = {
    **COMPOSED,
    **FUSED,
    **QUANTIZERS,
    **dict.fromkeys(RECURRENT, recurrent),
}
"""Operators in whose place others come."""
IF = "If"
"""What takes one of two graphs, here by a constant."""
TAKEN = frozenset({*OPERATORS, *MADE_OF_OTHERS, *EXPANDED, IF})
"""All that are taken in a float network."""
IMAGES = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LRN",
        "MaxPool",
        "Pad",
        "ReduceMean",
        "Resize",
        "SpaceToDepth",
        "Upsample",
    }
)
"""Operators that make a tensor (N, C, H, W) images."""
