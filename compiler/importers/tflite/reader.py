"""Reading TensorFlow Lite files, with every index and length checked.

FlatBuffers hold offsets that the generated readers follow without any check; Python raises for
those outside the file. Lengths are compared with the file before anything loops over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from pulsarray.compiler.importers.tflite.file import Operator, Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.sparse import read_sparsity
from pulsarray.errors import InputError

__all__ = ["read_tflite"]

_IDENTIFIER = b"TFL3"
_ENTRIES = 10_000  # tensors, operators, buffers: far more than any network has
_INPUTS = 1_000  # of one operator
_RANK = 8
_NAME = 1_000
_TYPES = {
    value: name.lower() for name, value in vars(tflite.TensorType).items() if isinstance(value, int)
}
_OPERATORS = {
    value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)
}
_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
_RECURRENT = ("FusedActivationFunction", "CellClip", "ProjClip", "TimeMajor")
_POOL = ("Pool2DOptions", (*_WINDOW, "FilterHeight", "FilterWidth"))
_OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", (*_WINDOW, "DilationHFactor", "DilationWFactor")),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        (*_WINDOW, "DilationHFactor", "DilationWFactor"),
    ),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _WINDOW),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        ("FusedActivationFunction", "WeightsFormat", "KeepNumDims"),
    ),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "DIV": ("DivOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "GELU": ("GeluOptions", ("Approximate",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_MAX": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_MIN": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_PROD": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_ALL": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_ANY": ("ReducerOptions", ("KeepDims",)),
    "SUM": ("ReducerOptions", ("KeepDims",)),
    "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
    "CUMSUM": ("CumsumOptions", ("Exclusive", "Reverse")),
    "L2_NORMALIZATION": ("L2NormOptions", ("FusedActivationFunction",)),
    "LOCAL_RESPONSE_NORMALIZATION": (
        "LocalResponseNormalizationOptions",
        ("Radius", "Bias", "Alpha", "Beta"),
    ),
    "ONE_HOT": ("OneHotOptions", ("Axis",)),
    "RESHAPE": ("ReshapeOptions", ("NewShape",)),
    "SQUEEZE": ("SqueezeOptions", ("SqueezeDims",)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ("UnidirectionalSequenceLSTMOptions", _RECURRENT),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (
        "BidirectionalSequenceLSTMOptions",
        (*_RECURRENT, "MergeOutputs"),
    ),
    "VAR_HANDLE": ("VarHandleOptions", ("Container", "SharedName")),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "PACK": ("PackOptions", ("Axis", "ValuesCount")),
    "UNPACK": ("UnpackOptions", ("Axis", "Num")),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": (
        "ResizeNearestNeighborOptions",
        ("AlignCorners", "HalfPixelCenters"),
    ),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
}
_CUSTOM: Mapping[str, tuple[str, ...]] = {
    "CUSTOM 'Convolution2DTransposeBias'": ("Padding", "StrideW", "StrideH"),
}
"""Operators of MediaPipe, and their options."""


class _UnknownPart(InputError):
    """A part of a file that it does not have."""


def read_tflite(path: Path, part: str = "") -> TfliteFile:
    """Read a file.

    Parameters
    ----------
    path
        The file.
    part
        Name of a signature or subgraph; its first subgraph without.

    Raises
    ------
    InputError
        If it cannot be read, is not a valid TensorFlow Lite file, or has no such part.
    """
    try:
        if not path.is_file() and path.exists():
            raise InputError(f"{path}: cannot read: not a file")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except ValueError as error:  # a path that no file can have
        raise InputError(f"{str(path)!r}: cannot read: {error}") from None
    try:
        return _parse(data, part)
    except _UnknownPart as error:
        raise InputError(f"{path}: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: not a valid TensorFlow Lite file: {error}") from None
    except Exception as error:  # of the readers, or whatever a broken file provokes
        text = " ".join(str(error).split())[:200]
        reason = f"{type(error).__name__}: {text}"
        raise InputError(f"{path}: not a valid TensorFlow Lite file: {reason}") from None


def _parse(data: bytes, part: str) -> TfliteFile:
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise InputError("it does not have the identifier TFL3")
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() < 1:
        raise InputError("it has no subgraph")
    buffers = [
        _buffer(model.Buffers(i), data) for i in range(_count("buffers", model.BuffersLength()))
    ]
    codes = [
        _code(model.OperatorCodes(i))
        for i in range(_count("operator codes", model.OperatorCodesLength()))
    ]
    main = _subgraph(model, _part(model, part), buffers, codes, len(data))
    numbers = {o.option("InitSubgraphIndex") for o in main.operators if o.kind == "CALL_ONCE"}
    for number in numbers:
        if not 0 <= number < model.SubgraphsLength():
            raise InputError(f"CALL_ONCE names subgraph {number} of {model.SubgraphsLength()}")
    called = {n: _subgraph(model, n, buffers, codes, len(data)) for n in sorted(numbers)}
    return replace(main, called=called)


def _subgraph(
    model: Any, number: int, buffers: list[memoryview | None], codes: list[str], size: int
) -> TfliteFile:
    graph = model.Subgraphs(number)
    tensors = tuple(
        _tensor(graph.Tensors(i), i, buffers)
        for i in range(_count("tensors", graph.TensorsLength()))
    )
    operators = tuple(
        _operator(graph.Operators(i), i, codes, len(tensors))
        for i in range(_count("operators", graph.OperatorsLength()))
    )
    inputs = _indices(graph.InputsAsNumpy(), "the graph's inputs", len(tensors))
    outputs = _indices(graph.OutputsAsNumpy(), "the graph's outputs", len(tensors))
    return TfliteFile(size, tensors, operators, inputs, outputs)


def _part(model: Any, part: str) -> int:
    """The number of a subgraph."""
    if not part:
        return 0  # The main one: others are further signatures, or bodies of operators.
    parts = _parts(model)
    if part not in parts:
        known = ", ".join(map(repr, filter(None, parts))) or "none has a name"
        raise _UnknownPart(f"has no signature or subgraph {part!r}: {known}")
    return parts[part]


def _parts(model: Any) -> Mapping[str, int]:
    """Numbers of subgraphs by their names and by those of signatures, which come first."""
    count = _count("subgraphs", model.SubgraphsLength())
    names = {_text(model.Subgraphs(i).Name(), ""): i for i in range(count)}
    for i in range(_count("signatures", model.SignatureDefsLength())):
        signature = model.SignatureDefs(i)
        if signature.SubgraphIndex() < count:
            names[_text(signature.SignatureKey(), "")] = int(signature.SubgraphIndex())
    return names


def _count(what: str, count: int) -> int:
    if count > _ENTRIES:
        raise InputError(f"it has {count} {what}; {_ENTRIES} are supported")
    return count


def _indices(indices: Any, what: str, count: int) -> tuple[int, ...]:
    """Indices of tensors, from a vector that a reader gives as an array, or 0 if it is absent."""
    if isinstance(indices, int):
        return ()
    for index in indices[:_ENTRIES]:
        if not 0 <= index < count:
            raise InputError(f"{what} name tensor {index} of {count}")
    return tuple(int(index) for index in indices[: _count(what, len(indices))])


def _text(name: bytes | None, default: str) -> str:
    text = (name or b"")[:_NAME].decode("utf-8", "replace") or default
    return "".join(c if c.isprintable() else "?" for c in text)


def _buffer(buffer: Any, data: bytes) -> memoryview | None:
    if buffer.Offset() > 1:  # behind the FlatBuffer
        start, size = int(buffer.Offset()), int(buffer.Size())
        if start + size > len(data):
            raise InputError(f"a buffer of {size} bytes at {start} is outside of the file")
        return memoryview(data)[start : start + size]
    stored = buffer.DataAsNumpy()
    return None if isinstance(stored, int) or not len(stored) else memoryview(stored)


def _tensor(tensor: Any, index: int, buffers: list[memoryview | None]) -> Tensor:
    name = _text(tensor.Name(), f"tensor {index}")
    if not 0 <= tensor.Buffer() < max(len(buffers), 1):
        raise InputError(f"tensor {name!r} names buffer {tensor.Buffer()} of {len(buffers)}")
    stored = tensor.ShapeAsNumpy()
    shape = () if isinstance(stored, int) else tuple(int(n) for n in stored[: _RANK + 1])
    signature = tensor.ShapeSignatureAsNumpy()
    if len(shape) > _RANK or min(shape, default=0) < -1:
        raise InputError(f"tensor {name!r} has an impossible shape {shape}")
    is_open = not isinstance(signature, int) and -1 in signature
    if not isinstance(signature, int) and len(signature) == len(shape):
        # The batch may be dynamic: its size in the shape is a placeholder.
        shape = tuple(
            -1 if dynamic == -1 and axis else size
            for axis, (size, dynamic) in enumerate(zip(shape, signature, strict=True))
        )
    scales, zeros, axis = np.empty(0, np.float32), np.empty(0, np.int64), 0
    if (quantization := tensor.Quantization()) is not None:
        stored = quantization.ScaleAsNumpy()
        scales = scales if isinstance(stored, int) else stored
        stored = quantization.ZeroPointAsNumpy()
        zeros = zeros if isinstance(stored, int) else stored
        axis = int(quantization.QuantizedDimension())
    state, sparsity = "a variable" if tensor.IsVariable() else "", tensor.Sparsity()
    kind = _TYPES.get(tensor.Type(), f"type {tensor.Type()}")
    data = buffers[tensor.Buffer()] if buffers else None
    sparse = None if sparsity is None else read_sparsity(sparsity)
    return Tensor(index, name, shape, kind, scales, zeros, axis, data, state, sparse, is_open)


def _code(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATORS.get(number, f"operator code {number}")
    return f"CUSTOM {_text(code.CustomCode(), '')!r}" if kind == "CUSTOM" else kind


def _operator(operator: Any, index: int, codes: list[str], count: int) -> Operator:
    if not 0 <= operator.OpcodeIndex() < len(codes):
        raise InputError(f"operator {index} names code {operator.OpcodeIndex()} of {len(codes)}")
    kind = codes[operator.OpcodeIndex()]
    stored = operator.InputsAsNumpy()
    indices = [] if isinstance(stored, int) else stored[: _count("inputs", len(stored))].tolist()
    if len(indices) > _INPUTS:
        raise InputError(f"operator {index} ({kind}) has {len(indices)} inputs")
    inputs = []
    for tensor in indices:
        if not -1 <= tensor < count:
            raise InputError(f"operator {index} ({kind}) reads tensor {tensor} of {count}")
        inputs.append(None if tensor == -1 else tensor)
    outputs = _indices(operator.OutputsAsNumpy(), f"operator {index} ({kind})'s outputs", count)
    if kind in _CUSTOM:
        custom = _custom(operator, kind, index)
        return Operator(index, kind, tuple(inputs), outputs, custom)
    numbers: dict[str, float] = {}
    lists: dict[str, tuple[int, ...]] = {}
    names: dict[str, str] = {}
    for name, value in _options(operator, kind, index).items():
        if isinstance(value, tuple):
            lists[name] = value
        elif isinstance(value, str):
            names[name] = value
        else:
            numbers[name] = value
    return Operator(index, kind, tuple(inputs), outputs, numbers, lists, names)


def _options(operator: Any, kind: str, index: int) -> dict[str, float | str | tuple[int, ...]]:
    table = operator.BuiltinOptions()
    if kind not in _OPTIONS or table is None:
        return {}
    name, fields = _OPTIONS[kind]
    if operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise InputError(f"operator {index} ({kind}) does not have {name}")
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    known = (field for field in fields if hasattr(options, field))
    return {field: _option(options, field) for field in known}


def _option(options: Any, field: str) -> float | str | tuple[int, ...]:
    """A number, a name, or integers of a list."""
    if hasattr(options, f"{field}AsNumpy"):
        numbers = getattr(options, f"{field}AsNumpy")()
        return () if isinstance(numbers, int) else tuple(int(n) for n in numbers[: _RANK + 1])
    value = getattr(options, field)()
    return _text(value, "") if value is None or isinstance(value, bytes) else value


def _custom(operator: Any, kind: str, index: int) -> dict[str, float]:
    """Options of an operator that is none of the schema's: a row of 32-bit integers."""
    data, names = operator.CustomOptionsAsNumpy(), _CUSTOM[kind]
    if isinstance(data, int) or len(data) != 4 * len(names):
        raise InputError(f"operator {index} ({kind}) does not have {', '.join(names)}")
    numbers = np.frombuffer(data.tobytes(), "<i4").tolist()
    # Padding has the numbers of TensorFlow Lite's C interface, one more than in the schema.
    return {name: n - (name == "Padding") for name, n in zip(names, numbers, strict=True)}
