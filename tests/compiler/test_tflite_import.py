"""TensorFlow Lite files against LiteRT's reference kernels, bit for bit; and wrong files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite

from pulsarray import compiler, inspect, load
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.importers.tflite.reader import read_tflite
from pulsarray.compiler.importers.tflite.scales import away_scale
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.program import unpack
from pulsarray.sim.device import run_model
from pulsarray.sim.random.maps import with_inputs
from pulsarray.tensors import real_values
from tests.compiler.codes import after, codes_of, every_map, result_of
from tests.compiler.tflite_files import SAME, VALID, FileBuilder
from tests.models import NETWORKS, model_file

litert = pytest.importorskip("ai_edge_litert.interpreter")
REFERENCE = litert.OpResolverType.BUILTIN_REF
OPTIMIZED = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

SIZES = {"kws_ref_model": (11, 2_656_768), "pretrainedResnet_quant": (14, 12_501_632)}
SEEDS = range(8)
ONES = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def interpreter(data: bytes, kernels: Any) -> Any:
    made = litert.Interpreter(
        model_content=data,
        experimental_op_resolver_type=kernels,
        experimental_preserve_all_tensors=True,
    )
    made.allocate_tensors()
    return made


def run(runner: Any, codes: np.ndarray) -> np.ndarray:
    details = runner.get_input_details()[0]
    runner.set_tensor(details["index"], codes.astype(np.int8).reshape(details["shape"]))
    runner.invoke()
    return np.asarray(runner.get_tensor(runner.get_output_details()[0]["index"]))


def check(tmp_path: Path, builder: FileBuilder, seed: int = 0) -> Graph:
    file = builder.save(tmp_path)
    graph, runner = import_tflite(file), interpreter(file.read_bytes(), REFERENCE)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        codes = rng.integers(-128, 128, (1, *graph.input.shape))
        wanted = run(runner, codes)
        assert np.array_equal(codes_of(graph, codes).ravel(), wanted.ravel())
    return graph


def inputs(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    ramp = np.linspace(-128, 127, int(np.prod(shape))).round().reshape(shape)
    structured = [np.full(shape, code) for code in (-128, 0, 127)] + [ramp, ramp[..., ::-1, :]]
    smooth = [np.clip(rng.normal(0, 12, shape).cumsum(1), -128, 127) for _ in range(4)]
    return structured + smooth + [rng.integers(-128, 128, shape) for _ in range(16)]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_the_reference_kernels_in_every_tensor(name: str) -> None:
    file = model_file(name)
    graph = import_tflite(file)
    machine = machine_part(graph)
    assert (len(machine.nodes), machine.macs, after(graph)) == (*SIZES[name], "softmax")
    reference = interpreter(file.read_bytes(), REFERENCE)
    optimized = interpreter(file.read_bytes(), OPTIMIZED)
    places = {d["name"]: d["index"] for d in reference.get_tensor_details()}
    # The result has the name of what the host makes of it.
    (softmax,) = (o for o in read_tflite(file).operators if o.kind == "SOFTMAX")
    places[machine.output.name] = softmax.inputs[0]
    total = differ = 0
    for codes in inputs((1, *graph.input.shape)):
        run(reference, codes)
        run(optimized, codes)
        for tensor, computed in every_map(graph, codes.astype(np.int64)).items():
            wanted = reference.get_tensor(places[tensor])
            assert np.array_equal(computed.ravel(), wanted.ravel()), tensor
            other = optimized.get_tensor(places[tensor]).astype(np.int64)
            total += computed.size
            differ += np.count_nonzero(computed.ravel() != other.ravel())
            assert np.abs(computed.ravel() - other.ravel()).max() <= 4
    # The optimized kernels round convolutions once and sums otherwise.
    assert differ <= 0.01 * total


def scale(rng: np.random.Generator, low: float = 0.01, high: float = 0.3) -> float:
    exponent = rng.uniform(np.log2(low), np.log2(high))
    return float(2.0 ** (round(exponent) if rng.integers(3) == 0 else exponent))


def zero(rng: np.random.Generator) -> int:
    return int(rng.choice([-128, 0, 127, rng.integers(-128, 128)]))


def size(count: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    extent = (kernel - 1) * dilation + 1
    return -(-count // stride) if padding == SAME else (count - extent) // stride + 1


def weight(rng: np.random.Generator, builder: FileBuilder, *shape: int, axis: int = 0) -> int:
    count = shape[axis]
    scales = [scale(rng, 0.001, 0.05) for _ in range(count if rng.integers(2) else 1)]
    return builder.constant(rng.integers(-127, 128, shape).astype(np.int8), scales, axis)


def bias(rng: np.random.Generator, builder: FileBuilder, count: int) -> int:
    return builder.constant(rng.integers(-3000, 3000, count).astype(np.int32), 1e-3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions(tmp_path: Path, kind: str, seed: int) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    groups, depth, per_group = rng.integers(1, 4, 3).tolist()
    kernel, stride = rng.integers(1, 4, 2).tolist(), rng.integers(1, 4, 2).tolist()
    dilation, padding = rng.integers(1, 3, 2).tolist(), int(rng.integers(2))
    height, width = rng.integers(5, 9, 2).tolist()
    x = b.tensor((1, height, width, groups * depth), scale(rng), zero(rng))
    if kind == "CONV_2D":
        count = groups * per_group
        w = weight(rng, b, count, *kernel, depth)
    else:
        count = groups * depth * per_group
        w = weight(rng, b, 1, *kernel, count, axis=3)
    sizes = [
        size(n, k, s, d, padding)
        for n, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
    ]
    y = b.tensor((1, *sizes, count), scale(rng, 0.003, 0.5), zero(rng))
    options = {"FusedActivationFunction": int(rng.integers(4)), "Padding": padding}
    options |= {"StrideH": stride[0], "StrideW": stride[1]}
    options |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    if kind != "CONV_2D":
        options["DepthMultiplier"] = per_group
    b.operator(kind, [x, w, bias(rng, b, count)], y, **options)
    check(tmp_path, b, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_transposed_convolutions(tmp_path: Path, seed: int) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    height, width, channels, count = rng.integers(1, 5, 4).tolist()
    kernel, stride = rng.integers(1, 5, 2).tolist(), rng.integers(1, 4, 2).tolist()
    padding = int(rng.integers(2))
    sizes = [n * s for n, s in zip((height, width), stride, strict=True)]
    if padding == VALID:  # with rows that no input reaches, where strides are larger
        triples = zip((height, width), stride, kernel, strict=True)
        sizes = [(n - 1) * s + max(k, s) for n, s, k in triples]
    x = b.tensor((1, height, width, channels), scale(rng), zero(rng))
    w = weight(rng, b, count, *kernel, channels)
    shape = b.constant(np.array([1, *sizes, count], np.int32))
    y = b.tensor((1, *sizes, count), scale(rng), zero(rng))
    operands = [shape, w, x, *([bias(rng, b, count)] if rng.integers(2) else [])]
    options = {"Padding": padding, "StrideH": stride[0], "StrideW": stride[1]}
    b.operator("TRANSPOSE_CONV", operands, y, **options)
    check(tmp_path, b, seed)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_dense_layers(tmp_path: Path, seed: int, flat: bool) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    height, width, channels, count = rng.integers(1, 6, 4).tolist()
    shape = (1, height, width, channels) if flat else (1, 40)
    input_scale, zeros = scale(rng), zero(rng)
    last = b.tensor(shape, input_scale, zeros)
    if flat:
        x, last = last, b.tensor((1, height * width * channels), input_scale, zeros)
        b.reshape(x, last)
    depth = int(np.prod(shape))
    w = weight(rng, b, count, depth)
    target = scale(rng, 0.05, 2)
    c = b.constant(
        rng.integers(-3000, 3000, count).astype(np.int32), input_scale * b.tensors[w].scale[0]
    )
    y = b.tensor((1, count), target, zero(rng))
    b.operator("FULLY_CONNECTED", [last, w, c], y, FusedActivationFunction=int(rng.integers(4)))
    graph = check(tmp_path, b, seed)
    assert isinstance(graph.nodes[0].op, Convolution)
    assert graph.nodes[0].op.window.kernel == ((height, width) if flat else (1, 1))


def test_dense_layer_of_each_pixel_and_of_half_way_sums(tmp_path: Path) -> None:
    for kept, shape in ((True, (1, 2, 3, 4)), (False, (1, 1, 1, 4))):
        b, rng = FileBuilder(), np.random.default_rng(3)
        x = b.tensor(shape, 0.5)
        w = b.constant(rng.integers(-3, 4, (5, 4)).astype(np.int8), 0.5)
        y = b.tensor((*shape[:3], 5) if kept else (1, 5), 2.0, 3)
        check(tmp_path, b.operator("FULLY_CONNECTED", [x, w], y, KeepNumDims=kept))


@pytest.mark.parametrize("seed", SEEDS)
def test_dense_multipliers_make_the_steps_of_the_kernel(seed: int) -> None:
    """It rounds float64 products half way away from zero, as C's round does."""
    rng = np.random.default_rng(seed)
    ratios = rng.uniform(0.001, 0.1, 20).tolist() + (2.0 ** -rng.integers(0, 12, 5)).tolist()
    made = away_scale(ratios, Affine8(0.1), (-128, 127))
    sums = np.arange(-(1 << 17), 1 << 17)
    for ratio, *pair in zip(ratios, made.multiplier, made.shift, strict=True):
        exact = sums.astype(np.float64) * ratio
        wanted = np.trunc(exact + np.copysign(0.5, exact))
        computed = requantize(sums, *pair)
        assert np.array_equal(computed.clip(-255, 255), wanted.clip(-255, 255))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_pools(tmp_path: Path, kind: str, seed: int) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    kernel, stride = rng.integers(1, 5, 2).tolist(), rng.integers(1, 4, 2).tolist()
    height, width, channels = rng.integers(4, 9, 3).tolist()
    padding, same = int(rng.integers(2)), (scale(rng), zero(rng))
    x = b.tensor((1, height, width, channels), *same)
    sizes = [size(height, kernel[0], stride[0], 1, padding)]
    sizes.append(size(width, kernel[1], stride[1], 1, padding))
    y = b.tensor((1, *sizes, channels), *same)
    options = {"Padding": padding, "StrideH": stride[0], "StrideW": stride[1]}
    options |= {"FilterHeight": kernel[0], "FilterWidth": kernel[1]}
    options["FusedActivationFunction"] = int(rng.integers(4))
    check(tmp_path, b.operator(kind, [x], y, **options), seed)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "same"), [(4, 4, True), (7, 7, True), (3, 5, False), (1, 1, False)]
)
def test_means(tmp_path: Path, height: int, width: int, same: bool, keep: bool) -> None:
    b = FileBuilder()
    x = b.tensor((1, height, width, 30), 0.07, 5)
    axes = b.constant(np.array([2, -3] if keep else [1, 2], np.int32))
    y = b.tensor((1, 1, 1, 30) if keep else (1, 30), 0.07 if same else 0.03, 5 if same else -30)
    check(tmp_path, b.operator("MEAN", [x, axes], y, KeepDims=keep))


