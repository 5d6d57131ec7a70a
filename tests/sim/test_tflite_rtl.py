"""int8 TensorFlow Lite operators of several VECTORs on RTL: values and cycles as on the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.config import PRESETS
from pulsarray.program import Program
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.cases import Case, differences
from pulsarray.sim.random.maps import with_inputs
from tests.compiler.tflite_cases import ROWS, draw_rows, spread_codes
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


def with_codes(b: FileBuilder, folder: Path, batch: int = 1) -> Program:
    """A network's program for ``tiny`` with random inputs."""
    graph = import_tflite(b.save(folder))
    program = compiler.compile(graph, PRESETS["tiny"], batch=batch)
    codes = spread_codes(np.random.default_rng(1), (batch, *graph.input.shape))
    return replace(program, memory=with_inputs(program, codes))


def test_functions_of_channels_on_rtl(tmp_path: Path) -> None:
    """Sums over channels, what gemmlowp's iterations make of them, and the factor of each pixel."""
    cases = []
    for number, kind in enumerate([*ROWS, *ROWS]):
        batch = 1 + number % 3
        program = with_codes(draw_rows(np.random.default_rng(number), kind, batch), tmp_path, batch)
        cases.append(Case(f"{kind} {number}", program, 1 + 20 * number, 1))
    assert not any(differences(cases, PRESETS["tiny"], "verilator"))


def test_attention_on_rtl(tmp_path: Path) -> None:
    program = with_codes(attention(), tmp_path)
    assert compare(run_model(program), simulate(program, "verilator"), program) == []
