"""TensorFlow Lite files in floating point against LiteRT's kernels; and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.api.network import compile_source
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.importers.tflite.real_operators import REAL_OPERATORS
from pulsarray.compiler.importers.tflite.sparse import Level, Sparsity
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.device import run_model
from pulsarray.tensors import codes_of, real_values
from tests.compiler.tflite_files import SAME, VALID, FileBuilder

litert = pytest.importorskip("ai_edge_litert.interpreter")

TOLERANCE = 1e-5
FUSED = (0, 1, 2, 3)
ONES = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


class RealBuilder(FileBuilder):
    """A file of real numbers, operators of which follow one another."""

    def __init__(self, rng: np.random.Generator, *shape: int) -> None:
        super().__init__()
        self.rng = rng
        self.last = self.value(*shape)

    def value(self, *shape: int) -> int:
        return self.tensor(shape, kind="float32")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensors[self.last].shape)

    def random(self, *shape: int, kind: str = "float32", low: float = -1.0) -> int:
        """A constant, as it is or behind DEQUANTIZE."""
        data = self.rng.uniform(low, 1.0, shape)
        if kind in ("float32", "float16"):
            made = self.constant(data.astype(kind))
        else:
            scales = self.rng.uniform(0.005, 0.01, shape[0])
            codes = self.rng.integers(-127, 128, shape).astype(np.int8)
            made = self.constant(codes, list(scales), 0)
        if kind == "float32":
            return made
        result = self.value(*shape)
        self.operator("DEQUANTIZE", [made], result)
        return result

    def put(
        self, kind: str, inputs: list[int], shape: tuple[int, ...], **options: float
    ) -> RealBuilder:
        result = self.value(*shape)
        self.operator(kind, inputs, result, **options)
        self.last = result
        return self

    def ints(self, *numbers: int) -> int:
        return self.constant(np.array(numbers, np.int32))


REFERENCE = litert.OpResolverType.BUILTIN_REF
OPTIMIZED = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
"""These kernels have CEIL, ELU and ROUND, which the reference kernels lack."""


def wanted(data: bytes, samples: list[np.ndarray], kernels: object = REFERENCE) -> list[np.ndarray]:
    """What LiteRT computes of inputs, one an output."""
    made = litert.Interpreter(model_content=data, experimental_op_resolver_type=kernels)
    made.allocate_tensors()
    for details, sample in zip(made.get_input_details(), samples, strict=True):
        made.set_tensor(details["index"], sample)
    made.invoke()
    return [np.asarray(made.get_tensor(d["index"])) for d in made.get_output_details()]


def check(
    path: Path,
    builder: FileBuilder,
    rng: np.random.Generator,
    kernels: object = REFERENCE,
    **ends: list[int],
) -> Graph:
    """The graph of a file, whose results equal LiteRT's."""
    file = builder.save(path, **ends)
    graph = import_tflite(file)
    feed = [rng.uniform(-2, 2, (1, *v.shape)).astype(np.float32) for v in graph.inputs]
    names = [value.name for value in graph.inputs]
    made = run_outputs(graph, {n: x.astype(np.float64) for n, x in zip(names, feed, strict=True)})
    for name, result in zip(graph.outputs, wanted(file.read_bytes(), feed, kernels), strict=True):
        assert made[name].shape == result.shape
        assert np.abs(made[name] - result).max() <= TOLERANCE * max(1.0, np.abs(result).max())
    return graph