@pytest.mark.parametrize("seed", SEEDS)
def test_sums_and_concatenations(tmp_path: Path, seed: int) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    shape, same = (1, 3, 4, 5), (scale(rng), zero(rng))
    x, other = b.tensor(shape, scale(rng), zero(rng)), b.tensor(shape, scale(rng), zero(rng))
    total, limited = b.tensor(shape, *same), b.tensor(shape, *same)
    joined = b.tensor((1, 3, 4, 15), *same)
    b.operator("QUANTIZE", [x], other)
    b.operator("ADD", [x, other], total, FusedActivationFunction=seed % 4)
    b.operator("RELU", [total], limited)
    b.operator("CONCATENATION", [total, limited, total], joined, Axis=3 if seed % 2 else -1)
    check(tmp_path, b, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "QUANTIZE"])
def test_functions(tmp_path: Path, kind: str, seed: int) -> None:
    rng, b = np.random.default_rng(seed), FileBuilder()
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    x = b.tensor((1, 8, 8, 8), scale(rng), zero(rng))
    y = b.tensor((1, 8, 8, 8), *fixed.get(kind, (scale(rng), zero(rng))))
    check(tmp_path, b.operator(kind, [x], y), seed)


def padded(b: FileBuilder, x: int, borders: list[list[int]], kind: type = np.int32) -> int:
    source = b.tensors[x]
    amounts = b.constant(np.array([[0, 0], *borders, [0, 0]], kind))
    shape = [n + sum(border) for n, border in zip(source.shape[1:3], borders, strict=True)]
    y = b.tensor((1, *shape, source.shape[3]), source.scale, source.zero[0])
    b.operator("PAD", [x, amounts], y)
    return y


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_borders_become_part_of_windows(tmp_path: Path, kind: type) -> None:
    rng, b = np.random.default_rng(0), FileBuilder()
    x = b.tensor((1, 6, 5, 3), 0.1, 7)
    border = padded(b, padded(b, x, [[1, 0], [0, 2]], kind), [[0, 1], [1, 0]], kind)
    y = b.tensor((1, 4, 4, 2), 0.2, -4)
    operands = [border, weight(rng, b, 2, 3, 3, 3), bias(rng, b, 2)]
    b.operator("CONV_2D", operands, y, Padding=SAME, **ONES | {"StrideH": 2, "StrideW": 2})
    graph = check(tmp_path, b)
    assert len(graph.nodes) == 1
    assert isinstance(graph.nodes[0].op, Convolution)
    assert sum(graph.nodes[0].op.window.padding) > 6


