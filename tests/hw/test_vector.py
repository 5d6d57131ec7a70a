"""The vector unit on both simulators, both operand widths, all widths of scale."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from pulsarray.config import Config
from pulsarray.hw.vector.unit import VectorUnit
from pulsarray.sim.toolchain import lint
from tests.hw.configs import settings
from tests.hw.harness import TOP, Subject, run_subject

_INT8: dict[str, Any] = {"parameter_depth": 8}
_INT16: dict[str, Any] = {"operand_bits": 16, "scale_bits": 0, "parameter_depth": 8}
_TRAIN: dict[str, Any] = {**_INT16, "training": True}
CONFIGS = {
    "int8": Config(dim=2, bus_bits=16, **_INT8),
    "scale24": Config(dim=3, bus_bits=32, scale_bits=24, acc_bits=24, tables=3, **_INT8),
    "scale16": Config(dim=5, bus_bits=64, scale_bits=16, acc_bits=29, tables=1, **_INT8),
    "bare": Config(dim=4, bus_bits=32, tables=0, vector_multiply=False, parameter_depth=9),
    "int16": Config(dim=4, bus_bits=64, acc_bits=48, table_segments=32, **_INT16),
    "sums64": Config(dim=3, bus_bits=64, acc_bits=64, table_segments=16, tables=8, **_INT16),
    "train": Config(dim=4, bus_bits=64, acc_bits=48, table_segments=32, **_TRAIN),
    "train40": Config(dim=2, bus_bits=32, acc_bits=40, table_segments=16, tables=1, **_TRAIN),
    "train45": Config(dim=5, bus_bits=64, acc_bits=45, table_segments=64, tables=4, **_TRAIN),
    "plain": Config(
        dim=2, bus_bits=16, tflite=False, residual=False, leaky=False, fast_clock=True, **_INT8
    ),
    "plain16": Config(dim=2, bus_bits=32, acc_bits=40, residual=False, leaky=False, **_INT16),
    "fast8": Config(dim=3, bus_bits=32, fast_clock=True, **_INT8),
    "fast24": Config(dim=2, bus_bits=16, scale_bits=24, tables=0, fast_clock=True, **_INT8),
    "fast16": Config(dim=5, bus_bits=64, acc_bits=64, table_segments=16, fast_clock=True, **_INT16),
    "half-fast": Config(dim=6, bus_bits=64, vector_lanes=3, fast_clock=True, **_INT8),
    "quarter": Config(dim=8, bus_bits=32, vector_lanes=2, tables=1, **_INT8),
    "one-fast": Config(dim=4, bus_bits=32, vector_lanes=1, fast_clock=True, **_INT8),
    "half16": Config(dim=4, bus_bits=64, acc_bits=48, vector_lanes=2, **_TRAIN),
    "one16": Config(dim=4, bus_bits=32, acc_bits=48, vector_lanes=1, fast_clock=True, **_TRAIN),
    "fast-train": Config(dim=4, bus_bits=64, acc_bits=48, fast_clock=True, **_TRAIN),
}
"""Machines by name, each with other extremes."""


@functools.cache
def _subject(name: str) -> Subject:
    return Subject.of(VectorUnit(CONFIGS[name]))


def _run(simulator: str, name: str, seed: int) -> None:
    parameters = {**settings(CONFIGS[name]), "seed": seed}
    run_subject(_subject(name), "vector_bench", simulator, parameters)


def _cases() -> list[Any]:
    fast = ("int8", "train40")
    quick = [("icarus", name) for name in CONFIGS] + [("verilator", name) for name in fast]
    long = [("verilator", name) for name in CONFIGS if name not in fast]
    return [*quick, *(pytest.param(*case, marks=pytest.mark.slow) for case in long)]


@pytest.mark.parametrize(("simulator", "name"), _cases())
def test_random(simulator: str, name: str) -> None:
    _run(simulator, name, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("name", CONFIGS)
def test_more(name: str, seed: int) -> None:
    _run("verilator", name, seed)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_lint_warnings(name: str, tmp_path: Path) -> None:
    source = tmp_path / "vector.v"
    source.write_text(_subject(name).verilog, encoding="utf-8")
    assert lint([source], TOP) == []
