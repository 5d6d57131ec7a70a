"""Constants that operators make of constants, computed while a file is imported.

Results stay small: what repeats one number (``ConstantOfShape``) takes no memory until it is used.
What has no need of that is left to ONNX's reference implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from pulsarray.compiler.importers.onnx.evaluate import evaluate
from pulsarray.compiler.importers.onnx.file import Call, Constant
from pulsarray.errors import InputError

__all__ = ["COMPUTED", "EMPTY_AXES", "FOLDED", "axes_of", "fold_constant", "fold_constants"]

_LARGEST = 1 << 28
"""Elements of a constant."""
_LARGEST_EVALUATED = 1 << 24
"""Elements of a constant that ONNX's reference implementation makes, which copies at will."""
EMPTY_AXES = "Squeeze with an empty list of axes means none to some readers, to others all"


def fold_constants(call: Call, inputs: Sequence[Constant], opset: int) -> list[Constant]:
    """All results of an operator of :data:`FOLDED` on constants.

    Raises
    ------
    InputError
        If the operator cannot work on them.
    """
    if call.kind in COMPUTED:
        return [fold_constant(call, inputs, opset)]
    _check_room(call, inputs)
    return evaluate(call, inputs, opset)


def fold_constant(call: Call, inputs: Sequence[Constant], opset: int) -> Constant:
    """The only result of an operator on constants.

    Raises
    ------
    InputError
        If the operator cannot work on them.
    """
    try:
        result = COMPUTED[call.kind](call, inputs, opset)
    except InputError:
        raise
    except Exception as error:  # of NumPy, on whatever shapes a file may have
        reason = " ".join(str(error).split())
        raise InputError(f"{call.where}: {call.kind} of constants fails: {reason}") from None
    if result.size > _LARGEST:
        raise InputError(f"{call.where}: a constant of shape {result.shape} is too large")
    return result


def _room(call: Call, shape: Sequence[float]) -> None:
    if prod(int(size) for size in shape) > _LARGEST:
        raise InputError(f"{call.where}: a constant of shape {tuple(shape)} is too large")


