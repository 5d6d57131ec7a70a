"""Random int8 TensorFlow Lite files, and what LiteRT, the definition and the model make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.program import unpack
from pulsarray.sim.device import run_model
from pulsarray.sim.random.maps import with_inputs
from tests.compiler.tflite_files import FileBuilder

Codes = np.ndarray[Any, np.dtype[np.int64]]
Random = np.random.Generator

KINDS = ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM")
FORMS = ("same", "lane", "row", "pixel", "constant", "number", "channels")
"""What the second value is: as large, with sizes of 1, or a constant."""


def scale(rng: Random, low: float = 0.01, high: float = 0.3) -> float:
    exponent = rng.uniform(np.log2(low), np.log2(high))
    return float(2.0 ** (round(exponent) if rng.integers(3) == 0 else exponent))


def zero(rng: Random) -> int:
    return int(rng.choice([-128, 0, 127, rng.integers(-128, 128)]))


def litert_codes(data: bytes, inputs: Sequence[Codes], *, usual: bool = False) -> list[Codes]:
    """Outputs of a file by LiteRT's reference kernels, or by its usual ones."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if not usual:
        kernels = OpResolverType.BUILTIN_REF
    runner = Interpreter(model_content=data, experimental_op_resolver_type=kernels)
    runner.allocate_tensors()
    for detail, codes in zip(runner.get_input_details(), inputs, strict=True):
        runner.set_tensor(detail["index"], codes.astype(np.int8).reshape(detail["shape"]))
    runner.invoke()
    details = runner.get_output_details()
    return [runner.get_tensor(made["index"]).astype(np.int64).ravel() for made in details]


def differing(
    tmp_path: Path,
    builder: FileBuilder,
    ends: Sequence[int],
    seed: int,
    *,
    preset: str = "tiny",
    runs: int = 2,
    usual: bool = False,
    batch: int = 1,
) -> tuple[int, int]:
    """Codes in which the definition differs from LiteRT, and the model from the definition."""
    file = builder.save(tmp_path, inputs=ends)
    graph, data, rng = import_tflite(file), file.read_bytes(), np.random.default_rng(seed)
    program = compiler.compile(graph, PRESETS[preset], batch=batch)
    machine = machine_part(graph)
    wrong = [0, 0]
    for _ in range(runs):
        codes = [spread_codes(rng, (batch, *value.shape)) for value in graph.inputs]
        named = {value.name: array for value, array in zip(graph.inputs, codes, strict=True)}
        defined = run_outputs(machine, named)[machine.outputs[0]].ravel()
        wrong[0] += int(np.count_nonzero(litert_codes(data, codes, usual=usual)[0] != defined))
        memory = run_model(replace(program, memory=with_inputs(program, named))).memory
        assert memory is not None
        (tensor,) = program.with_role("output")
        wrong[1] += int(np.count_nonzero(unpack(memory, tensor, program.config).ravel() != defined))
    return wrong[0], wrong[1]


def spread_codes(rng: Random, shape: tuple[int, ...]) -> Codes:
    """Codes all over, or around a place."""
    middle, width = rng.integers(-100, 100), rng.uniform(1, 200)
    wide = rng.integers(2)
    codes = rng.integers(-128, 128, shape) if wide else rng.normal(middle, width, shape)
    return np.clip(np.rint(codes), -128, 127).astype(np.int64)


def _image(rng: Random, most: int = 10) -> tuple[int, int, int]:
    return int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(rng.integers(1, most))


def draw_pair(rng: Random, kind: str, form: str) -> tuple[FileBuilder, list[int]]:
    """One operator of two values; its inputs."""
    b, shape = FileBuilder(), _image(rng)
    first = scale(rng), zero(rng)
    chooses = kind in ("MAXIMUM", "MINIMUM")
    second = first if chooses else (scale(rng), zero(rng))
    larger = 3 if kind in ("ADD", "SUB") else 0.3
    result = first if chooses else (scale(rng) * larger, zero(rng))
    x = b.tensor((1, *shape), *first)
    sizes = {
        "lane": (1, *shape[:2], 1),
        "row": (1, 1, 1, shape[2]),
        "pixel": (1, 1, shape[1], 1),
        "number": (),
        "channels": shape[2:],
    }.get(form, (1, *shape))
    known = form in ("constant", "number", "channels")
    data = np.asarray(rng.integers(-128, 128, sizes), np.int8) if known else None
    y, z = b.tensor(sizes, *second, data=data), b.tensor((1, *shape), *result)
    options = {} if chooses or kind == "SQUARED_DIFFERENCE" else {"FusedActivationFunction": 0}
    if options and rng.integers(2):
        options["FusedActivationFunction"] = int(rng.integers(1, 4))
    b.operator(kind, [x, y] if rng.integers(2) else [y, x], z, **options)
    return b, [x] if known else [x, y]