def test_borders_that_others_read(tmp_path: Path) -> None:
    b = FileBuilder()
    x = b.tensor((1, 4, 4, 3), 0.1, 7)
    border = padded(b, x, [[1, 1], [2, 0]])
    y, z = b.tensor((1, 5, 5, 3), 0.1, 7), b.tensor((1, 5, 5, 3), 0.2)
    window = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 1, "StrideW": 1, "Padding": VALID}
    b.operator("MAX_POOL_2D", [border], y, **window)
    b.operator("ADD", [y, y], z)
    assert [node.kind for node in check(tmp_path, b).nodes] == ["PAD", "MAX_POOL_2D", "ADD"]
    c = FileBuilder()
    padded(c, c.tensor((1, 4, 4, 3), 0.1, 7), [[1, 1], [2, 0]])
    assert [node.kind for node in check(tmp_path, c).nodes] == ["PAD"]


def test_conversions_at_the_ends(tmp_path: Path) -> None:
    b = FileBuilder()
    x = b.tensor((1, 3, 3, 2), kind="float32", name="image")
    codes = b.tensor((1, 3, 3, 2), 0.1, 3, name="codes")
    small = b.tensor((1, 3, 3, 2), 0.1, 3)
    y = b.tensor((1, 3, 3, 2), kind="float32")
    b.operator("QUANTIZE", [x], codes).operator("RELU", [codes], small)
    b.operator("DEQUANTIZE", [small], y)
    graph = import_tflite(b.save(tmp_path))
    assert (graph.input.name, len(graph.nodes), after(graph)) == ("image", 1, "")
    values = np.random.default_rng(0).normal(size=(1, 3, 3, 2)).astype(np.float32)
    runner = interpreter(b.bytes(), REFERENCE)
    runner.set_tensor(0, values)
    runner.invoke()
    computed = codes_of(graph, graph.input.codes.encode(values))
    wanted = runner.get_tensor(y)
    np.testing.assert_allclose(result_of(graph).decode(computed), wanted, rtol=1e-6)