def _check_room(call: Call, inputs: Sequence[Constant]) -> None:
    """Refuse what would take more memory than a constant may, before it is computed."""
    sizes = [value.size for value in inputs]
    if call.kind == "Pad":
        _small(call, _padded(call, inputs))
    elif call.kind in ("Tile", "CenterCropPad"):
        numbers = [int(n) for v in inputs[1:] if v.dtype.kind in "iu" for n in v.reshape(-1)]
        _small(call, [sizes[0], *(max(abs(number), 1) for number in numbers)])
    elif call.kind == "OneHot" and inputs[1].size:
        _small(call, [sizes[0], int(inputs[1].reshape(-1)[0])])
    elif call.kind == "Range" and {*sizes} == {1} and inputs[2].item():
        start, end, step = (float(value.item()) for value in inputs)
        _small(call, [abs(end - start) / abs(step)])
    elif call.kind in ("Gemm", "MatMul"):
        along = inputs[0].shape[:1] if call.integer("transA", 0) else inputs[0].shape[-1:]
        _small(call, [size // max(along, default=1) for size in sizes[:2]])
    elif call.kind in _PAIRS:
        _small(call, [max(n) for n in zip_longest(*(v.shape[::-1] for v in inputs), fillvalue=1)])


def _padded(call: Call, inputs: Sequence[Constant]) -> list[int]:
    """Sizes that Pad makes, at most."""
    pads = call.integers("pads") or [int(n) for n in inputs[1].reshape(-1)]
    sizes = [*inputs[0].shape]
    axes = [int(k) for k in inputs[-1].reshape(-1)] if call.given(3) else [*range(len(sizes))]
    for axis, first, last in zip(axes, pads, pads[len(axes) :], strict=False):
        if -len(sizes) <= axis < len(sizes):
            sizes[axis] += abs(first) + abs(last)
    return sizes


def _small(call: Call, shape: Sequence[float]) -> None:
    if prod(shape) > _LARGEST_EVALUATED:
        raise InputError(f"{call.where}: {call.kind} of constants is too large: {tuple(shape)}")


def _constant(call: Call, _inputs: Sequence[Constant], _opset: int) -> Constant:
    for name, value in call.attributes.items():
        if name == "value" and isinstance(value, onnx.TensorProto):
            return np.asarray(numpy_helper.to_array(value))
        if name in ("value_float", "value_int", "value_floats", "value_ints"):
            return np.asarray(value)
        raise InputError(f"{call.where}: Constant must be numbers, not {name}")
    raise InputError(f"{call.where}: Constant has no value")


def _expand(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    shape = np.broadcast_shapes(inputs[0].shape, [int(size) for size in inputs[1].reshape(-1)])
    _room(call, shape)
    return np.broadcast_to(inputs[0], shape)


def _constant_of_shape(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    shape = [int(size) for size in inputs[0].reshape(-1)]
    _room(call, shape)
    value = call.attributes.get("value")
    number = np.zeros(1, np.float32)
    if isinstance(value, onnx.TensorProto):
        number = numpy_helper.to_array(value).reshape(-1)
    if number.size != 1:
        raise InputError(f"{call.where}: ConstantOfShape needs one value, not {number.size}")
    return np.broadcast_to(number[0], shape)


def _cast(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    kind = onnx.helper.tensor_dtype_to_np_dtype(call.integer("to", 1))
    if kind.kind not in "fiub":
        raise InputError(f"{call.where}: Cast must be to real numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        return inputs[0].astype(kind)


def axes_of(call: Call, inputs: Sequence[Constant]) -> tuple[int, ...] | None:
    """Axes that an operator has as an attribute or as its second input."""
    axes = call.integers("axes")
    if axes is None and len(inputs) > 1:
        return tuple(int(axis) for axis in inputs[1].reshape(-1))
    return axes


def _unsqueeze(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    return np.expand_dims(inputs[0], axes_of(call, inputs) or ())


def _squeeze(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    axes = axes_of(call, inputs)
    if axes == ():
        raise InputError(f"{call.where}: {EMPTY_AXES}")
    return np.squeeze(inputs[0], axes)


def _reshape(_call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    sizes = inputs[0].shape
    wanted = [int(size) for size in inputs[1].reshape(-1)]
    copied = [sizes[k] if size == 0 else size for k, size in enumerate(wanted)]
    return inputs[0].reshape(copied)


def _transpose(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    return inputs[0].transpose(call.integers("perm"))


def _flatten(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    axis = call.integer("axis", 1)
    split = axis if axis >= 0 else axis + inputs[0].ndim
    return inputs[0].reshape(prod(inputs[0].shape[:split]), -1)


def _concat(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    _room(call, [sum(value.size for value in inputs)])
    return np.concatenate(inputs, call.integer("axis", 0))


def _gather(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    axis, places = call.integer("axis", 0), inputs[1].astype(np.int64)
    _room(call, [inputs[0].size, places.size])
    return np.asarray(np.take(inputs[0], places, axis))


def _gather_elements(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    array, places = inputs[0], inputs[1].astype(np.int64)
    axis = call.integer("axis", 0) % max(array.ndim, 1)
    kept = tuple(slice(None if k == axis else size) for k, size in enumerate(places.shape))
    return np.take_along_axis(array[kept], places, axis)


def _slice(call: Call, inputs: Sequence[Constant], opset: int) -> Constant:
    array = inputs[0]
    if opset < 10:
        starts, ends = call.integers("starts") or (), call.integers("ends") or ()
        axes, steps = call.integers("axes"), None
    else:
        places = [place for place, name in enumerate(call.inputs) if name]
        lists = {
            place: tuple(int(v) for v in value.reshape(-1))
            for place, value in zip(places, inputs, strict=True)
            if place
        }
        starts, ends, axes, steps = lists[1], lists[2], lists.get(3), lists.get(4)
    cuts = [slice(None)] * array.ndim
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = axes[place] if axes is not None else place
        step = steps[place] if steps is not None else 1
        cuts[axis] = slice(start, end if step > 0 or end >= -array.shape[axis] else None, step)
    return array[tuple(cuts)]


def _arithmetic(function: Callable[[Constant, Constant], Constant]) -> _Fold:
    def run(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
        _room(call, np.broadcast_shapes(inputs[0].shape, inputs[1].shape))
        with np.errstate(all="ignore"):
            made = np.asarray(function(inputs[0], inputs[1]))
        # Python's division of integers is not ONNX's.
        return made.astype(inputs[0].dtype) if inputs[0].dtype.kind in "iu" else made

    return run


def _sqrt(_call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt(inputs[0]))


def _negative(_call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    return np.asarray(np.negative(inputs[0]))


def _identity(_call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    return inputs[0]


def _shape(call: Call, inputs: Sequence[Constant], _opset: int) -> Constant:
    sizes = np.array(inputs[0].shape, np.int64)
    end = call.integer("end", len(sizes))
    return sizes[call.integer("start", 0) : end]


_Fold = Callable[[Call, Sequence[Constant], int], Constant]

COMPUTED: Mapping[str, _Fold] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _arithmetic(np.divide),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Identity": _identity,
    "Mul": _arithmetic(np.multiply),
    "Neg": _negative,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Sqrt": _sqrt,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Operators whose results take little memory, or of which more is known than how they compute."""
_PAIRS = frozenset(
    {
        *("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"),
        *("Mod", "Or", "Pow", "Sum", "Where", "Xor"),
    }
)
"""Functions of several constants, element by element, which may repeat each other."""
_BY_REFERENCE = _PAIRS | {
    *("Abs", "ArgMax", "ArgMin", "CastLike", "Ceil", "CenterCropPad", "Clip", "Cos", "CumSum"),
    *("BlackmanWindow", "DepthToSpace", "Elu", "Erf", "Exp", "EyeLike", "Floor", "GatherND"),
    *("Gelu", "Gemm", "HammingWindow", "HannWindow", "HardSigmoid", "HardSwish", "LeakyRelu"),
    *("Mean", "MelWeightMatrix", "PRelu", "ReduceL1", "ReduceLogSum", "ReduceLogSumExp"),
    *("ReduceSumSquare", "Softplus", "Softsign"),
    *("IsInf", "IsNaN", "Log", "MatMul", "Not", "OneHot", "Pad", "Range", "Reciprocal"),
    *("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu"),
    *("ReverseSequence", "Round", "ScatterElements", "ScatterND", "Sigmoid", "Sign", "Sin"),
    *("Size", "Softmax", "SpaceToDepth", "Split", "Tanh", "Tile", "Trilu"),
}
FOLDED = frozenset({*COMPUTED, *_BY_REFERENCE})
"""Operators that are computed where all they read is constant."""
