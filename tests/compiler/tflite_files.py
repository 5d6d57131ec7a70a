"""Small TensorFlow Lite files for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
_KINDS = {
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int4": tflite.TensorType.INT4,
    "int16": tflite.TensorType.INT16,
    "int32": tflite.TensorType.INT32,
    "int64": tflite.TensorType.INT64,
    "float32": tflite.TensorType.FLOAT32,
    "float16": tflite.TensorType.FLOAT16,
    "float64": tflite.TensorType.FLOAT64,
    "bool": tflite.TensorType.BOOL,
    "complex64": tflite.TensorType.COMPLEX64,
    "resource": tflite.TensorType.RESOURCE,
}
_OLD = (
    *("RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SQUARE", "GELU"),
    *("SUM", "DIV", "EXP", "RSQRT", "SQUARED_DIFFERENCE", "PADV2"),
    *("ABS", "CEIL", "COS", "ELU", "FLOOR", "HARD_SWISH", "LOG", "NEG", "ROUND", "SIGN", "SIN"),
    *("SQRT", "LEAKY_RELU", "PRELU", "DEPTH_TO_SPACE", "MIRROR_PAD", "SPACE_TO_DEPTH"),
    *("ARG_MAX", "ARG_MIN", "DENSIFY", "TILE"),
    *("ADD_N", "CAST", "COMPLEX_ABS", "CUMSUM", "EQUAL", "FLOOR_DIV", "FLOOR_MOD"),
    *("GREATER", "GREATER_EQUAL", "IMAG", "L2_NORMALIZATION", "LESS", "LESS_EQUAL"),
    *("LOCAL_RESPONSE_NORMALIZATION", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOG_SOFTMAX"),
    *("NOT_EQUAL", "PACK", "POW", "REAL", "REDUCE_ALL", "REDUCE_ANY", "REVERSE_V2", "RFFT2D"),
    *("SELECT", "SELECT_V2", "SHAPE", "SPLIT", "SPLIT_V", "UNPACK", "WHERE"),
    *("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"),
)
"""Operators of which LiteRT has the first version alone, or no third one."""
_ENUMS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "GATHER": "GatherOptions",
    "PACK": "PackOptions",
    "SPLIT": "SplitOptions",
    "UNPACK": "UnpackOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "CALL_ONCE": "CallOnceOptions",
    "CUMSUM": "CumsumOptions",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalizationOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "SHAPE": "ShapeOptions",
    "SPLIT_V": "SplitVOptions",
    "SQUEEZE": "SqueezeOptions",
    "VAR_HANDLE": "VarHandleOptions",
    "SOFTMAX": "SoftmaxOptions",
    "CONCATENATION": "ConcatenationOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
}


@dataclass
class FakeTensor:
    name: str
    shape: Sequence[int]
    kind: str
    scale: Sequence[float]
    zero: Sequence[int]
    axis: int
    data: np.ndarray | None
    sparse: bool = False
    signature: Sequence[int] | None = None

    @property
    def written(self) -> np.ndarray | None:
        """The elements that the file has: of a sparse constant those that are not 0."""
        return self.data[self.data != 0] if self.sparse and self.data is not None else self.data


FakeOperator = tuple[str, list[int], list[int], dict[str, Any]]
"""Kind, inputs, outputs, and options: numbers, names, or lists of integers."""


@dataclass
class FileBuilder:
    """A file with tensors and operators added one after the other.

    ``once`` are operators of a second subgraph, which CALL_ONCE calls.
    """

    tensors: list[FakeTensor] = field(default_factory=list)
    operators: list[FakeOperator] = field(default_factory=list)
    once: list[FakeOperator] = field(default_factory=list)

    def tensor(
        self,
        shape: Sequence[int],
        scale: float | Sequence[float] = 0.1,
        zero: int = 0,
        *,
        kind: str = "int8",
        data: np.ndarray | None = None,
        axis: int = 0,
        name: str = "",
        signature: Sequence[int] | None = None,
    ) -> int:
        scales = [scale] if isinstance(scale, int | float) else list(scale)
        if kind not in ("int8", "uint8") and data is None:
            scales = []
        self.tensors.append(
            FakeTensor(
                name or f"t{len(self.tensors)}",
                shape,
                kind,
                scales,
                [zero] * len(scales),
                axis,
                data,
                signature=signature,
            )
        )
        return len(self.tensors) - 1

    def constant(self, data: np.ndarray, scale: float | Sequence[float] = (), axis: int = 0) -> int:
        return self.tensor(data.shape, scale, kind=str(data.dtype), data=data, axis=axis)

    def operator(
        self, kind: str, inputs: Sequence[int], output: int | Sequence[int], **options: Any
    ) -> FileBuilder:
        outputs = [output] if isinstance(output, int) else list(output)
        self.operators.append((kind, list(inputs), outputs, options))
        return self

    def variable(self, name: str, first: int) -> int:
        """A handle of a variable, whose first contents are a constant."""
        handle = self.tensor((), kind="resource")
        made = ("VAR_HANDLE", [], [handle], {"SharedName": name})
        if not self.once:
            self.operator("CALL_ONCE", [], [], InitSubgraphIndex=1)
        self.operators.append(made)
        self.once += [made, ("ASSIGN_VARIABLE", [handle, first], [], {})]
        return handle

    def reshape(self, sizes: int, result: int) -> FileBuilder:
        shape = self.constant(np.array(self.tensors[result].shape, np.int32))
        return self.operator("RESHAPE", [sizes, shape], result)

    def bytes(
        self,
        inputs: Sequence[int] = (0,),
        outputs: Sequence[int] | None = None,
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> bytes:
        """The file; ``parts`` are further subgraphs by their signatures, with other outputs."""
        if outputs is None:
            outputs = self.operators[-1][2]
        b = flatbuffers.Builder(1024)
        kinds = sorted({kind for kind, *_ in (*self.operators, *self.once)})
        parts = parts or {}
        ends = [("main", outputs), *((f"{name} graph", made) for name, made in parts.items())]
        made_graphs = [
            self._graph(b, kinds, name, inputs, made, self.operators) for name, made in ends
        ]
        if self.once:
            made_graphs.append(self._graph(b, kinds, "once", [], [], self.once))
        graphs = self._offsets(b, made_graphs)
        keys = self._offsets(
            b, [self._signature(b, name, place + 1) for place, name in enumerate(parts)]
        )
        buffers = self._offsets(b, [self._buffer(b, None), *self._buffers(b)])
        codes = self._offsets(b, [self._code(b, kind) for kind in kinds])
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddSignatureDefs(b, keys)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def _graph(
        self,
        b: flatbuffers.Builder,
        kinds: list[str],
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        listed: Sequence[FakeOperator],
    ) -> int:
        operators = self._offsets(
            b, [self._operator(b, kinds.index(k), k, i, o, q) for k, i, o, q in listed]
        )
        tensors = self._offsets(b, [self._tensor(b, n, t) for n, t in enumerate(self.tensors)])
        entries, results, text = self._ints(b, inputs), self._ints(b, outputs), b.CreateString(name)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddName(b, text)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, entries)
        tflite.SubGraphAddOutputs(b, results)
        tflite.SubGraphAddOperators(b, operators)
        return tflite.SubGraphEnd(b)

    @staticmethod
    def _signature(b: flatbuffers.Builder, name: str, graph: int) -> int:
        key = b.CreateString(name)
        tflite.SignatureDefStart(b)
        tflite.SignatureDefAddSignatureKey(b, key)
        tflite.SignatureDefAddSubgraphIndex(b, graph)
        return tflite.SignatureDefEnd(b)

    def save(self, path: Path, **ends: Any) -> Path:
        file = path / "net.tflite"
        file.write_bytes(self.bytes(**ends))
        return file

    def _buffers(self, b: flatbuffers.Builder) -> list[int]:
        return [self._buffer(b, tensor.written) for tensor in self.tensors]

    @staticmethod
    def _buffer(b: flatbuffers.Builder, data: np.ndarray | None) -> int:
        vector = None if data is None else b.CreateByteVector(data.tobytes())
        tflite.BufferStart(b)
        if vector is not None:
            tflite.BufferAddData(b, vector)
        return tflite.BufferEnd(b)

    @staticmethod
    def _code(b: flatbuffers.Builder, kind: str) -> int:
        kind, _, name = kind.partition(" ")
        custom = b.CreateString(name.strip("'") or "my_op") if kind == "CUSTOM" else None
        number = getattr(tflite.BuiltinOperator, kind)
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(b, number)
        tflite.OperatorCodeAddVersion(b, 1 if kind in _OLD else 3)
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(b, custom)
        return tflite.OperatorCodeEnd(b)

    @staticmethod
    def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    @staticmethod
    def _ints(b: flatbuffers.Builder, values: Sequence[int]) -> int:
        return b.CreateNumpyVector(np.asarray(values, np.int32))

    def _tensor(self, b: flatbuffers.Builder, number: int, tensor: FakeTensor) -> int:
        scale = b.CreateNumpyVector(np.asarray(tensor.scale, np.float32))
        zero = b.CreateNumpyVector(np.asarray(tensor.zero, np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scale)
        tflite.QuantizationParametersAddZeroPoint(b, zero)
        tflite.QuantizationParametersAddQuantizedDimension(b, tensor.axis)
        quantization = tflite.QuantizationParametersEnd(b)
        shape, name = self._ints(b, tensor.shape), b.CreateString(tensor.name)
        sparsity = self._sparsity(b, tensor.data) if tensor.sparse else None
        signature = None if tensor.signature is None else self._ints(b, tensor.signature)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, _KINDS[tensor.kind])
        tflite.TensorAddBuffer(b, number + 1)
        tflite.TensorAddName(b, name)
        if len(tensor.scale):
            tflite.TensorAddQuantization(b, quantization)
        if signature is not None:
            tflite.TensorAddShapeSignature(b, signature)
        if sparsity is not None:
            tflite.TensorAddSparsity(b, sparsity)
        return tflite.TensorEnd(b)

    def _sparsity(self, b: flatbuffers.Builder, data: np.ndarray) -> int:
        """Dense levels but the last, whose indices are listed."""
        rows = data.reshape(-1, data.shape[-1]) != 0
        ends = np.cumsum([0, *rows.sum(axis=1)])
        lists = [self._index_list(b, numbers) for numbers in (ends, np.nonzero(rows)[1])]
        levels = []
        for axis, size in enumerate(data.shape):
            tflite.DimensionMetadataStart(b)
            if axis < data.ndim - 1:
                tflite.DimensionMetadataAddFormat(b, tflite.DimensionType.DENSE)
                tflite.DimensionMetadataAddDenseSize(b, size)
            else:
                kind = tflite.SparseIndexVector.Int32Vector
                tflite.DimensionMetadataAddFormat(b, tflite.DimensionType.SPARSE_CSR)
                tflite.DimensionMetadataAddArraySegmentsType(b, kind)
                tflite.DimensionMetadataAddArraySegments(b, lists[0])
                tflite.DimensionMetadataAddArrayIndicesType(b, kind)
                tflite.DimensionMetadataAddArrayIndices(b, lists[1])
            levels.append(tflite.DimensionMetadataEnd(b))
        order, table = self._ints(b, range(data.ndim)), self._offsets(b, levels)
        tflite.SparsityParametersStart(b)
        tflite.SparsityParametersAddTraversalOrder(b, order)
        tflite.SparsityParametersAddDimMetadata(b, table)
        return tflite.SparsityParametersEnd(b)

    def _index_list(self, b: flatbuffers.Builder, numbers: np.ndarray) -> int:
        values = self._ints(b, numbers)
        tflite.Int32VectorStart(b)
        tflite.Int32VectorAddValues(b, values)
        return tflite.Int32VectorEnd(b)

    def _operator(
        self,
        b: flatbuffers.Builder,
        code: int,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: dict[str, Any],
    ) -> int:
        entries, results = self._ints(b, inputs), self._ints(b, outputs)
        table = None
        if kind in _ENUMS:
            options = {
                key: b.CreateString(value)
                if isinstance(value, str)
                else self._ints(b, value)
                if isinstance(value, list | tuple)
                else value
                for key, value in options.items()
            }
            name = _ENUMS[kind]
            getattr(tflite, f"{name}Start")(b)
            for key, value in options.items():
                getattr(tflite, f"{name}Add{key}")(b, value)
            table = getattr(tflite, f"{name}End")(b)
        custom = None
        if kind.startswith("CUSTOM '"):
            custom = b.CreateByteVector(np.array([*options.values()], np.int32).tobytes())
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, code)
        tflite.OperatorAddInputs(b, entries)
        tflite.OperatorAddOutputs(b, results)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, _ENUMS[kind]))
            tflite.OperatorAddBuiltinOptions(b, table)
        if custom is not None:
            tflite.OperatorAddCustomOptions(b, custom)
        return tflite.OperatorEnd(b)