def test_input_codes_as_quantize(tmp_path: Path) -> None:
    """Float32 division, halves away from zero: as the reference kernels, next to every half."""
    b = FileBuilder()
    x = b.tensor((1, 20_000), kind="float32", name="image")
    codes = b.tensor((1, 20_000), 0.0078431, 3, name="codes")
    y = b.tensor((1, 20_000), 0.0078431, 3)
    b.operator("QUANTIZE", [x], codes).operator("RELU", [codes], y)
    graph = import_tflite(b.save(tmp_path))
    rng = np.random.default_rng(0)
    values = ((rng.integers(-140, 140, (1, 20_000)) + 0.5) * 0.0078431).astype(np.float32)
    runner = interpreter(b.bytes(), REFERENCE)
    runner.set_tensor(0, values)
    runner.invoke()
    np.testing.assert_array_equal(graph.input.codes.encode(values), runner.get_tensor(codes))
    even = replace(graph.input.codes, half_away=False)
    assert (even.encode(values) != runner.get_tensor(codes)).any()


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("classes", [3, 10, 100])
def test_softmax_is_rounded_as_in_the_file(tmp_path: Path, classes: int, real: bool) -> None:
    """The host's softmax, rounded, is that of the reference kernel."""
    b = FileBuilder()
    x, relu = (b.tensor((1, classes), 0.07, 3, name=name) for name in ("x", "relu"))
    soft = b.tensor((1, classes), 1 / 256, -128)
    b.operator("RELU", [x], relu).operator("SOFTMAX", [relu], soft, Beta=1.0)
    result = b.tensor((1, classes), kind="float32") if real else soft
    if real:
        b.operator("DEQUANTIZE", [soft], result)
    graph = import_tflite(b.save(tmp_path))
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.integers(-128, 128, (60, classes)), np.full((1, classes), 5)])
    runner = interpreter(b.bytes(), REFERENCE)
    wanted = np.concatenate([run(runner, row[None]) for row in codes])
    program = compiler.compile(graph, PRESETS["small"], batch=len(codes))
    memory = run_model(replace(program, memory=with_inputs(program, codes[:, None, None]))).memory
    assert memory is not None
    (tensor,) = program.with_role("output")
    got = real_values(unpack(memory, tensor, program.config), tensor)
    scale = 1.0 if real else 1 / 256
    np.testing.assert_array_equal(got, (wanted.astype(np.float64) + (0 if real else 128)) * scale)


