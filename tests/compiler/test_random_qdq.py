"""Random quantized ONNX graphs: every code is the nearest to its real value, or float32 is why not.

``benchmarks/random_qdq.py`` does the same with thousands.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from pulsarray.config import PRESETS
from pulsarray.sim.random.exact_onnx import ExactGraph, Judgement, Value
from pulsarray.sim.random.judged_qdq import judge, model_differences
from pulsarray.sim.random.qdq import draw_qdq
from tests.compiler.onnx_files import node

pytest.importorskip("onnxruntime")
SEED = int(os.environ.get("PULSARRAY_SEED", "1")) * 1_000_000
BLOCK = 25
LIMITS = np.array([-128, 127])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("first", range(SEED, SEED + 150, BLOCK))
def test_graphs_are_rounded_where_the_file_says(first: int) -> None:
    verdicts = {seed: judge(draw_qdq(seed)) for seed in range(first, first + BLOCK)}
    assert {seed: verdict.wrong for seed, verdict in verdicts.items() if verdict.wrong} == {}
    taken = [verdict for verdict in verdicts.values() if not verdict.refused]
    assert len(taken) > BLOCK / 2
    assert sum(verdict.integers.codes for verdict in taken) > 10_000
    assert max(verdict.integers.farthest for verdict in taken) < 1e-5


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_graphs_on_the_model(preset: str) -> None:
    cases = [case for case in map(draw_qdq, range(SEED, SEED + 40)) if not judge(case).refused]
    for case in cases[:15]:
        assert model_differences(case, PRESETS[preset]) == [], case.seed


def test_a_code_that_is_not_the_nearest_is_wrong() -> None:
    judgement = Judgement()
    real, bound = np.array([0.49, 0.51, 200.0, -3.0]), np.full(4, 1e-3)
    judgement.add("fine", np.array([0, 1, 127, -3]), real, bound, LIMITS)
    judgement.add("beside", np.array([0, 0]), np.array([0.1, 0.5005]), bound[:2], LIMITS)
    assert (judgement.codes, judgement.beside, judgement.wrong) == (6, 1, [])
    judgement.add("off", np.array([1]), real[:1], bound[:1], LIMITS)
    assert len(judgement.wrong) == 1
    assert judgement.wrong[0].startswith("off: 1 of 1 codes, e.g. 1 for 0.4900000")


def test_float32_stays_within_the_bound() -> None:
    """NumPy's float32 sums of another order; and the bound is not a thousand times too wide."""
    rng = np.random.default_rng(0)
    exact = ExactGraph()
    exact.constants["w"] = rng.normal(size=(5, 40, 1, 1)).astype(np.float32)
    inputs = rng.normal(size=(8, 40, 3, 3)).astype(np.float32)
    values = {"x": Value.known(inputs)}
    exact.step(node("Conv", ["x", "w"], "c"), values, {}, Judgement())
    narrow = np.einsum("nchw,oc->nohw", inputs, exact.constants["w"][:, :, 0, 0])
    share = np.abs(narrow - values["c"].real) / values["c"].error
    assert 1e-3 < share.max() < 1
