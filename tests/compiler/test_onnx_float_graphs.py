"""Random float ONNX graphs: imported they compute what ONNX Runtime does, or are refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.float_graphs import random_graph

TOLERANCE = 1e-5


def runtime(made: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """The graph as it stands: without the optimizations, of which some change results."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return session.run(None, {"x": inputs})[0]


def attempt(path: Path, seed: int) -> str:
    """Import one graph and compare; "right", or why it is refused."""
    draw = random_graph(seed)
    made = draw.model()
    onnx.save(made, path)
    try:
        graph = import_onnx(path)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    inputs = draw.rng.normal(size=(draw.batch, *draw.input)).astype(np.float32)
    wanted, got = runtime(made, inputs), run_float(graph, inputs)
    assert got.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(got / scale, wanted / scale, rtol=0, atol=TOLERANCE)
    return "right"


def fuzz(path: Path, seeds: range) -> Counter[str]:
    results: Counter[str] = Counter()
    for seed in seeds:
        try:
            results[attempt(path / "net.onnx", seed)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    return results


def test_random_graphs(tmp_path: Path) -> None:
    results = fuzz(tmp_path, range(150))
    assert results["right"] > 60


@pytest.mark.slow
def test_many_random_graphs(tmp_path: Path) -> None:
    results = fuzz(tmp_path, range(1000, 6000))
    assert results["right"] > 2000
