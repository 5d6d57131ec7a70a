"""Compiled programs compute what they should, in any order that their semaphores allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS, Config
from pulsarray.model.run import run
from pulsarray.program import Program, pack, unpack
from tests.compiler.anyorder import AnyOrder
from tests.compiler.codes import codes_of
from tests.compiler.machines import SIZES, configs, expected_gemm

FUNCTIONS = st.lists(st.sampled_from(["relu", "sigmoid", "tanh"]), max_size=2)


@settings(max_examples=15, deadline=None)
@given(configs(), SIZES, SIZES, SIZES, st.booleans(), st.integers(0, 99))
def test_gemm(config: Config, m: int, k: int, n: int, sums: bool, seed: int) -> None:
    program = compile_gemm(m, k, n, config, sums=sums, seed=seed, effort=2000)
    got = unpack(AnyOrder(program, seed).run(), program.tensor("y"), config)
    np.testing.assert_array_equal(got, expected_gemm(program))


LARGE = st.integers(1, 200)


@settings(max_examples=15, deadline=None)
@given(configs(), LARGE, LARGE, LARGE, st.booleans(), st.sampled_from([1, 64, 200]))
def test_gemm_on_the_model(
    config: Config, m: int, k: int, n: int, sums: bool, latency: int
) -> None:
    assume(m * -(-k // config.dim) * -(-n // config.dim) <= 20000)
    program = compile_gemm(m, k, n, config, sums=sums, effort=500)
    got = run(program, memory_latency=latency)
    assert got.memory is not None
    result = unpack(got.memory, program.tensor("y"), config)
    np.testing.assert_array_equal(result, expected_gemm(program))


@pytest.mark.parametrize("shape", [(1, 70, 66), (20, 33, 1)])
def test_array_larger_than_banks(shape: tuple[int, int, int]) -> None:
    config = Config(
        dim=33, scratchpad_banks=4, scratchpad_depth=16, accumulator_depth=16,
        parameter_depth=1, outstanding=1, queue_depth=1, bus_bits=128,
    )  # fmt: skip
    program = compile_gemm(*shape, config)
    got = unpack(AnyOrder(program, 0).run(), program.tensor("y"), config)
    np.testing.assert_array_equal(got, expected_gemm(program))


def random_network(sizes: list[int], functions: list[list[str]], seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    builder = Builder("net", sizes[0])
    for k, n, names in zip(sizes, sizes[1:], functions, strict=False):
        builder.dense(rng.normal(size=(k, n)), rng.normal(size=n))
        for name in names:
            getattr(builder, name)()
    return builder.build()


def run_in_any_order(program: Program, codes: np.ndarray, seed: int) -> np.ndarray:
    (source,), (result,) = program.with_role("input"), program.with_role("output")
    size = source.bytes(program.config)
    program.memory[source.address : source.address + size] = pack(codes, source, program.config)
    return unpack(AnyOrder(program, seed).run(), result, program.config)


def expected(
    graph: Graph, calibration: np.ndarray, config: Config, codes: np.ndarray
) -> np.ndarray:
    quantized = quantize_graph(graph, calibration, config)
    return codes_of(quantized, codes.reshape(len(codes), 1, 1, -1)).reshape(len(codes), -1)


@settings(max_examples=12, deadline=None)
@given(
    configs(),
    st.integers(1, 30),
    st.lists(st.integers(1, 30), min_size=2, max_size=4),
    st.lists(FUNCTIONS, min_size=3, max_size=3),
    st.integers(0, 99),
)
def test_network(
    config: Config, batch: int, sizes: list[int], functions: list[list[str]], seed: int
) -> None:
    graph = random_network(sizes, functions, seed)
    rng = np.random.default_rng(seed)
    calibration = rng.normal(size=(20, sizes[0]))
    program = compiler.compile(graph, config, batch=batch, calibration=calibration, effort=2000)
    codes = rng.integers(-128, 128, (batch, sizes[0]))
    got = run_in_any_order(program, codes, seed)
    np.testing.assert_array_equal(got, expected(graph, calibration, config, codes))


def test_results_that_do_not_fit_go_through_memory() -> None:
    config = Config(dim=4, bus_bits=32, scratchpad_banks=4, scratchpad_depth=32)
    graph = random_network([5, 9, 6], [["relu"], []], 0)
    calibration = np.random.default_rng(0).normal(size=(20, 5))
    program = compiler.compile(graph, config, batch=12, calibration=calibration)
    assert len(program.with_role("intermediate")) == 1
    codes = np.random.default_rng(1).integers(-128, 128, (12, 5))
    wanted = expected(graph, calibration, config, codes)
    np.testing.assert_array_equal(run_in_any_order(program, codes, 3), wanted)


def test_padding_lanes_are_zero() -> None:
    program = compile_gemm(5, 7, 5, PRESETS["small"])
    result = program.tensor("y")
    memory = AnyOrder(program, 0).run()
    raw = memory[result.address : result.address + result.bytes(program.config)].reshape(5, 8)
    np.testing.assert_array_equal(raw[:, 5:], 0)