def window(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[dict[str, int], list[int]]:
    """Strides and padding, a kernel, and rows and columns of the result."""
    kernel, stride = rng.integers(1, 4, 2).tolist(), rng.integers(1, 3, 2).tolist()
    padding = int(rng.choice([SAME, VALID]))
    pairs = zip(shape[1:3], kernel, stride, strict=True)
    sizes = [-(-n // s) if padding == SAME else (n - k) // s + 1 for n, k, s in pairs]
    return {"Padding": padding, "StrideH": stride[0], "StrideW": stride[1]}, [*kernel, *sizes]


def convolve(b: RealBuilder) -> None:
    options, (kh, kw, height, width) = window(b.rng, b.shape)
    kind, fused = str(b.rng.choice(["float32", "float16", "int8"])), int(b.rng.choice(FUSED))
    count, groups = 4, int(b.rng.choice([1, 2]))
    options |= {"DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": fused}
    weight = b.random(count, kh, kw, b.shape[3] // groups, kind=kind)
    shape = (1, height, width, count)
    b.put("CONV_2D", [b.last, weight, b.random(count)], shape, **options)


def depthwise(b: RealBuilder) -> None:
    options, (kh, kw, height, width) = window(b.rng, b.shape)
    options |= {"DilationHFactor": 1, "DilationWFactor": 1, "DepthMultiplier": 2}
    count = b.shape[3] * 2
    weight = b.random(1, kh, kw, count, kind=str(b.rng.choice(["float32", "float16"])))
    shape = (1, height, width, count)
    b.put("DEPTHWISE_CONV_2D", [b.last, weight, b.random(count)], shape, **options)


def transpose_conv(b: RealBuilder) -> None:
    kernel, stride = b.rng.integers(1, 4, 2).tolist(), b.rng.integers(1, 4, 2).tolist()
    padding, count = int(b.rng.choice([SAME, VALID])), 4
    pairs = zip(b.shape[1:3], kernel, stride, strict=True)
    same = padding == SAME
    sizes = [n * s if same else (n - 1) * s + max(k, s) for n, k, s in pairs]
    shape = (1, *sizes, count)
    operands = [b.ints(*shape), b.random(count, *kernel, b.shape[3]), b.last, b.random(count)]
    options = {"Padding": padding, "StrideH": stride[0], "StrideW": stride[1]}
    b.put("TRANSPOSE_CONV", operands, shape, **options)


def pool(b: RealBuilder) -> None:
    options, (kh, kw, height, width) = window(b.rng, b.shape)
    kind = str(b.rng.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
    options |= {"FilterHeight": kh, "FilterWidth": kw, "FusedActivationFunction": 1}
    b.put(kind, [b.last], (1, height, width, b.shape[3]), **options)


def binary(b: RealBuilder) -> None:
    kind = str(b.rng.choice(["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"]))
    shape = [b.shape, (b.shape[3],), (1, 1, 1, b.shape[3]), (1,)][int(b.rng.integers(4))]
    other = b.random(*shape, low=0.5 if kind == "DIV" else -1.0)
    operands = [b.last, other] if kind == "DIV" or b.rng.integers(2) else [other, b.last]
    fused = {} if kind in ("MAXIMUM", "MINIMUM") else {"FusedActivationFunction": 1}
    b.put(kind, operands, b.shape, **fused)


def two_values(b: RealBuilder) -> None:
    before, kind = b.last, str(b.rng.choice(["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"]))
    function(b)
    fused = {} if kind in ("MAXIMUM", "MINIMUM") else {"FusedActivationFunction": 0}
    b.put(kind, [before, b.last], b.shape, **fused)


def function(b: RealBuilder) -> None:
    kinds = ["RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH"]
    kind = str(b.rng.choice([*kinds, "SQUARE", "GELU", "SOFTMAX"]))
    options = {"SOFTMAX": {"Beta": float(b.rng.choice([1.0, 0.5]))}, "GELU": {"Approximate": 1}}
    b.put(kind, [b.last], b.shape, **options.get(kind, {}))


def pad(b: RealBuilder) -> None:
    sides = b.rng.integers(0, 3, 6).tolist()
    pairs = np.array([0, 0, *sides], np.int32).reshape(4, 2)
    shape = tuple(int(n) for n in np.array(b.shape) + pairs.sum(axis=1))
    zero = [b.constant(np.zeros(1, np.float32))] if b.rng.integers(2) else []
    b.put("PADV2" if zero else "PAD", [b.last, b.constant(pairs), *zero], shape)


def reduce(b: RealBuilder) -> None:
    kind = str(b.rng.choice(["MEAN", "SUM", "REDUCE_MAX"]))
    axes = [[1, 2], [-1], [2, 1], [1], [1, 2, 3]][int(b.rng.integers(5))]
    shape = tuple(1 if a in axes or a - 4 in axes else n for a, n in enumerate(b.shape))
    b.put(kind, [b.last, b.ints(*axes)], shape, KeepDims=1)


def concat(b: RealBuilder) -> None:
    axis, before = int(b.rng.integers(1, 4)), b.last
    function(b)
    shape = tuple(n * (1 + (a == axis)) for a, n in enumerate(b.shape))
    b.put("CONCATENATION", [before, b.last], shape, Axis=axis - 4 * int(b.rng.integers(2)))


def transpose(b: RealBuilder) -> None:
    order = [0, *(1 + b.rng.permutation(3)).tolist()]
    b.put("TRANSPOSE", [b.last, b.ints(*order)], tuple(b.shape[n] for n in order))


def dense(b: RealBuilder) -> None:
    weight = b.random(4, b.shape[3], kind=str(b.rng.choice(["float32", "float16"])))
    shape = (*b.shape[:3], 4)
    b.put("FULLY_CONNECTED", [b.last, weight, b.random(4)], shape, KeepNumDims=1)


def resize(b: RealBuilder) -> None:
    kind = str(b.rng.choice(["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"]))
    sizes = [int(b.rng.choice([n, 2 * n, 3 * n, b.rng.integers(1, 15)])) for n in b.shape[1:3]]
    corners, half = [(0, 0), (0, 1), (1, 0)][int(b.rng.integers(3))]
    options = {"AlignCorners": corners, "HalfPixelCenters": half}
    b.put(kind, [b.last, b.ints(*sizes)], (1, *sizes, b.shape[3]), **options)


def some(b: RealBuilder) -> None:
    """Some of each axis, by either operator."""
    begin = [0, *(int(b.rng.integers(n)) for n in b.shape[1:])]
    if b.rng.integers(2):
        room = np.array(b.shape) - begin
        sizes = [-1, *b.rng.integers(1, room[1:] + 1).tolist()]
        shape = (1, *sizes[1:])
        b.put("SLICE", [b.last, b.ints(*begin), b.ints(*sizes)], shape)
        return
    steps, masks = [1, *b.rng.integers(1, 3, 3).tolist()], b.rng.integers(0, 16, 2).tolist()
    lines = [
        range(n)[None if masks[0] >> k & 1 else begin[k] :: steps[k]] for k, n in enumerate(b.shape)
    ]
    operands = [b.ints(*begin), b.ints(*b.shape), b.ints(*steps)]
    options = {"BeginMask": masks[0], "EndMask": masks[1]}
    b.put("STRIDED_SLICE", [b.last, *operands], tuple(map(len, lines)), **options)


def mirror(b: RealBuilder) -> None:
    mode = int(b.rng.integers(2))
    pairs = [(0, 0), *([int(b.rng.integers(n + mode)) for _ in range(2)] for n in b.shape[1:])]
    shape = tuple(int(n) for n in np.array(b.shape) + np.sum(pairs, axis=1))
    operands = [b.last, b.constant(np.array(pairs, np.int32))]
    b.put("MIRROR_PAD", operands, shape, Mode=mode)


def blocks(b: RealBuilder) -> None:
    """Channels to blocks of pixels, or back."""
    _, height, width, channels = b.shape
    if channels % 4 == 0:
        shape = (1, 2 * height, 2 * width, channels // 4)
        b.put("DEPTH_TO_SPACE", [b.last], shape, BlockSize=2)
    elif height % 2 == width % 2 == 0:
        shape = (1, height // 2, width // 2, 4 * channels)
        b.put("SPACE_TO_DEPTH", [b.last], shape, BlockSize=2)
    else:
        resize(b)


STEPS = [
    *[convolve, depthwise, transpose_conv, pool, binary, two_values, function, pad, reduce],
    *[concat, transpose, dense, resize, some, mirror, blocks],
]


def even(b: RealBuilder) -> None:
    """Make channels a number that two groups fit."""
    dense(b)


@pytest.mark.parametrize("seed", range(120))
def test_random_networks_equal_litert(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = RealBuilder(rng, 1, *rng.integers(4, 8, 2).tolist(), 4)
    for number in range(4):
        step = STEPS[(seed + number * 5) % len(STEPS)]
        if min(b.shape[1:3]) < 4 and step in (convolve, depthwise, pool):
            step = function
        if step is convolve and b.shape[3] % 2:
            even(b)
        step(b)
    flat = int(np.prod(b.shape))
    if flat < 2000 and rng.integers(2):
        b.put("RESHAPE", [b.last, b.ints(1, flat)], (1, flat))
        b.put("FULLY_CONNECTED", [b.last, b.random(3, flat), -1], (1, 3))
    check(tmp_path, b, rng)


def test_vectors_and_sequences(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = RealBuilder(rng, 1, 6, 8)
    rows = b.last
    b.put("FULLY_CONNECTED", [rows, b.random(5, 8), b.random(5)], (1, 6, 5), KeepNumDims=1)
    first = b.last
    b.put("BATCH_MATMUL", [first, first], (1, 6, 6), AdjX=0, AdjY=1)
    b.put("SOFTMAX", [b.last], (1, 6, 6), Beta=1.0)
    b.put("BATCH_MATMUL", [b.last, first], (1, 6, 5), AdjX=0, AdjY=0)
    b.put("EXPAND_DIMS", [b.last, b.ints(1)], (1, 1, 6, 5))
    b.put("RESHAPE", [b.last, b.ints(1, 6, 5)], (1, 6, 5))
    b.put("SQUARED_DIFFERENCE", [b.last, b.random(5)], (1, 6, 5))
    b.put("ADD", [b.last, b.random(1, low=0.5)], (1, 6, 5), FusedActivationFunction=0)
    b.put("RSQRT", [b.last], (1, 6, 5))
    b.put("EXP", [b.last], (1, 6, 5))
    check(tmp_path, b, rng)


FUNCTIONS = [
    *("ABS", "CEIL", "COS", "ELU", "FLOOR", "HARD_SWISH", "LOG", "NEG", "ROUND", "SIGN", "SIN"),
    *("SQRT", "LEAKY_RELU", "PRELU"),
]


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    b = RealBuilder(rng, 1, 4, 4, 3)
    if kind in ("LOG", "SQRT"):
        b.put("EXP", [b.last], b.shape)
    more = [b.random(1, 1, 3)] if kind == "PRELU" else []
    options = {"Alpha": 0.3} if kind == "LEAKY_RELU" else {}
    kernels = OPTIMIZED if kind in ("CEIL", "ELU", "ROUND") else REFERENCE
    check(tmp_path, b.put(kind, [b.last, *more], b.shape, **options), rng, kernels)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_sparse_weights(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    b = RealBuilder(rng, 1, 4, 4, 6)
    data = rng.integers(-100, 100, (5, 3, 1, 6)) * (rng.random((5, 3, 1, 6)) < 0.4)
    scales = [0.01] if kind == "int8" else []
    sparse = b.tensor(data.shape, scales, kind=kind, data=data.astype(kind))
    b.tensors[sparse].sparse = True
    dense = b.tensor(data.shape, scales, kind=kind, data=None)
    b.operator("DENSIFY", [sparse], dense)
    weight = dense
    if kind != "float32":
        b.operator("DEQUANTIZE", [dense], weight := b.value(*data.shape))
    options = {**ONES, "Padding": SAME}
    b.put("CONV_2D", [b.last, weight, b.random(5)], (1, 4, 4, 5), **options)
    check(tmp_path, b, rng)


def test_sparse_weights_in_blocks() -> None:
    """Blocks of 2 columns, of which a row of blocks lists those that it has."""
    blocks = [Level(2), Level(0, np.array([0, 1, 3]), np.array([1, 0, 2])), Level(2)]
    made = Sparsity((0, 1, 2), (1,), tuple(blocks)).dense(np.arange(1, 7), (2, 6))
    np.testing.assert_array_equal(made, [[0, 0, 1, 2, 0, 0], [3, 4, 0, 0, 5, 6]])
    turned = Sparsity((1, 0), (), (Level(2), Level(0, np.array([0, 1, 3]), np.array([1, 0, 2]))))
    made = turned.dense(np.arange(1, 4), (3, 2))
    np.testing.assert_array_equal(made, [[0, 2], [1, 0], [0, 3]])


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([Level(2), Level(0, np.array([0, 3, 2]), np.array([0, 1]))], "segments that do not fit"),
        ([Level(2), Level(0, np.array([0, 1]), np.array([0]))], "segments that do not fit"),
        ([Level(2), Level(0, np.array([0, 1, 2]), np.array([0, 7]))], "elements outside it"),
        ([Level(2), Level(4)], "elements outside it"),
        ([Level(2)], "levels that are not its dimensions"),
        ([Level(1 << 20), Level(1 << 20)], "is too large"),
    ],
)
def test_impossible_sparse_weights(levels: list[Level], text: str) -> None:
    sparsity = Sparsity((0, 1)[: len(levels)], (), tuple(levels))
    with pytest.raises(InputError, match=text):
        sparsity.dense(np.arange(2), (2, 3))


def test_transposed_convolution_of_mediapipe(tmp_path: Path) -> None:
    """What LiteRT has no kernel for equals its TRANSPOSE_CONV of the same weights."""
    rng = np.random.default_rng(0)
    weight, bias = rng.uniform(-1, 1, (3, 2, 2, 4)), rng.uniform(-1, 1, 3)
    graphs = []
    for custom in (True, False):
        b = RealBuilder(rng, 1, 4, 5, 4)
        operands = [b.constant(x.astype(np.float32)) for x in (weight, bias)]
        if custom:
            kind, options = "CUSTOM 'Convolution2DTransposeBias'", {"p": 1, "w": 2, "h": 2}
            b.put(kind, [b.last, *operands], (1, 8, 10, 3), **options)
        else:
            options = {"Padding": SAME, "StrideH": 2, "StrideW": 2}
            shape = b.ints(1, 8, 10, 3)
            b.put(
                "TRANSPOSE_CONV",
                [shape, operands[0], b.last, operands[1]],
                (1, 8, 10, 3),
                **options,
            )
        graphs.append(import_tflite(b.save(tmp_path)))
    x = rng.uniform(-1, 1, (2, 4, 5, 4))
    np.testing.assert_array_equal(*(run_float(graph, x) for graph in graphs))


def test_squeeze_has_the_shape_that_the_file_says(tmp_path: Path) -> None:
    b = RealBuilder(np.random.default_rng(0), 1, 4, 1, 3)
    graph = import_tflite(b.put("SQUEEZE", [b.last], (1, 4, 3)).save(tmp_path))
    assert graph.output.shape == (4, 3)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = RealBuilder(rng, 1, 4, 4, 3)
    first, second = b.last, b.value(1, 4, 4, 3)
    b.put("ADD", [first, second], (1, 4, 4, 3), FusedActivationFunction=1)
    total = b.last
    b.put("TANH", [total], (1, 4, 4, 3))
    graph = check(tmp_path, b, rng, inputs=[first, second], outputs=[total, b.last])
    assert [value.name for value in graph.inputs] == ["t0", "t1"]
    assert graph.outputs == ("t2", "t3")


def test_one_output_of_several(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = RealBuilder(rng, 1, 4, 4, 3)
    options = {**ONES, "Padding": SAME}
    b.put("CONV_2D", [b.last, b.random(2, 3, 3, 3), b.random(2)], (1, 4, 4, 2), **options)
    first = b.last
    b.put("CONV_2D", [first, b.random(2, 1, 1, 2), b.random(2)], (1, 4, 4, 2), **options)
    file = b.save(tmp_path, outputs=[first, b.last])
    np.savez(tmp_path / "x.npz", x=rng.uniform(-1, 1, (4, 4, 4, 3)))
    settings = {"batch": None, "calibrate": tmp_path / "x.npz", "sums": False, "seed": None}
    config, name = PRESETS["base"], f"t{first}"
    program = compile_source(str(file), config, outputs=[name], **settings)
    assert [tensor.name for tensor in program.with_role("output")] == [name]
    assert len(program.layers) == 1
    program = compile_source(str(file), config, **settings)
    assert [tensor.name for tensor in program.with_role("output")] == [name, f"t{b.last}"]
    with pytest.raises(InputError, match=r"outputs are 't\d', 't\d', each once, not 'z'"):
        compile_source(str(file), config, outputs=["z"], **settings)
    with pytest.raises(InputError, match="--outputs-only, --state: not for gemm"):
        compile_source("gemm:2x2x2", config, outputs=["y"], **{**settings, "calibrate": None})


def small_network(path: Path, kind: str) -> Path:
    rng = np.random.default_rng(3)
    b = RealBuilder(rng, 1, 8, 8, 3)
    weight = b.random(8, 3, 3, 3, kind=kind)
    options = {**ONES, "Padding": SAME, "FusedActivationFunction": 3}
    b.put("CONV_2D", [b.last, weight, b.random(8)], (1, 8, 8, 8), **options)
    first = b.last
    depth = b.random(1, 3, 3, 8)
    b.put("DEPTHWISE_CONV_2D", [first, depth, b.random(8)], (1, 8, 8, 8), **ONES, Padding=SAME)
    b.put("ADD", [first, b.last], (1, 8, 8, 8), FusedActivationFunction=1)
    b.put("MEAN", [b.last, b.ints(1, 2)], (1, 8), KeepDims=0)
    b.put("FULLY_CONNECTED", [b.last, b.random(4, 8), b.random(4)], (1, 4))
    b.put("SOFTMAX", [b.last], (1, 4), Beta=1.0)
    return b.save(path)


def outputs_of(program: Program, sample: np.ndarray) -> np.ndarray:
    """What a program answers to a sample of its one input."""
    memory = program.memory.copy()
    (tensor,) = program.with_role("input")
    data = pack(codes_of(sample[None], tensor, program), tensor, program.config)
    memory[tensor.address : tensor.address + data.size] = data
    result = run_model(program, memory).memory
    assert result is not None
    (output,) = program.with_role("output")
    return real_values(unpack(result, output, program.config), output)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_on_the_machine_within_int8(tmp_path: Path, kind: str) -> None:
    """Quantized, compiled and run: as near to the real result as int8 is."""
    graph = import_tflite(small_network(tmp_path, kind))
    samples = np.random.default_rng(1).uniform(-1, 1, (16, 8, 8, 3))
    program = compiler.compile(graph, PRESETS["base"], calibration=samples)
    reals = run_float(graph, samples[:4])
    for sample, real in zip(samples[:4], reals, strict=True):
        computed = outputs_of(program, sample)
        assert np.abs(computed.reshape(-1) - real.reshape(-1)).max() < 0.05


def refused(path: Path, builder: FileBuilder, **ends: list[int]) -> str:
    file = builder.save(path, **ends)
    with pytest.raises(InputError) as caught:
        import_tflite(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert text.isprintable()
    return text


def one(kind: str, shape: tuple[int, ...] = (1, 4, 4, 3), **options: float) -> RealBuilder:
    b = RealBuilder(np.random.default_rng(0), 1, 4, 4, 3)
    return b.put(kind, [b.last], shape, **options)


def test_refusals(tmp_path: Path) -> None:
    b = one("RELU")
    text = refused(tmp_path, b.put("WHERE", [b.last], b.shape))
    assert text.endswith(
        "unsupported operators: WHERE (operator 1 't2'); WHERE: the size of its result depends on "
        "the input"
    )
    text = refused(tmp_path, one("RELU", (1, 4, 4, 4)))
    assert "operator 0 (RELU, 't1'): result must have shape (4, 4, 3) a sample" in text
    b = RealBuilder(np.random.default_rng(0), 2, 4, 3)
    text = refused(tmp_path, b.put("RESHAPE", [0, b.ints(3, 8)], (3, 8)))
    assert "must have shape (2, ...), the batch first" in text
    b = RealBuilder(np.random.default_rng(0), 1, 4, 4, 3)
    text = refused(tmp_path, b.put("CONV_2D", [b.last, b.last, b.last], b.shape, **ONES))
    assert "weight 't0' must be a constant" in text
    b = RealBuilder(np.random.default_rng(0), 1, 4, 4, 3)
    weight = b.constant(np.zeros((2, 1, 1, 3), np.int16), [0.1, 0.1, 0.1], 0)
    text = refused(tmp_path, b.put("CONV_2D", [b.last, weight], (1, 4, 4, 2), **ONES))
    assert "needs one scale, or one for each of axis 0, not 3" in text
    b = RealBuilder(np.random.default_rng(0), 2, 4, 4, 3)
    text = refused(tmp_path, b.put("TRANSPOSE", [b.last, b.ints(1, 0, 2, 3)], (4, 2, 4, 3)))
    assert "the batch must stay the first axis" in text
    b = one("RELU")
    assert "output 't0' must be an operator's" in refused(tmp_path, b, outputs=[0])


def test_every_operator_is_tested() -> None:
    """The names of the table occur in this file, or in that of further operators."""
    files = (Path(__file__), Path(__file__).with_name("test_tflite_operators.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [kind for kind in REAL_OPERATORS if f'"{kind}"' not in text] == []


def test_constants_in_few_bits(tmp_path: Path) -> None:
    """uint8 with zero points, and two elements of four bits in a byte."""
    rng = np.random.default_rng(0)
    for kind, low in (("uint8", 0), ("int4", -8)):
        b = RealBuilder(rng, 1, 5)
        codes = rng.integers(low, low + 16, (3, 5))
        data = codes.astype(np.uint8)
        if kind == "int4":
            flat = np.append(codes.reshape(-1) & 15, 0)
            data = (flat[::2] | flat[1::2] << 4).astype(np.uint8)
        weight = b.tensor((3, 5), 0.1, 2, kind=kind, data=data)
        real = b.value(3, 5)
        b.operator("DEQUANTIZE", [weight], real)
        b.put("FULLY_CONNECTED", [b.last, real, -1], (1, 3))
        graph = import_tflite(b.save(tmp_path))
        (matrix,) = (v.array for v in graph.constants if len(v.shape) == 2)
        assert np.allclose(matrix, (codes.T - 2) * np.float32(0.1), rtol=1e-9)
