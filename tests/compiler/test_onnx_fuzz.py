"""Broken ONNX files: every one is a network or an error in one line."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.errors import InputError
from tests.compiler.onnx_files import Chain

NUMBERS = [-(1 << 63), -(1 << 31), -7, -1, 0, 1, 2, 3, 5, 1 << 12, 1 << 31, (1 << 63) - 1]
REALS = [0.0, -1.0, 1e-45, 1e30, float("nan"), float("inf"), 0.5]
KINDS = [
    "Conv",
    "Relu",
    "Add",
    "Concat",
    "MaxPool",
    "Gemm",
    "Reshape",
    "QuantizeLinear",
    "LSTM",
    "",
]
SECONDS, MEGABYTES = 5.0, 1500


def images() -> onnx.ModelProto:
    chain = Chain(1, (1, 4, 8, 7))
    channels = (chain.positive(6), chain.floats(6), chain.floats(6), chain.positive(6))
    chain.add("Conv", chain.floats(6, 2, 3, 3), pads=[1, 1, 1, 1], group=2)
    skip = chain.add("Relu", source=chain.add("BatchNormalization", *channels))
    chain.add("MaxPool", kernel_shape=[3, 3], strides=[1, 1], auto_pad="SAME_UPPER")
    chain.add("Concat", skip, source=chain.add("Add", skip), axis=1)
    chain.add("Pad", chain.ints(0, 0, 1, 1, 0, 0, 0, 1))
    chain.add("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    chain.add("Reshape", chain.ints(1, 2, 6, 5, 5))
    chain.add("Transpose", perm=[0, 2, 1, 3, 4])
    chain.add("Reshape", chain.ints(0, -1, 5, 5))
    chain.add("ConvTranspose", chain.floats(12, 2, 2, 2), strides=[2, 2])
    chain.add("LRN", size=3)
    chain.add("Mul", chain.positive(2, 1, 1))
    chain.add("Flatten", source=chain.add("GlobalAveragePool"))
    chain.add("Softmax", source=chain.add("Gemm", chain.floats(5, 2), chain.floats(5), transB=1))
    return chain.model()


def shapes() -> onnx.ModelProto:
    chain = Chain(1, (1, 2, 6, 5))
    value = chain.add("Conv", chain.floats(3, 2, 2, 3))
    chain.add("Shape")
    chain.add("Gather", chain.constant(np.array(0)), axis=0)
    size = chain.add("Unsqueeze", chain.ints(0))
    wanted = chain.add("Concat", chain.ints(-1), source=size, axis=0)
    flat = chain.add("Reshape", wanted, source=value)
    filled = chain.add("ConstantOfShape", source=chain.ints(45, 4))
    chain.add(
        "Clip", chain.constant(np.float32(-1)), source=chain.add("MatMul", filled, source=flat)
    )
    chain.add("Unsqueeze", chain.ints(2), source=chain.add("Sub", chain.floats(4)))
    chain.add("Squeeze", chain.ints(2))
    return chain.model()


def quantized() -> onnx.ModelProto:
    chain = Chain(1, (1, 3, 6, 5))

    def codes(scale: float, zero: int) -> list[str]:
        made = [np.array(scale, np.float32), np.array(zero, np.uint8)]
        return [chain.constant(value) for value in made]

    weight = chain.constant(chain.rng.integers(0, 256, (4, 3, 2, 2)).astype(np.uint8))
    first, second, third = codes(0.02, 120), codes(0.01, 128), codes(0.05, 0)
    chain.add("QuantizeLinear", *first)
    bias = chain.constant(np.arange(4, dtype=np.int32))
    chain.add("QLinearConv", *first, weight, *second, *third, bias)
    chain.add("DequantizeLinear", *third)
    chain.add("DequantizeLinear", *second, source=chain.add("QuantizeLinear", *second))
    chain.add("Flatten", source=chain.add("GlobalAveragePool"))
    chain.add("DequantizeLinear", *first, source=chain.add("QuantizeLinear", *first))
    return chain.model()


def moved() -> onnx.ModelProto:
    """Elements that go anywhere, by operators that are affine in their input."""
    chain = Chain(1, (1, 4, 4, 3))
    chain.add("Conv", chain.floats(4, 4, 1, 1))
    chain.add("Transpose", perm=[0, 2, 1, 3])
    chain.add("Pad", chain.ints(0, 1, 0, 1, 0, 1, 0, 1), mode="reflect")
    chain.add("CumSum", chain.constant(np.array(2)), reverse=1)
    chain.add("GatherElements", chain.constant(np.zeros((1, 6, 4, 2), np.int64)), axis=3)
    places = chain.constant(np.zeros((1, 1), np.int64))
    chain.add("ScatterND", places, chain.floats(1, 6, 4, 2))
    chain.add("Expand", chain.ints(1, 6, 4, 2))
    chain.add("Tile", chain.ints(1, 1, 2, 1))
    first = chain.add("Slice", chain.ints(0), chain.ints(5), chain.ints(2), chain.ints(2))
    chain.add("Concat", first, source=chain.add("Neg", source=first), axis=2)
    chain.add("CenterCropPad", chain.ints(3, 3), axes=[2, 3])
    chain.add("GridSample", chain.floats(1, 2, 3, 2), align_corners=1)
    chain.add("Trilu", upper=1)
    chain.add(
        "MatMul", chain.floats(2, 3), source=chain.add("Compress", chain.bools(1, 1, 0), axis=3)
    )
    return chain.model(18)


def composed() -> onnx.ModelProto:
    """Operators that are made of others, a branch, and a place by the host."""
    chain = Chain(1, (1, 4, 4, 3))
    value = chain.add("Conv", chain.floats(4, 4, 1, 1))
    other = chain.add("LayerNormalization", chain.positive(4, 3), axis=2)
    chain.add("RMSNormalization", chain.positive(3))
    chain.add("GroupNormalization", chain.positive(4), chain.floats(4), num_groups=2)
    chosen = chain.add("Where", other, value, source=chain.add("Greater", value))
    chain.add("Softmax", axis=2)
    chain.add("Mean", chosen, value)
    chain.add("LogSoftmax", axis=1)
    chain.add("LpPool", kernel_shape=[2, 2], strides=[1, 1])
    chain.add("Mul", chain.floats(4, 3, 2))
    chain.add("ReduceProd", chain.ints(3), keepdims=1)
    chain.add("Swish", alpha=0.5)
    body = helper.make_graph(
        [helper.make_node("Abs", [chain.last], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    chain.add("If", source=chain.bools(1), then_branch=body, else_branch=body)
    chain.add("ArgMax", source=chain.add("Hardmax", axis=1), axis=1, keepdims=0)
    return chain.model(24)


def tokens() -> onnx.ModelProto:
    """Whole numbers, their table, and attention of two heads behind an axis before the batch."""
    chain = Chain(1, (1, 5))
    table = chain.floats(7, 8)
    chain.add("Reshape", chain.ints(1, 5, 1))
    ids = chain.add("Squeeze", chain.ints(2), source=chain.add("Expand", chain.ints(1, 5, 1)))
    chain.add("Gather", ids, source=table)
    chain.add("Reshape", chain.ints(0, 5, 3, 2, 4), source=chain.add("MatMul", chain.floats(8, 24)))
    parts = chain.add("Transpose", perm=[2, 0, 3, 1, 4])
    q, v = (chain.add("Gather", chain.constant(np.array(k)), source=parts) for k in (0, 2))
    chain.add("Slice", chain.ints(1), chain.ints(2), chain.ints(0), source=parts)
    k = chain.add("Transpose", perm=[0, 1, 3, 2], source=chain.add("Squeeze", chain.ints(0)))
    chain.add("MatMul", v, source=chain.add("Softmax", source=chain.add("MatMul", k, source=q)))
    chain.add("Transpose", perm=[0, 2, 1, 3])
    chain.add("MatMul", chain.floats(8, 8), source=chain.add("Reshape", chain.ints(0, 5, 8)))
    made = chain.model(18)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return made


def steps() -> onnx.ModelProto:
    """A sequence before its batch, its states as inputs, its steps as rows of a matrix."""
    chain = Chain(1, (1, 2, 3, 4))
    chain.add("Conv", chain.floats(2, 2, 2, 1))
    chain.add("Transpose", perm=[3, 0, 1, 2])
    chain.add("Reshape", chain.ints(4, 1, 4))
    weights = chain.floats(1, 12, 4), chain.floats(1, 12, 3), chain.floats(1, 24)
    chain.add("LSTM", *weights, "", "h", "h", hidden_size=3)
    chain.add("Reshape", chain.ints(4, 3), source=chain.add("Squeeze", chain.ints(1)))
    chain.add("Gemm", chain.floats(5, 3), transB=1)
    row = chain.add("Unsqueeze", chain.ints(1))
    chain.add("Softmax", source=chain.add("Concat", row, axis=0), axis=-1)
    made = chain.model()
    made.graph.input.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, (1, 1, 3)))
    return made


def heads() -> onnx.ModelProto:
    """Maps behind one another, constants for each element, large margins, a branch by an input."""
    chain = Chain(1, (1, 4, 20, 16))
    first = chain.add("Conv", chain.floats(4, 4, 3, 3))
    chain.add("Pad", chain.ints(0, 0, 2, 3, 0, 0, 1, 0), source="x", mode="reflect")
    chain.add(
        "Pad", chain.ints(0, 0, 0, 1, 0, 0, 1, 0), source=chain.add("Add", chain.floats(23, 19))
    )
    parts = [chain.add("Reshape", chain.ints(0, 4, -1), source=v) for v in (first, chain.last)]
    chain.add("Concat", parts[0], source=parts[1], axis=2)
    chain.add("Transpose", perm=[0, 2, 1])
    chain.add("Mul", chain.floats(732, 1))
    return chain.model()


def dynamic() -> onnx.ModelProto:
    """Dynamic quantization, and operators of ONNX Runtime."""
    chain = Chain(1, (1, 4, 6))
    weight = chain.constant(chain.rng.integers(0, 256, (6, 6)).astype(np.uint8))
    scale, zero = chain.constant(np.float32(0.01)), chain.constant(np.uint8(120))
    value = chain.add("DynamicQuantizeLinear")
    chain.nodes[-1].output.extend(["s", "z"])
    chain.add("MatMulInteger", weight, "z", zero, source=value)
    chain.add("Mul", chain.add("Mul", scale, source="s"), source="v1")
    chain.add("QuickGelu", alpha=1.5, domain="com.microsoft")
    chain.add("SkipLayerNormalization", "x", chain.positive(6), domain="com.microsoft")
    chain.add("DynamicQuantizeMatMul", weight, scale, zero, domain="com.microsoft")
    attention = chain.floats(6, 18), chain.floats(18)
    chain.add("Attention", *attention, num_heads=2, domain="com.microsoft")
    chain.add("FusedMatMul", "x", transB=1, domain="com.microsoft")
    return chain.model()


@cache
def originals() -> tuple[bytes, ...]:
    return tuple(build().SerializeToString() for build in ORIGINALS)


ORIGINALS = (images, shapes, quantized, moved, composed, tokens, steps, heads, dynamic)


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(changed), int(rng.integers(1, 3))):
        changed[place] = int(rng.integers(0, 256))
    return bytes(changed)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:end] if rng.random() < 0.5 else data[:start] + data[end:]


def edit(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the network itself, at one to three places."""
    made = onnx.ModelProto()
    made.ParseFromString(data)
    for _ in range(int(rng.integers(1, 3))):
        with suppress(Exception):  # What an earlier edit broke cannot be edited.
            EDITS[int(rng.integers(len(EDITS)))](made.graph, rng)
    return made.SerializeToString()


