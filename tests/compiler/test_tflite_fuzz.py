"""Broken TensorFlow Lite files: each imports, or is refused in one line; nothing else happens."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError
from tests.compiler.codes import after, codes_of
from tests.compiler.tflite_files import SAME, VALID, FileBuilder
from tests.models import NETWORKS, model_file

SECONDS = 5.0  # of one file
ONES = {"StrideH": 1, "StrideW": 1}
RNG = np.random.default_rng(0)


def weight(builder: FileBuilder, *shape: int, axis: int = 0) -> int:
    values = RNG.integers(-127, 128, shape).astype(np.int8)
    return builder.constant(values, [0.01] * shape[axis], axis)


def image_network() -> bytes:
    b = FileBuilder()
    x, codes = b.tensor((1, 8, 8, 3), kind="float32"), b.tensor((1, 8, 8, 3), 0.1, -3)
    b.operator("QUANTIZE", [x], codes)
    border = b.tensor((1, 10, 10, 3), 0.1, -3)
    amounts = b.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    b.operator("PAD", [codes, amounts], border)
    first, second = b.tensor((1, 4, 4, 8), 0.2, -128), b.tensor((1, 4, 4, 8), 0.2, 5)
    bias = b.constant(np.zeros(8, np.int32), 1e-3)
    options = {"DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": 1}
    operands = [border, weight(b, 8, 3, 3, 3), bias]
    b.operator("CONV_2D", operands, first, Padding=VALID, StrideH=2, StrideW=2, **options)
    operands = [first, weight(b, 1, 3, 3, 8, axis=3), bias]
    b.operator("DEPTHWISE_CONV_2D", operands, second, Padding=SAME, **ONES, **options)
    total, pooled = b.tensor((1, 4, 4, 8), 0.3, 1), b.tensor((1, 2, 2, 8), 0.3, 1)
    b.operator("ADD", [first, second], total, FusedActivationFunction=3)
    pool = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2}
    b.operator("AVERAGE_POOL_2D", [total], pooled, Padding=SAME, **pool)
    flat, scores, y = b.tensor((1, 32), 0.3, 1), b.tensor((1, 5), 0.5), b.tensor((1, 5), 1 / 256)
    b.reshape(pooled, flat)
    b.operator("FULLY_CONNECTED", [flat, weight(b, 5, 32)], scores)
    b.operator("SOFTMAX", [scores], y, Beta=1.0)
    return b.bytes()


def other_network() -> bytes:
    b = FileBuilder()
    x, wide = b.tensor((1, 3, 3, 2), 0.1), b.tensor((1, 6, 6, 2), 0.1)
    shape = b.constant(np.array([1, 6, 6, 2], np.int32))
    operands = [shape, weight(b, 2, 2, 2, 2), x]
    b.operator("TRANSPOSE_CONV", operands, wide, Padding=SAME, StrideH=2, StrideW=2)
    tanh, curve = b.tensor((1, 6, 6, 2), 1 / 128), b.tensor((1, 6, 6, 2), 1 / 256, -128)
    b.operator("TANH", [wide], tanh).operator("LOGISTIC", [wide], curve)
    same, joined = b.tensor((1, 6, 6, 2), 1 / 128), b.tensor((1, 6, 6, 4), 1 / 128)
    b.operator("QUANTIZE", [curve], same)
    b.operator("CONCATENATION", [tanh, same], joined, Axis=3)
    most, small = b.tensor((1, 3, 3, 4), 1 / 128), b.tensor((1, 3, 3, 4), 0.01, -128)
    pool = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2}
    b.operator("MAX_POOL_2D", [joined], most, Padding=SAME, **pool)
    b.operator("RELU6", [most], small)
    mean, y = b.tensor((1, 1, 1, 4), 0.01, -128), b.tensor((1, 1, 1, 4), kind="float32")
    b.operator("MEAN", [small, b.constant(np.array([1, 2], np.int32))], mean, KeepDims=True)
    return b.operator("DEQUANTIZE", [mean], y).bytes()


def real_network() -> bytes:
    b, rng = FileBuilder(), np.random.default_rng(0)
    x, y = b.tensor((1, 6, 6, 2), kind="float32"), b.tensor((1, 6, 6, 4), kind="float32")
    half = b.constant(rng.uniform(-1, 1, (4, 3, 3, 2)).astype(np.float16))
    real = b.tensor((4, 3, 3, 2), kind="float32")
    b.operator("DEQUANTIZE", [half], real)
    bias = b.constant(np.zeros(4, np.float32))
    options = {"DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": 3}
    b.operator("CONV_2D", [x, real, bias], y, Padding=SAME, **ONES, **options)
    total, wide = b.tensor((1, 6, 6, 4), kind="float32"), b.tensor((1, 8, 8, 4), kind="float32")
    b.operator("MUL", [y, bias], total, FusedActivationFunction=1)
    b.operator("PAD", [total, b.constant(np.eye(4, 2, -1, np.int32) * 2)], wide)
    mean, scores = b.tensor((1, 4), kind="float32"), b.tensor((1, 3), kind="float32")
    b.operator("MEAN", [wide, b.constant(np.array([1, 2], np.int32))], mean, KeepDims=0)
    b.operator("FULLY_CONNECTED", [mean, weight(b, 3, 4), -1], scores)
    last = b.tensor((1, 3), kind="float32")
    return b.operator("SOFTMAX", [scores], last, Beta=1.0).bytes()


WORDS = (0, 1, 2, 3, 4, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 1 << 20, 1 << 27, (1 << 31) - 1, 1 << 31)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four wrongs."""
    file = bytearray(data)
    # Most of a real network's bytes are weights: the tables around them matter more.
    ends = sorted({len(file), min(len(file), 4000)})
    for _ in range(int(rng.integers(1, 5))):
        if len(file) < 16:
            break
        end = min(int(rng.choice(ends)), len(file))
        base = 0 if rng.integers(2) else len(file) - end
        at = base + int(rng.integers(0, end - 3))
        word = base + int(rng.integers(0, end // 4)) * 4
        word = min(word, len(file) - 4) & ~3
        match int(rng.integers(8)):
            case 0:
                file[at] ^= 1 << int(rng.integers(8))
            case 1:
                file[at] = int(rng.integers(256))
            case 2:
                del file[int(rng.integers(len(file))) :]
            case 3:  # an offset or a length that is a little off
                (old,) = struct.unpack_from("<I", file, word)
                struct.pack_into("<I", file, word, (old + int(rng.integers(-8, 9))) % (1 << 32))
            case 4:
                struct.pack_into("<I", file, word, int(rng.choice(WORDS)))
            case 5:  # negative
                struct.pack_into("<i", file, word, -int(rng.integers(1, 1 << 31)))
            case 6:
                length = min(int(rng.integers(4, 65)), len(file) // 2)
                a, b = rng.integers(0, len(file) - length + 1, 2).tolist()
                file[a : a + length], file[b : b + length] = (
                    file[b : b + length],
                    file[a : a + length],
                )
            case 7:
                length = int(rng.integers(1, 17))
                del file[at : at + length]
                if rng.integers(2):
                    file[at:at] = bytes(rng.integers(0, 256, length).tolist())
    return bytes(file)


def _wide(graph: Graph) -> bool:
    """Whether windows see so much padding that a run takes long."""
    windows = [node.op.window for node in graph.nodes if isinstance(node.op, Convolution)]
    return any(max(window.padding) > 100 for window in windows)


def consistent(graph: Graph) -> None:
    if not graph.is_quantized:
        if sum(value.size for value in graph.values.values()) < 1e4 and not _wide(graph):
            made = run_outputs(graph, {v.name: np.ones((2, *v.shape)) for v in graph.inputs})
            assert all(made[name].shape[1:] == graph.values[name].shape for name in graph.outputs)
        return
    assert after(graph) in ("", "softmax")
    formats = [value.format for value in graph.values.values()]
    codes = [form for form in formats if isinstance(form, Affine8)]
    assert all(-128 <= form.zero <= 127 and form.scale > 0 for form in codes)
    if graph.macs + sum(value.size for value in graph.values.values()) < 3e5:
        source = np.random.default_rng(0).integers(-128, 128, (1, *graph.input.shape))
        computed = codes_of(graph, source)
        assert computed.shape[1:] == graph.output.shape
        assert computed.min() >= -128
        assert computed.max() <= 127


def refusal(file: Path) -> str:
    """Why a file is refused; nothing if it imports, and then it is consistent."""
    try:
        graph = import_tflite(file)
    except InputError as error:
        return str(error)
    consistent(graph)
    return ""


def fuzz(path: Path, data: bytes, seed: int, count: int) -> int:
    """The number of files that import, of a number of broken ones."""
    rng, file, imported = np.random.default_rng(seed), path / "net.tflite", 0
    for number in range(count):
        file.write_bytes(mutated(data, rng))
        start = time.monotonic()
        text = refusal(file)
        assert time.monotonic() - start < SECONDS, (seed, number)
        assert not text or text.startswith(f"{file}: "), (seed, number)
        assert not text or (text.isprintable() and len(text) < 20_000), (seed, number)
        imported += not text
    return imported


MADE = {"image": image_network(), "other": other_network(), "real": real_network()}
BASES = (*MADE, *NETWORKS)


def base(name: str) -> bytes:
    return MADE[name] if name in MADE else model_file(name).read_bytes()


@pytest.mark.parametrize("name", BASES)
def test_unbroken_files_import(tmp_path: Path, name: str) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(base(name))
    consistent(import_tflite(file))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", BASES)
def test_broken_files(tmp_path: Path, name: str, seed: int) -> None:
    count = {"real": 60}.get(name, 300 if name in MADE else 50)
    assert 0 < fuzz(tmp_path, base(name), seed, count) < 0.9 * count


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize("name", BASES)
def test_many_broken_files(tmp_path: Path, name: str, seed: int) -> None:
    fuzz(tmp_path, base(name), seed, 2000 if name in MADE else 300)


@pytest.mark.parametrize("name", MADE)
def test_every_truncation(tmp_path: Path, name: str) -> None:
    file, data = tmp_path / "net.tflite", base(name)
    for length in range(0, len(data) - 1, 7):
        file.write_bytes(data[:length])
        assert refusal(file).isprintable()
