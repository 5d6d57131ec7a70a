"""Arithmetic of int8 TensorFlow Lite files against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError
from tests.compiler.tflite_cases import (
    FORMS,
    KINDS,
    ROWS,
    differing,
    draw_function,
    draw_matmul,
    draw_mean,
    draw_moves,
    draw_pair,
    draw_rows,
    draw_softmax,
    litert_codes,
)
from tests.compiler.tflite_files import FileBuilder

pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_functions_of_two_values(tmp_path: Path, kind: str, form: str) -> None:
    for seed in range(4):
        builder, ends = draw_pair(np.random.default_rng(seed), kind, form)
        assert differing(tmp_path, builder, ends, seed) == (0, 0)


@pytest.mark.parametrize("kind", ["GELU", "RSQRT"])
def test_functions_of_one_value(tmp_path: Path, kind: str) -> None:
    for seed in range(10):
        builder = draw_function(np.random.default_rng(seed), kind)
        assert differing(tmp_path, builder, [0], seed) == (0, 0)


def test_means_over_any_axes(tmp_path: Path) -> None:
    for seed in range(20):
        builder = draw_mean(np.random.default_rng(seed))
        assert differing(tmp_path, builder, [0], seed) == (0, 0)


def test_sums_over_any_axes(tmp_path: Path) -> None:
    """As LiteRT's usual kernel: its reference reads codes of int8 as unsigned numbers."""
    for seed in (24, 28, 37, 65, 102, 136):
        builder = draw_mean(np.random.default_rng(seed), "SUM")
        assert differing(tmp_path, builder, [0], seed, usual=True) == (0, 0)


@pytest.mark.parametrize("ratio", [0.5, 0.375, 1.75])
def test_sums_half_way_between_two_codes(tmp_path: Path, ratio: float) -> None:
    """Of one channel and an input that is packed, besides."""
    b = FileBuilder()
    x, y = b.tensor((1, 5, 3, 1), 0.5, 7), b.tensor((1, 5, 1, 1), 0.5 / ratio, -3)
    b.operator("SUM", [x, b.constant(np.array([2], np.int32))], y, KeepDims=True)
    assert differing(tmp_path, b, [0], 1, usual=True) == (0, 0)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_reshapes_and_transposes(tmp_path: Path, preset: str) -> None:
    for seed in range(20):
        builder = draw_moves(np.random.default_rng(seed))
        assert differing(tmp_path, builder, [0], seed, preset=preset) == (0, 0)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_products_of_two_matrices(tmp_path: Path, preset: str) -> None:
    for seed in range(12):
        builder = draw_matmul(np.random.default_rng(seed))
        assert differing(tmp_path, builder, [0, 1], seed, preset=preset) == (0, 0)


@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_softmax_inside_a_network(tmp_path: Path, preset: str) -> None:
    for seed in range(5):
        builder = draw_softmax(np.random.default_rng(seed))
        assert differing(tmp_path, builder, [0], seed, preset=preset) == (0, 0)


def test_softmax_of_too_many_channels(tmp_path: Path) -> None:
    b = FileBuilder()
    x, y = b.tensor((1, 2000)), b.tensor((1, 2000), 1 / 256, -128)
    z = b.tensor((1, 2000), 1 / 256, -128)
    b.operator("SOFTMAX", [x], y, Beta=1.0).operator("MAXIMUM", [y, y], z)
    with pytest.raises(InputError, match=r"softmax of 2000 channels is not possible, only 1023"):
        import_tflite(b.save(tmp_path))


@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
@pytest.mark.parametrize("kind", ROWS)
def test_functions_of_channels(tmp_path: Path, kind: str, preset: str) -> None:
    for seed in range(5):
        batch = 1 + seed % 3
        builder = draw_rows(np.random.default_rng(seed), kind, batch)
        assert differing(tmp_path, builder, [0], seed, preset=preset, batch=batch) == (0, 0)