def test_softmax_rounded_twice(tmp_path: Path) -> None:
    b = FileBuilder()
    x, soft = b.tensor((1, 4), 0.1, 3), b.tensor((1, 4), 1 / 256, -128)
    relu, y = b.tensor((1, 4), 0.1, 3), b.tensor((1, 4), 1 / 128, 0)
    b.operator("RELU", [x], relu).operator("SOFTMAX", [relu], soft, Beta=1.0)
    b.operator("QUANTIZE", [soft], y)
    with pytest.raises(InputError, match="codes of a SOFTMAX cannot be rounded again"):
        import_tflite(b.save(tmp_path))


def test_uint8_at_the_ends_and_softmax(tmp_path: Path) -> None:
    b = FileBuilder()
    x, codes = b.tensor((1, 4), 0.1, 131, kind="uint8"), b.tensor((1, 4), 0.1, 3)
    relu, soft = b.tensor((1, 4), 0.1, 3), b.tensor((1, 4), 1 / 256, -128)
    y = b.tensor((1, 4), 1 / 256, 0, kind="uint8")
    b.operator("QUANTIZE", [x], codes).operator("RELU", [codes], relu)
    b.operator("SOFTMAX", [relu], soft, Beta=1.0).operator("QUANTIZE", [soft], y)
    graph = import_tflite(b.save(tmp_path))
    assert (len(machine_part(graph).nodes), after(graph)) == (1, "softmax")


def test_flat_input_that_becomes_an_image(tmp_path: Path) -> None:
    b = FileBuilder()
    x, image = b.tensor((1, 24), 0.1, 3), b.tensor((1, 2, 3, 4), 0.1, 3)
    row, y = b.tensor((1, 2, 3, 4), 0.1, 3), b.tensor((1, 2, 3, 4), 0.1, 3)
    b.reshape(x, image).operator("RELU", [image], row)
    b.operator("SQUEEZE", [row], y)
    graph = check(tmp_path, b)
    assert graph.input.shape == (2, 3, 4)


def test_names_may_repeat(tmp_path: Path) -> None:
    b = FileBuilder()
    same = [b.tensor((1, 2, 2, 3), 0.1, 3, name="a\nb;c") for _ in range(4)]
    for source, result in pairwise(same):
        b.operator("RELU", [source], result)
    graph = check(tmp_path, b)
    assert list(graph.values) == ["a?b;c", "a?b;c#1", "a?b;c#2", "a?b;c#3"]
    assert [node.name for node in graph.nodes] == ["a?b", "a?b#2", "a?b#3"]


def test_batches(tmp_path: Path) -> None:
    b = FileBuilder()
    x, y, z = (b.tensor((3, 2, 2, 3), 0.1, zero) for zero in (3, 4, 4))
    flat = b.tensor((3, 12), 0.1, 4)
    b.operator("RELU", [x], y).operator("RELU", [y], z).reshape(z, flat)
    graph = import_tflite(b.save(tmp_path))
    codes = np.random.default_rng(0).integers(-128, 128, (3, 2, 2, 3))
    wanted = run(interpreter(b.bytes(), REFERENCE), codes)
    assert np.array_equal(codes_of(graph, codes).reshape(3, 12), wanted)


