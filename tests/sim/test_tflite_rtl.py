"""int8 TensorFlow Lite operators of several VECTORs on RTL: values and cycles as on the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.config import PRESETS
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.maps import with_inputs
from tests.compiler.tflite_cases import spread_codes
from tests.compiler.tflite_files import FileBuilder

PAIRS = ("SUB", "MUL", "SQUARED_DIFFERENCE")


def attention() -> FileBuilder:
    """Heads, scores, softmax, and functions of two values."""
    b = FileBuilder()
    x, heads, turned = (
        b.tensor(shape, 0.05, 3) for shape in ((1, 6, 8), (1, 6, 2, 4), (1, 2, 6, 4))
    )
    b.reshape(x, heads)
    b.operator("TRANSPOSE", [heads, b.constant(np.array([0, 2, 1, 3], np.int32))], turned)
    scores, shares = b.tensor((1, 2, 6, 6), 0.1, -5), b.tensor((1, 2, 6, 6), 1 / 256, -128)
    b.operator("BATCH_MATMUL", [turned, turned], scores, AdjX=False, AdjY=True)
    b.operator("SOFTMAX", [scores], shares, Beta=1.0)
    y = b.tensor((1, 2, 6, 4), 0.03, 7)
    b.operator("BATCH_MATMUL", [shares, turned], y, AdjX=False, AdjY=False)
    for kind in PAIRS:
        z = b.tensor((1, 2, 6, 4), 0.06, -9)
        options = {} if kind == "SQUARED_DIFFERENCE" else {"FusedActivationFunction": 0}
        b.operator(kind, [y, turned], z, **options)
        y = z
    return with_means(b, y)


def with_means(b: FileBuilder, y: int) -> FileBuilder:
    """The same functions of a value and its means over channels, which are more than lanes."""
    flat, means = b.tensor((1, 6, 8), 0.06, -9), b.tensor((1, 6, 1), 0.05, 17)
    b.reshape(y, flat)
    b.operator("MEAN", [flat, b.constant(np.array([2], np.int32))], means, KeepDims=True)
    for kind in PAIRS:
        z = b.tensor((1, 6, 8), 0.06, -9)
        options = {} if kind == "SQUARED_DIFFERENCE" else {"FusedActivationFunction": 0}
        b.operator(kind, [flat, means], z, **options)
        flat = z
    return b


def test_attention_on_rtl(tmp_path: Path) -> None:
    graph = import_tflite(attention().save(tmp_path))
    program = compiler.compile(graph, PRESETS["tiny"])
    codes = spread_codes(np.random.default_rng(1), (1, *graph.input.shape))
    program = replace(program, memory=with_inputs(program, codes))
    assert compare(run_model(program), simulate(program, "verilator"), program) == []
