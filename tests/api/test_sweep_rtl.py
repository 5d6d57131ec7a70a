"""Designs drawn from a sweep take on RTL the cycles that the sweep told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pulsarray as pa

PARAMETERS = [field.name for field in dataclasses.fields(pa.Config)]


@pytest.mark.slow
def test_ten_designs_on_rtl() -> None:
    rows = pa.sweep(
        "gemm:9..40*2x24,33x12",
        "tiny",
        dim=[2, 3, 4, 6],
        scratchpad_depth=[64, 512],
        accumulator_banks=[2, 3],
        memory_latency=[5, 64],
        memory_interval=[1, 3],
        workers=2,
    ).to_list()
    costed = [row for row in rows if not row["refused"]]
    drawn = np.random.default_rng(14).choice(len(costed), 10, replace=False)
    for row in (costed[k] for k in drawn):
        config = pa.Config.from_dict({name: row[name] for name in PARAMETERS})
        program = pa.load(row["network"]).compile(config, effort=row["effort"])
        run = program.run(
            on="verilator",
            memory_latency=row["memory_latency"],
            memory_interval=row["memory_interval"],
        )
        assert run.result.source == "verilator"
        assert run.cycles == row["cycles"]