def test_unsupported_operators_are_all_named(tmp_path: Path) -> None:
    b = FileBuilder()
    x, y, z, last = (b.tensor((1, 4), name=name) for name in ("x", "y", "z;w", "end"))
    b.operator("CUMSUM", [x], y).operator("CUSTOM", [y], z).operator("RELU", [z], last)
    text = (
        r"net\.tflite: unsupported operators: CUMSUM \(operator 0 'y'\), "
        r"CUSTOM 'my_op' \(operator 1 'z'\)$"
    )
    with pytest.raises(InputError, match=text):
        import_tflite(b.save(tmp_path))


def unary(kind: str, input_range: Any = None, result: Any = None, **options: float) -> FileBuilder:
    b = FileBuilder()
    x = b.tensor(**{"shape": (1, 4, 4, 2), "name": "x"} | (input_range or {}))
    y = b.tensor(**{"shape": (1, 4, 4, 2), "name": "y"} | (result or {}))
    return b.operator(kind, [x], y, **options)


def dense(change: Callable[[FileBuilder], object]) -> FileBuilder:
    b = FileBuilder()
    x, w = b.tensor((1, 4), name="x"), b.constant(np.ones((3, 4), np.int8), 0.1)
    c, y = b.constant(np.ones(3, np.int32), 0.01), b.tensor((1, 3), name="y")
    b.operator("FULLY_CONNECTED", [x, w, c], y)
    change(b)
    return b


def convolution(shape: tuple[int, ...] = (3, 1, 1, 2), **options: int) -> FileBuilder:
    b = FileBuilder()
    x, w = b.tensor((1, 4, 4, 2)), b.constant(np.ones(shape, np.int8), 0.1)
    y = b.tensor((1, 4, 4, 3))
    return b.operator("CONV_2D", [x, w], y, **ONES | options)


def enormous() -> FileBuilder:
    b = FileBuilder()
    x, y = b.tensor((1, 100, 100, 10_000)), b.tensor((1, 1, 1, 10_000))
    return b.operator("MEAN", [x, b.constant(np.array([1, 2], np.int32))], y)


def twice(kind: str, first: str) -> FileBuilder:
    b = FileBuilder()
    x, y, z = b.tensor((1, 4)), b.tensor((1, 4)), b.tensor((1, 4))
    options = {"Beta": 1.0} if first == "SOFTMAX" else {}
    return b.operator(first, [x], y, **options).operator(kind, [y], z)


def reading_later() -> FileBuilder:
    b = FileBuilder()
    x, y, z = b.tensor((1, 4)), b.tensor((1, 4), name="later"), b.tensor((1, 4))
    return b.operator("RELU", [y], z).operator("RELU", [x], y)


def overwriting() -> FileBuilder:
    b = FileBuilder()
    x, y = b.tensor((1, 4)), b.tensor((1, 4), name="y")
    return b.operator("RELU", [x], y).operator("RELU", [x], y)


def summed(one: tuple[int, ...]) -> FileBuilder:
    b = FileBuilder()
    x, z = b.tensor((1, 2, 2, 3)), b.tensor((1, 2, 2, 3))
    y = b.tensor(one, data=np.ones(one, np.int8), name="y")
    return b.operator("ADD", [x, y], z)


