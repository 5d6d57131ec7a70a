"""TensorFlow Lite files as plain tables of tensors and operators, every index and length checked.

FlatBuffers hold offsets that the generated readers follow without any check; Python raises for
those outside the file. Lengths are compared with the file before anything loops over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from pulsarray.compiler.importers.tflite.sparse import Sparsity, read_sparsity
from pulsarray.errors import InputError

__all__ = ["Operator", "Tensor", "TfliteFile", "read_tflite"]

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
_Kinds = Mapping[str, type[np.number[Any]]]
_CONSTANT_TYPES: _Kinds = {"int8": np.int8, "int32": np.int32, "int64": np.int64}
_REAL_TYPES: _Kinds = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
_CODE_TYPES: _Kinds = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int4": np.int8}
_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
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
    "SUM": ("ReducerOptions", ("KeepDims",)),
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


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a file.

    Parameters
    ----------
    index, name
        Its place among the tensors; its name, printable.
    shape
        Its shape; -1 where it is dynamic.
    kind
        Its type, as ``int8``.
    scales, zeros, axis
        Its quantization, of each channel along an axis or of all.
    data
        The bytes of a constant; None for what operators compute.
    state
        Whether it is a variable or otherwise more than a tensor; then how.
    sparsity
        Where the elements of a sparse constant are; None where all are there.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    kind: str
    scales: npt.NDArray[np.float32]
    zeros: npt.NDArray[np.int64]
    axis: int
    data: bytes | memoryview | None
    state: str
    sparsity: Sparsity | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def short(self) -> str:
        """The name of the first operator among those that a converter fused into this one."""
        return self.name.partition(";")[0][:120]

    def constant(self) -> npt.NDArray[np.int64]:
        """The elements of a constant.

        Raises
        ------
        InputError
            If it is none, of another type, or its bytes do not fit its shape.
        """
        if self.data is None or self.kind not in _CONSTANT_TYPES:
            raise InputError(f"{self.short!r} must be an integer constant, not {self.kind}")
        return self._elements(_CONSTANT_TYPES[self.kind]).astype(np.int64)

    def reals(self) -> npt.NDArray[np.float64]:
        """The elements of a constant as real numbers, whether it has these or codes for them.

        Raises
        ------
        InputError
            If it is none, of another type, or its bytes do not fit its shape.
        """
        if self.data is None or self.state:
            raise InputError(f"{self.short!r} must be a constant, not {self.state or 'computed'}")
        if self.kind in _REAL_TYPES:
            values = self._elements(_REAL_TYPES[self.kind]).astype(np.float64)
            if not np.isfinite(values).all():
                raise InputError(f"constant {self.short!r} must have finite numbers")
            return values
        if self.kind not in _CODE_TYPES:
            kinds = ", ".join((*_REAL_TYPES, *_CODE_TYPES))
            raise InputError(f"constant {self.short!r} is {self.kind}; supported are {kinds}")
        scale, zero = self._quantization()
        codes = self._nibbles() if self.kind == "int4" else self._elements(_CODE_TYPES[self.kind])
        return (codes.astype(np.float64) - zero) * scale

    def _elements(self, kind: type[np.number[Any]]) -> npt.NDArray[Any]:
        """The elements of a constant, as they are."""
        little = np.dtype(kind).newbyteorder("<")
        if self.sparsity is not None:
            return self.sparsity.dense(np.frombuffer(self.data or b"", little), self.shape)
        self._check_bytes(self.size * little.itemsize)
        return np.frombuffer(self.data or b"", little).reshape(self.shape)

    def _nibbles(self) -> npt.NDArray[np.int64]:
        """Elements of four bits, the first of a byte in its lower half."""
        self._check_bytes(-(-self.size // 2))
        pairs = np.frombuffer(self.data or b"", np.uint8).astype(np.int64)
        codes = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1)[: self.size]
        return np.asarray(codes - 16 * (codes > 7), np.int64).reshape(self.shape)

    def _check_bytes(self, count: int) -> None:
        bytes_of_data = len(self.data or b"")
        if min(self.shape, default=1) < 0 or bytes_of_data != count:
            raise InputError(
                f"constant {self.short!r} of shape {self.shape} has {bytes_of_data} bytes"
            )

    def _quantization(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scales and zero points as they meet the elements.

        Raises
        ------
        InputError
            If there are not one or as many as the axis has, or a scale is not positive.
        """
        count, fits = len(self.scales), -len(self.shape) <= self.axis < len(self.shape)
        if count != 1 and not (fits and count == self.shape[self.axis]):
            raise InputError(
                f"constant {self.short!r} of {self.kind} and shape {self.shape} needs one scale, "
                f"or one for each of axis {self.axis}, not {count}"
            )
        if len(self.zeros) not in (0, 1, count):
            raise InputError(f"constant {self.short!r} has {len(self.zeros)} zero points")
        if not np.isfinite(self.scales).all() or float(self.scales.min()) <= 0.0:
            raise InputError(f"constant {self.short!r} needs positive scales")
        scales = self.scales.astype(np.float64)
        zeros = self.zeros.astype(np.float64) if len(self.zeros) else np.zeros(1)
        if count == 1:
            return scales, zeros[:1]
        sizes = [1] * len(self.shape)
        sizes[self.axis] = count
        return scales.reshape(sizes), np.broadcast_to(zeros, count).reshape(sizes)


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of a file.

    Parameters
    ----------
    index, kind
        Its place among the operators; its name in TensorFlow Lite.
    inputs, outputs
        Indices of tensors; None for an input that is left out.
    options
        Its attributes, by their names in the schema's readers.
    """

    index: int
    kind: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]

    def option(self, name: str) -> int:
        """An integer attribute; 0 where it is not given."""
        return int(self.options.get(name, 0))


@dataclass(frozen=True, eq=False)
class TfliteFile:
    """What a file's main subgraph holds: operators are in the order in which they run."""

    size: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def place(self, operator: Operator) -> str:
        """An operator without its kind."""
        names = [repr(self.tensors[index].short) for index in operator.outputs[:1]]
        return " ".join([f"operator {operator.index}", *names])

    def where(self, operator: Operator) -> str:
        """An operator in an error message."""
        names = [self.tensors[index].short for index in operator.outputs[:1]]
        return f"operator {operator.index} ({', '.join([operator.kind, *map(repr, names)])})"


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
    graph = model.Subgraphs(_part(model, part))
    buffers = [
        _buffer(model.Buffers(i), data) for i in range(_count("buffers", model.BuffersLength()))
    ]
    tensors = tuple(
        _tensor(graph.Tensors(i), i, buffers)
        for i in range(_count("tensors", graph.TensorsLength()))
    )
    codes = [
        _code(model.OperatorCodes(i))
        for i in range(_count("operator codes", model.OperatorCodesLength()))
    ]
    operators = tuple(
        _operator(graph.Operators(i), i, codes, len(tensors))
        for i in range(_count("operators", graph.OperatorsLength()))
    )
    inputs = _indices(graph.InputsAsNumpy(), "the graph's inputs", len(tensors))
    outputs = _indices(graph.OutputsAsNumpy(), "the graph's outputs", len(tensors))
    return TfliteFile(len(data), tensors, operators, inputs, outputs)


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