def draw_function(rng: Random, kind: str) -> FileBuilder:
    """One function of one value."""
    b, shape = FileBuilder(), _image(rng, 64)
    input_codes, made = (scale(rng, 0.001), zero(rng)), (scale(rng, 0.001), zero(rng))
    if kind == "RSQRT":  # of what is negative LiteRT has no result
        input_codes = input_codes[0], -128
        made = float(rng.uniform(0.2, 3) / np.sqrt(input_codes[0]) / 128), made[1]
    x, y = b.tensor((1, *shape), *input_codes), b.tensor((1, *shape), *made)
    options = {"Approximate": bool(rng.integers(2))} if kind == "GELU" else {}
    return b.operator(kind, [x], y, **options)


def draw_mean(rng: Random, kind: str = "MEAN") -> FileBuilder:
    """A mean or sum over some axes."""
    b, rank = FileBuilder(), int(rng.integers(2, 5))
    shape = (1, *rng.integers(1, 9, rank - 1).tolist())
    count, keep = int(rng.integers(1, rank)), bool(rng.integers(2))
    axes = sorted((rng.permutation(rank - 1)[:count] + 1).tolist())
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    made = sizes if keep else [size for axis, size in enumerate(shape) if axis not in axes]
    input_codes = scale(rng), zero(rng)
    x = b.tensor(shape, *input_codes)
    y = b.tensor(made, *(input_codes if rng.integers(4) == 0 else (scale(rng), zero(rng))))
    below = rank if rng.integers(2) else 0
    numbers = b.constant(np.array([axis - below for axis in axes], np.int32))
    return b.operator(kind, [x, numbers], y, KeepDims=keep)


def draw_moves(rng: Random) -> FileBuilder:
    """Reshapes and transposes, with functions between them."""
    b = FileBuilder()
    y = b.tensor((1, *rng.integers(1, 7, int(rng.integers(1, 4))).tolist()), scale(rng), zero(rng))
    for _ in range(int(rng.integers(1, 5))):
        y = _moved(rng, b, y)
    z = b.tensor(b.tensors[y].shape, scale(rng), zero(rng))
    return b.operator("RELU", [y], z)


def _moved(rng: Random, b: FileBuilder, y: int) -> int:
    source = b.tensors[y]
    shape, codes = list(source.shape)[1:], (source.scale[0], source.zero[0])
    way = rng.integers(3)
    if way == 0:
        z = b.tensor((1, *_factors(rng, int(np.prod(shape)))), *codes)
        b.reshape(y, z)
        return z
    if way == 1 and len(shape) == 3:
        z = b.tensor((1, shape[1], shape[0], shape[2]), *codes)
        b.operator("TRANSPOSE", [y, b.constant(np.array([0, 2, 1, 3], np.int32))], z)
        return z
    z = b.tensor((1, *shape), scale(rng), zero(rng))
    b.operator("RELU", [y], z)
    return z


def _factors(rng: Random, product: int) -> list[int]:
    """Up to three sizes of as many elements."""
    sizes = []
    for _ in range(int(rng.integers(0, 3))):
        size = int(rng.choice([n for n in range(1, product + 1) if product % n == 0]))
        sizes.append(size)
        product //= size
    sizes.append(product)
    rng.shuffle(sizes)
    return sizes


def draw_matmul(rng: Random) -> FileBuilder:
    """Products of matrices; its inputs are the first two tensors."""
    b, turned = FileBuilder(), bool(rng.integers(2))
    count, (m, k, n) = int(rng.integers(1, 4)), rng.integers(1, 14, 3).tolist()
    x = b.tensor((1, count, m, k), scale(rng), zero(rng))
    sizes = (n, k) if turned else (k, n)
    y = b.tensor((1, count, *sizes), scale(rng), zero(rng))
    z = b.tensor((1, count, m, n), 2 * scale(rng), zero(rng))
    return b.operator("BATCH_MATMUL", [x, y], z, AdjX=False, AdjY=turned)


def draw_softmax(rng: Random) -> FileBuilder:
    """A softmax that something follows."""
    b, shape = FileBuilder(), (1, *_image(rng, int(rng.choice([20, 200]))))
    codes = 1 / 256, -128
    x, y, z = (b.tensor(shape, *q) for q in ((scale(rng, 0.002, 0.5), zero(rng)), codes, codes))
    b.operator("SOFTMAX", [x], y, Beta=float(rng.choice([1.0, 0.5, 2.0])))
    return b.operator("MAXIMUM", [y, y], z)


ROWS = {"L2_NORMALIZATION": (1 / 128, 0), "LOG_SOFTMAX": (1 / 16, 127)}
"""Functions of each pixel's channels, and how results are quantized."""


def draw_rows(rng: Random, kind: str, batch: int) -> FileBuilder:
    """A function of each pixel's channels."""
    b, rank = FileBuilder(), int(rng.integers(1, 4))
    shape = (batch, *_image(rng, int(rng.choice([6, 40, 120])))[-rank:])
    x, y = b.tensor(shape, scale(rng, 0.002, 1.0), zero(rng)), b.tensor(shape, *ROWS[kind])
    return b.operator(kind, [x], y)