WRONG = [
    (unary("RELU", {"kind": "float32"}), "result 'y' is int8, not float32"),
    (unary("QUANTIZE", {"kind": "uint8", "scale": 0.2}), "must not change codes from uint8"),
    (unary("RELU", result={"kind": "uint8"}), r"operator 0 \(RELU, 'y'\): tensor 'y' is uint8"),
    (unary("RELU", {"shape": (4,)}), r"'x' must have shape \(4, H, W, C\)"),
    (unary("RELU", {"shape": (0, 4)}), r"'x' must have shape \(0, H, W, C\)"),
    (unary("RELU", {"shape": (1, 4, 0, 2)}), "with fixed sizes of at least 1, not"),
    (unary("RELU", {"shape": (1, 4, -1, 2)}), "with fixed sizes of at least 1, not"),
    (unary("RELU", {"shape": (1, 2, 3, 4, 5)}), "with fixed sizes of at least 1, not"),
    (unary("RELU", {"shape": (1, 60000, 60000, 3)}), "'x' of shape .* is too large"),
    (unary("RELU", {"shape": (1, -7)}), "impossible shape"),
    (unary("RELU", {"scale": []}), "'x' needs one scale and zero point, not 0 and 0"),
    (unary("RELU", {"scale": [0.1, 0.2]}), "'x' needs one scale and zero point, not 2 and 2"),
    (unary("RELU", {"scale": 0.0}), "'x' needs a positive scale"),
    (unary("RELU", {"scale": float("nan")}), "'x' needs a positive scale"),
    (unary("RELU", {"zero": 128}), "zero point within int8, not .* and 128"),
    (unary("RELU", {"scale": 1e30}, {"scale": 1e-30}), "impossible ratio"),
    (unary("RELU", {"scale": 3e4}, {"scale": 1e-3}), "may exceed 32 bits"),
    (unary("RELU", result={"shape": (1, 4, 4, 1)}), r"must have shape \(H, W, C\) = \(4, 4, 2\)"),
    (unary("TANH"), r"result must have scale and zero point \(0\.0078125, 0\)"),
    (unary("RESHAPE", result={"shape": (1, 4, 8, 1)}), "output 'y' is the input"),
    (unary("RESHAPE", result={"shape": (1, 31)}), "has other elements than"),
    (unary("SOFTMAX", Beta=1.0), "result must have scale and zero point"),
    (unary("SOFTMAX", {"shape": (1, 4)}, {"shape": (1, 4)}, Beta=2.0), "and 2.0"),
    (unary("L2_NORMALIZATION"), r"result must have scale and zero point \(0\.0078125, 0\)"),
    (unary("L2_NORMALIZATION", FusedActivationFunction=1), "fused activation 1 is not supported"),
    (unary("LOG_SOFTMAX"), r"result must have scale and zero point \(0\.0625, 127\)"),
    (unary("MAX_POOL_2D"), "kernel .* must be 1 .. 32767"),
    (
        unary("MAX_POOL_2D", FilterHeight=1, FilterWidth=1, StrideH=1, StrideW=1, Padding=2),
        "padding 2 is not supported",
    ),
    (
        unary(
            "MAX_POOL_2D", None, {"zero": 1}, FilterHeight=1, FilterWidth=1, StrideH=1, StrideW=1
        ),
        "must have one quantization",
    ),
    (
        unary("MAX_POOL_2D", FilterHeight=9, FilterWidth=1, StrideH=1, StrideW=1, Padding=VALID),
        "larger than the padded input",
    ),
    (unary("MEAN"), "input 1 is left out"),
    (unary("CONCATENATION", Axis=0), "axis 0 of an input of rank 4 is the batch, or none"),
    (unary("CONCATENATION", Axis=3, FusedActivationFunction=1), "fused activation"),
    (unary("DEQUANTIZE"), "must be from int8 to float32"),
    (unary("FULLY_CONNECTED", WeightsFormat=1), "shuffled weights are not supported"),
    (dense(lambda b: b.tensors[1].__setattr__("data", None)), "reads 't1', which is missing"),
    (dense(lambda b: b.tensors[1].__setattr__("kind", "uint8")), "constant of type int8"),
    (dense(lambda b: b.tensors[1].__setattr__("zero", [3])), "needs zero points of 0"),
    (dense(lambda b: b.tensors[1].__setattr__("scale", [0.1] * 2)), "one scale, or 3 along axis 0"),
    (dense(lambda b: b.tensors[1].__setattr__("scale", [-0.1])), "needs positive scales"),
    (dense(lambda b: b.tensors[1].__setattr__("shape", (3, 5))), r"\(3, 5\) has 12 bytes"),
    (dense(lambda b: b.tensors[1].__setattr__("shape", (12,))), "weight must have 2 dimensions"),
    (dense(lambda b: b.tensors[1].__setattr__("shape", (4, 3))), "does not fit an input of"),
    (dense(lambda b: b.tensors[1].__setattr__("shape", (0, 4))), "has no elements"),
    (dense(lambda b: b.tensors[2].__setattr__("data", np.ones(2, np.int32))), "has 8 bytes"),
    (dense(lambda b: b.operators[0][3].update(FusedActivationFunction=4)), "fused activation 4"),
    (dense(lambda b: b.operators[0][1].__setitem__(0, 99)), "reads tensor 99 of 4"),
    (dense(lambda b: b.operators[0][1].__setitem__(0, -1)), "input 0 is left out"),
    (dense(lambda b: b.operators[0][2].append(0)), r"needs one result, not \(3, 0\)"),
    (dense(lambda b: b.operators[0][2].__setitem__(0, 9)), "outputs name tensor 9 of 4"),
    (convolution((3, 1, 1, 4)), "weight of shape .* does not fit 2 channels"),
    (convolution((6, 2)), "weight must have 4 dimensions"),
    (convolution(StrideH=0), "must be 1"),
    (convolution(DilationHFactor=40000), "dilation .* must be 1 .. 32767"),
    (convolution((3, 3, 3, 2), DilationHFactor=30000, DilationWFactor=30000), "is too large"),
    (convolution(StrideH=2), r"result must have shape \(H, W, C\) = \(2, 4, 3\), not \(4, 4, 3\)"),
    (twice("RELU", "SOFTMAX"), "result must have scale and zero point"),
    (enormous(), "weights are too large altogether"),
    (unary("RELU", {"shape": (1, 1 << 23)}), "is too large"),
    (reading_later(), r"operator 0 \(RELU, 't2'\): reads 'later', which is missing"),
    (overwriting(), "writes 'y', which it may not"),
    (summed((1, 2, 2, 2)), r"constant 'y' of \(2, 2, 2\) does not fit \(2, 2, 3\)"),
]