def _indices(found: Any, what: str, count: int) -> tuple[int, ...]:
    """Indices of tensors, from a vector that a reader gives as an array, or 0 if it is absent."""
    if isinstance(found, int):
        return ()
    for index in found[:_ENTRIES]:
        if not 0 <= index < count:
            raise InputError(f"{what} name tensor {index} of {count}")
    return tuple(int(index) for index in found[: _count(what, len(found))])


def _text(name: bytes | None, default: str) -> str:
    text = (name or b"")[:_NAME].decode("utf-8", "replace") or default
    return "".join(c if c.isprintable() else "?" for c in text)


def _buffer(buffer: Any, data: bytes) -> memoryview | None:
    if buffer.Offset() > 1:  # behind the FlatBuffer
        start, size = int(buffer.Offset()), int(buffer.Size())
        if start + size > len(data):
            raise InputError(f"a buffer of {size} bytes at {start} is outside of the file")
        return memoryview(data)[start : start + size]
    found = buffer.DataAsNumpy()
    return None if isinstance(found, int) or not len(found) else memoryview(found)


def _tensor(tensor: Any, index: int, buffers: list[memoryview | None]) -> Tensor:
    name = _text(tensor.Name(), f"tensor {index}")
    if not 0 <= tensor.Buffer() < max(len(buffers), 1):
        raise InputError(f"tensor {name!r} names buffer {tensor.Buffer()} of {len(buffers)}")
    found = tensor.ShapeAsNumpy()
    shape = () if isinstance(found, int) else tuple(int(n) for n in found[: _RANK + 1])
    signature = tensor.ShapeSignatureAsNumpy()
    if len(shape) > _RANK or min(shape, default=0) < -1:
        raise InputError(f"tensor {name!r} has an impossible shape {shape}")
    if not isinstance(signature, int) and len(signature) == len(shape):
        # The batch may be dynamic: its size in the shape is a placeholder.
        shape = tuple(
            -1 if dynamic == -1 and axis else size
            for axis, (size, dynamic) in enumerate(zip(shape, signature, strict=True))
        )
    scales, zeros, axis = np.empty(0, np.float32), np.empty(0, np.int64), 0
    if (quantization := tensor.Quantization()) is not None:
        found = quantization.ScaleAsNumpy()
        scales = scales if isinstance(found, int) else found
        found = quantization.ZeroPointAsNumpy()
        zeros = zeros if isinstance(found, int) else found
        axis = int(quantization.QuantizedDimension())
    state, sparsity = "a variable" if tensor.IsVariable() else "", tensor.Sparsity()
    kind = _TYPES.get(tensor.Type(), f"type {tensor.Type()}")
    data = buffers[tensor.Buffer()] if buffers else None
    sparse = None if sparsity is None else read_sparsity(sparsity)
    return Tensor(index, name, shape, kind, scales, zeros, axis, data, state, sparse)


