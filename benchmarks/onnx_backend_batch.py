"""Tests of the onnx package with a batch of one before all dimensions: axes and shapes follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from pulsarray.compiler.importers.onnx.functions import FUNCTIONS

__all__ = ["SEVERAL", "with_batch"]

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Change = Callable[[onnx.NodeProto, Arrays, int], None]
"""Changes a node and its constants, the rank of the first without a batch."""

_PAIRS = frozenset(
    {
        *("Add", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max"),
        *("Mean", "Min", "Mod", "Mul", "Pow", "PRelu", "Sub", "Sum"),
    }
)
"""Functions of several values, element by element, which may repeat each other."""
SEVERAL = (_PAIRS | {"Concat"}) - {"PRelu", "Pow"}
"""Operators all of whose inputs may be activations."""


def with_batch(model: onnx.ModelProto, values: Arrays) -> tuple[Any, Arrays]:
    """One sample before all dimensions; None for operators that have a batch already."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node = made.graph.node[0]
    change = _CHANGES.get(node.op_type)
    if change is None:
        return None, values
    several = node.op_type in SEVERAL
    names = [n for n in node.input if n] if several else [node.input[0]]
    change(node, values, values[node.input[0]].ndim)
    for name in {*names}:
        values[name] = values[name][None]
    return made, values


def _nothing(_node: onnx.NodeProto, _values: Arrays, _rank: int) -> None:
    """Nothing but the batch."""


def _alike(node: onnx.NodeProto, values: Arrays, _rank: int) -> None:
    """As many dimensions of all."""
    rank = max(values[name].ndim for name in node.input)
    for name in {*node.input}:
        values[name] = values[name].reshape((1,) * (rank - values[name].ndim) + values[name].shape)


def _axis(default: int, *others: int) -> Change:
    """An attribute ``axis``, and operands that have a batch, too."""

    def change(node: onnx.NodeProto, values: Arrays, _rank: int) -> None:
        _set(node, "axis", _shifted(_get(node, "axis", default)))
        for place in others:
            values[node.input[place]] = values[node.input[place]][None]

    return change


def _axes(node: onnx.NodeProto, values: Arrays, rank: int) -> None:
    """Axes as an operand; without, or with none, all that there are."""
    name = node.input[1] if len(node.input) > 1 else ""
    axes = values[name] if name else np.zeros(0, np.int64)
    shifted = [_shifted(int(axis)) for axis in axes.reshape(-1)]
    if not shifted and not _get(node, "noop_with_empty_axes", 0):
        shifted, axes = [*range(1, rank + 1)], np.arange(rank)
    del node.input[1:]
    node.input.append(name or "axes")
    values[node.input[1]] = np.array(shifted, np.int64).reshape(axes.shape)


def _axes_attribute(node: onnx.NodeProto, _values: Arrays, rank: int) -> None:
    """Axes as an attribute, without the standard's."""
    usual = [0, 2, 3] if node.op_type == "MeanVarianceNormalization" else [*range(rank)]
    axes = _get(node, "axes", usual)
    _set(node, "axes", [_shifted(axis) for axis in axes])


def _shape(node: onnx.NodeProto, values: Arrays, rank: int) -> None:
    """Sizes or repeats of all axes, of which the result may have more."""
    sizes = values[node.input[1]]
    values[node.input[1]] = np.array([1, *sizes], np.int64)
    data = values[node.input[0]]
    if node.op_type == "Expand" and len(sizes) > rank:
        values[node.input[0]] = data.reshape(*[1] * (len(sizes) - rank), *data.shape)


def _pads(node: onnx.NodeProto, values: Arrays, rank: int) -> None:
    if len(node.input) > 3 and node.input[3]:
        axes = values[node.input[3]]
        values[node.input[3]] = np.array([_shifted(int(axis)) for axis in axes], axes.dtype)
        return
    pads = values[node.input[1]]
    values[node.input[1]] = np.array([0, *pads[:rank], 0, *pads[rank:]], np.int64)


def _slice(node: onnx.NodeProto, values: Arrays, _rank: int) -> None:
    if len(node.input) < 4:
        node.input.append("axes")
        values["axes"] = np.arange(len(values[node.input[1]]))
    axes = values[node.input[3]]
    values[node.input[3]] = np.array([_shifted(int(axis)) for axis in axes], axes.dtype)


def _gather_nd(node: onnx.NodeProto, values: Arrays, _rank: int) -> None:
    _set(node, "batch_dims", _get(node, "batch_dims", 0) + 1)
    values[node.input[1]] = values[node.input[1]][None]


def _scatter_nd(node: onnx.NodeProto, values: Arrays, _rank: int) -> None:
    indices, updates = (values[name] for name in node.input[1:3])
    first = np.zeros((*indices.shape[:-1], 1), indices.dtype)
    values[node.input[1]] = np.concatenate([first, indices], axis=-1)[None]
    values[node.input[2]] = updates[None]


def _transpose(node: onnx.NodeProto, _values: Arrays, rank: int) -> None:
    order = _get(node, "perm", list(range(rank))[::-1])
    _set(node, "perm", [0, *(axis + 1 for axis in order)])


def _shifted(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def _get(node: onnx.NodeProto, name: str, default: Any) -> Any:
    values = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return values[0] if values else default


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


_CHANGES: Mapping[str, Change] = {
    **dict.fromkeys(_PAIRS, _alike),
    **dict.fromkeys((*FUNCTIONS, "Clip", "Dropout", "Identity", "MatMul", "Swish"), _nothing),
    **dict.fromkeys(("Concat", "Gather", "Split", "ArgMax", "ArgMin"), _axis(0)),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), _axis(-1)),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "TopK"), _axis(-1)),
    "GatherElements": _axis(0, 1),
    "GatherND": _gather_nd,
    "Pad": _pads,
    "Scatter": _axis(0, 1, 2),
    "ScatterElements": _axis(0, 1, 2),
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Transpose": _transpose,
    **dict.fromkeys(("Expand", "Reshape", "Tile"), _shape),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "CumSum", "CumProd"), _axes),
    **dict.fromkeys(("CenterCropPad", "MeanVarianceNormalization"), _axes_attribute),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"), _axes),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), _axes),
    "ReduceSumSquare": _axes,
}
"""How each has a batch."""