@pytest.mark.parametrize(("builder", "text"), WRONG)
def test_import_wrong(tmp_path: Path, builder: FileBuilder, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        import_tflite(builder.save(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'net.tflite'}: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ({"inputs": ()}, "needs an input; it has none"),
        ({"inputs": (0, 1)}, "input 't1' is a constant"),
        ({"inputs": (0, 0)}, "two inputs are the tensor 'x'"),
        ({"outputs": (3, 3)}, "two outputs are the tensor"),
        ({"inputs": (9,)}, "the graph's inputs name tensor 9 of 4"),
        ({"outputs": ()}, "needs an output; it has none"),
        ({"outputs": (1,)}, "output 't1' must be an operator's"),
        ({"outputs": (-1,)}, "the graph's outputs name tensor -1 of 4"),
    ],
)
def test_wrong_ends(tmp_path: Path, ends: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(InputError, match=text):
        import_tflite(dense(lambda _: None).save(tmp_path, **ends))


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "net.tflite"
    with pytest.raises(InputError, match=r"net\.tflite: cannot read: No such file"):
        import_tflite(file)
    with pytest.raises(InputError, match="cannot read: not a file"):
        import_tflite(str(tmp_path))
    with pytest.raises(InputError, match="cannot read: embedded null byte"):
        import_tflite("a\0b")
    whole = dense(lambda _: None).bytes()
    for data in (b"", b"TFL3", whole[:5], bytes(1000), b"PK\3\4" + bytes(1000), whole[:300]):
        file.write_bytes(data)
        with pytest.raises(InputError, match=r"net\.tflite: not a valid TensorFlow Lite file: "):
            import_tflite(file)


def test_the_first_of_several_subgraphs(tmp_path: Path) -> None:
    data = bytearray(dense(lambda _: None).bytes())
    table = tflite.Model.GetRootAs(bytes(data), 0)._tab
    struct.pack_into("<I", data, table.Vector(table.Offset(8)) - 4, 2)
    file = tmp_path / "net.tflite"
    file.write_bytes(data)
    assert len(import_tflite(file).nodes) == 1
    struct.pack_into("<I", data, table.Vector(table.Offset(8)) - 4, 0)
    file.write_bytes(data)
    with pytest.raises(InputError, match="it has no subgraph"):
        import_tflite(file)


def test_parts_by_the_name_of_a_signature_or_subgraph(tmp_path: Path) -> None:
    b = FileBuilder()
    x, y, z = (b.tensor((1, 4), 0.1, name=name) for name in "xyz")
    b.operator("RELU", [x], y).operator("RELU6", [y], z)
    file = b.save(tmp_path, parts={"first": [y]})
    assert import_tflite(file).outputs == ("z",)
    assert load(str(file)).graph.outputs == ("z",)
    for name in ("first", "first graph"):
        assert import_tflite(file, name).outputs == ("y",)
        assert load(f"{file}:{name}").graph.outputs == ("y",)
        assert inspect(f"{file}:{name}").supported
    text = r"net\.tflite: has no signature or subgraph 'last': 'main', 'first graph', 'first'"
    with pytest.raises(InputError, match=text):
        load(f"{file}:last")
