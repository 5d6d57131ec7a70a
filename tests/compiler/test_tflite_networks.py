"""Random networks of int8 TensorFlow Lite operators: LiteRT, the definition and the model agree.

With ``PULSARRAY_CASES=3000`` there are more of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.compiler.tflite_cases import differing
from tests.compiler.tflite_networks import KINDS, draw_network

pytest.importorskip("ai_edge_litert.interpreter")

SEED = int(os.environ.get("PULSARRAY_SEED", "1")) * 1_000_000
CASES = int(os.environ.get("PULSARRAY_CASES", "40"))
BLOCK = 10
MACHINES = ("tiny", "small", "base")


@pytest.mark.parametrize("first", range(SEED, SEED + CASES, BLOCK))
def test_networks(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + BLOCK):
        preset = MACHINES[seed % len(MACHINES)]
        faults = differing(tmp_path, draw_network(seed), [0], seed, preset=preset, runs=1)
        assert faults == (0, 0), seed


def test_channels_of_a_map_that_stays_on_chip_are_joined(tmp_path: Path) -> None:
    kinds = tuple(
        kind for kind in KINDS if kind != "channels"
    )  # Another kind changes what is drawn.
    faults = differing(tmp_path, draw_network(1_000_508, kinds), [0], 1, preset="base", runs=1)
    assert faults == (0, 0)


def test_every_kind_is_drawn() -> None:
    kinds = {kind for seed in range(200) for kind, *_ in draw_network(seed).operators}
    assert len(kinds) > 1.5 * len(KINDS)