@pytest.mark.parametrize("zero", [-128, 5, 127])
@pytest.mark.parametrize("channels", [1, 2, 2064])
def test_norms_of_few_and_large_squares(tmp_path: Path, channels: int, zero: int) -> None:
    """All 0, only one that is not, the largest, any; on every pixel of a map."""
    b, shape = FileBuilder(), (1, 8, 8, channels)
    x, y = b.tensor(shape, 0.1, zero), b.tensor(shape, 1 / 128, 0)
    b.operator("L2_NORMALIZATION", [x], y, FusedActivationFunction=0)
    file = b.save(tmp_path)
    codes = np.random.default_rng(1).integers(-128, 128, shape)
    codes[0, 0], codes[0, 1] = zero, -128 if zero > 0 else 127
    codes[0, 2:4] = zero
    codes[0, 2, :, 0], codes[0, 3, :, 0] = max(zero - 1, -128), min(zero + 1, 127)
    graph = import_tflite(file)
    result = run_outputs(graph, codes)[graph.outputs[0]]
    np.testing.assert_array_equal(result.ravel(), litert_codes(file.read_bytes(), [codes])[0])


def test_logarithms_of_any_sums(tmp_path: Path) -> None:
    """Scales of every size, with many differences that a kernel leaves out, or hardly does."""
    for seed, step in enumerate([0.25, 0.5, 1.0, 0.13, *np.geomspace(0.0005, 3, 20).tolist()]):
        b, rng = FileBuilder(), np.random.default_rng(seed)
        shape = (1, 16, 16, int(rng.choice([2, 5, 40])))
        x, y = b.tensor(shape, step, 3), b.tensor(shape, 1 / 16, 127)
        file = b.operator("LOG_SOFTMAX", [x], y).save(tmp_path)
        codes = rng.integers(-128, 128, shape)
        graph = import_tflite(file)
        result = run_outputs(graph, codes)[graph.outputs[0]]
        np.testing.assert_array_equal(result.ravel(), litert_codes(file.read_bytes(), [codes])[0])


@pytest.mark.parametrize("step", [0.25, 0.51])
def test_logarithms_of_what_is_left_out(tmp_path: Path, step: float) -> None:
    b, shape = FileBuilder(), (1, 8, 8, 9)
    x, y = b.tensor(shape, step, 3), b.tensor(shape, 1 / 16, 127)
    assert differing(tmp_path, b.operator("LOG_SOFTMAX", [x], y), [x], 1) == (0, 0)


@pytest.mark.parametrize(("kind", "most"), [("L2_NORMALIZATION", 2064), ("LOG_SOFTMAX", 4095)])
def test_functions_of_too_many_channels(tmp_path: Path, kind: str, most: int) -> None:
    b, shape = FileBuilder(), (1, most + 1)
    x, y = b.tensor(shape), b.tensor(shape, *ROWS[kind])
    with pytest.raises(InputError, match=f"of {most + 1} channels is not possible, only {most}"):
        import_tflite(b.operator(kind, [x], y).save(tmp_path))


@pytest.mark.parametrize("order", [*permutations((1, 2, 3))])
def test_transposes_of_all_axes(tmp_path: Path, order: tuple[int, ...]) -> None:
    b, shape = FileBuilder(), (1, 2, 5, 7)
    x, y, z = b.tensor(shape, 0.1, 5), b.tensor([shape[k] for k in (0, *order)], 0.1, 5), 0
    b.operator("TRANSPOSE", [x, b.constant(np.array([0, *order], np.int32))], y)
    z = b.tensor(b.tensors[y].shape, 0.2, 1)
    b.operator("RELU", [y], z)
    assert differing(tmp_path, b, [x], 1) == (0, 0)


@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
def test_places_of_the_largest_and_smallest(tmp_path: Path, kind: str) -> None:
    b = FileBuilder()
    x, y = b.tensor((1, 3, 40)), b.tensor((1, 3, 40), 0.2)
    z = b.tensor((1, 3), kind="int32")
    b.operator("RELU6", [x], y).operator(
        kind, [y, b.constant(np.array([2], np.int32))], z, OutputType=2
    )
    file = b.save(tmp_path)
    codes = np.random.default_rng(1).integers(-30, 10, (1, 1, 3, 40))
    graph = import_tflite(file)
    result = run_outputs(graph, codes)[graph.outputs[0]]
    assert result.ravel().tolist() == litert_codes(file.read_bytes(), [codes])[0].tolist()
    text = "ARG_M.* is only possible as the last operator"
    b.operator("RELU", [z], b.tensor((1, 3)))
    with pytest.raises(InputError, match=text):
        import_tflite(b.save(tmp_path))