def _code(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATORS.get(number, f"operator code {number}")
    return f"CUSTOM {_text(code.CustomCode(), '')!r}" if kind == "CUSTOM" else kind


def _operator(operator: Any, index: int, codes: list[str], count: int) -> Operator:
    if not 0 <= operator.OpcodeIndex() < len(codes):
        raise InputError(f"operator {index} names code {operator.OpcodeIndex()} of {len(codes)}")
    kind = codes[operator.OpcodeIndex()]
    found = operator.InputsAsNumpy()
    given = [] if isinstance(found, int) else found[: _count("inputs", len(found))].tolist()
    if len(given) > _INPUTS:
        raise InputError(f"operator {index} ({kind}) has {len(given)} inputs")
    inputs = []
    for tensor in given:
        if not -1 <= tensor < count:
            raise InputError(f"operator {index} ({kind}) reads tensor {tensor} of {count}")
        inputs.append(None if tensor == -1 else tensor)
    outputs = _indices(operator.OutputsAsNumpy(), f"operator {index} ({kind})'s outputs", count)
    return Operator(index, kind, tuple(inputs), outputs, _options(operator, kind, index))


def _options(operator: Any, kind: str, index: int) -> dict[str, float]:
    table = operator.BuiltinOptions()
    if kind in _CUSTOM:
        return _custom(operator, kind, index)
    if kind not in _OPTIONS or table is None:
        return {}
    name, fields = _OPTIONS[kind]
    if operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise InputError(f"operator {index} ({kind}) does not have {name}")
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return {field: getattr(options, field)() for field in fields if hasattr(options, field)}


def _custom(operator: Any, kind: str, index: int) -> dict[str, float]:
    """Options of an operator that is none of the schema's: a row of 32-bit integers."""
    data, names = operator.CustomOptionsAsNumpy(), _CUSTOM[kind]
    if isinstance(data, int) or len(data) != 4 * len(names):
        raise InputError(f"operator {index} ({kind}) does not have {', '.join(names)}")
    numbers = np.frombuffer(data.tobytes(), "<i4").tolist()
    # Padding has the numbers of TensorFlow Lite's C interface, one more than in the schema.
    return {name: n - (name == "Padding") for name, n in zip(names, numbers, strict=True)}