def pick(values: Sequence[Any], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def edit_attribute(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    node = pick([n for n in graph.node if n.attribute], rng)
    attribute = pick(node.attribute, rng)
    if attribute.type == attribute.INT:
        attribute.i = pick(NUMBERS, rng)
    elif attribute.type == attribute.FLOAT:
        attribute.f = pick(REALS, rng)
    elif attribute.type == attribute.STRING:
        attribute.s = pick([b"", b"SAME_LOWER", b"VALID", b"\xff"], rng)
    elif rng.random() < 0.7:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = pick(NUMBERS, rng)
    else:
        attribute.ints.append(pick(NUMBERS, rng))


def edit_tensor(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    tensor = pick(graph.initializer, rng)
    how = rng.integers(4)
    if how == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = pick(NUMBERS, rng)
    elif how == 1:
        tensor.data_type = int(rng.integers(0, 24))
    elif how == 2 and tensor.dims:
        del tensor.dims[-1]
    elif tensor.data_type == TensorProto.INT64:
        values = onnx.numpy_helper.to_array(tensor).copy().reshape(-1)
        values[int(rng.integers(len(values)))] = pick(NUMBERS, rng)
        tensor.raw_data = values.tobytes()
    else:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32).reshape(-1)
        values[int(rng.integers(len(values)))] = pick(REALS, rng)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def edit_name(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    names = ["", "x", "nothing", *(o for n in graph.node for o in n.output)]
    node = pick(graph.node, rng)
    side = node.input if rng.random() < 0.7 else node.output
    if side:
        side[int(rng.integers(len(side)))] = str(pick(names, rng))


def edit_nodes(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(graph.node)))
    how = rng.integers(5)
    if how == 0 and len(graph.node) > 1:
        del graph.node[place]
    elif how == 1:
        graph.node.append(graph.node[place])
    elif how == 2:
        graph.node[place].op_type = str(pick(KINDS, rng))
    elif how == 3 and graph.node[place].input:
        del graph.node[place].input[-1]
    else:
        graph.node[place].attribute.append(helper.make_attribute("axis", 3))


def edit_input(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    tensor = graph.input[0].type.tensor_type
    how = rng.integers(4)
    if how == 0 and tensor.shape.dim:
        dim = tensor.shape.dim[int(rng.integers(len(tensor.shape.dim)))]
        dim.dim_value = pick(NUMBERS, rng)
    elif how == 1:
        tensor.elem_type = int(rng.integers(0, 24))
    elif how == 2 and tensor.shape.dim:
        del tensor.shape.dim[-1]
    else:
        graph.output[0].name = str(pick(["x", "v1", "nothing"], rng))


EDITS = [edit_attribute, edit_tensor, edit_name, edit_nodes, edit_input]
WAYS = [flip, cut, edit, edit, edit]


def attempt(file: Path, data: bytes) -> str:
    """Import a file; what came of it."""
    file.write_bytes(data)
    try:
        made = import_onnx_any(file)
    except InputError as error:
        text = str(error)
        assert "\n" not in text
        assert text.startswith(f"{file}: ")
        assert len(text) > len(f"{file}: ")
        return "error"
    return "integer" if made.is_quantized else "real"


def fuzz(path: Path, seeds: range) -> Counter[str]:
    results: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        rng = np.random.default_rng(seed)
        data = originals()[seed % len(originals())]
        changed = WAYS[int(rng.integers(len(WAYS)))](data, rng)
        start = time.monotonic()
        try:
            results[attempt(path / "net.onnx", changed)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - start < SECONDS, f"seed {seed} takes too long"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES, f"{grown:.0f} MB were allocated"
    return results


def test_originals(tmp_path: Path) -> None:
    got = [attempt(tmp_path / "net.onnx", data) for data in originals()]
    assert Counter(got) == {"real": len(ORIGINALS) - 1, "integer": 1}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_mutations(tmp_path: Path) -> None:
    results = fuzz(tmp_path, range(1500))
    assert results["error"] > 500
    assert results["real"] + results["integer"] > 50


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_many_mutations(tmp_path: Path) -> None:
    fuzz(tmp_path, range(1500, 50000))
