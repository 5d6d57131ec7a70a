"""The compiler's public functions: tables, notes, errors, and how fast programs are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.api import disassemble
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.isa import Opcode, parse
from pulsarray.model.timing import TimingModel, simulate_timing
from pulsarray.program import Program

TINY, SMALL, BASE = PRESETS["tiny"], PRESETS["small"], PRESETS["base"]
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(30, 12))


def mlp(last: str = "softmax") -> Builder:
    builder = Builder("mlp", 12).dense(RNG.normal(size=(12, 9)), name="fc1").relu()
    return getattr(builder.dense(RNG.normal(size=(9, 5)), RNG.normal(size=5), name="fc2"), last)()


def test_network_tables() -> None:
    program = compiler.compile(mlp().build(), SMALL, batch=3, calibration=DATA)
    roles = {t.name: (t.role, t.rows, t.columns, t.after) for t in program.tensors}
    assert roles["input"] == ("input", 3, 12, "")
    assert roles["output"] == ("output", 3, 5, "softmax")
    assert roles["fc1.weight"] == ("weight", 12, 9, "")
    assert [(x.name, x.kind, x.m, x.k, x.n) for x in program.layers] == [
        ("fc1", "dense+relu", 3, 12, 9),
        ("fc2", "dense", 3, 9, 5),
    ]
    assert (program.network, program.batch) == ("mlp", 3)


def test_layers_cover_the_program() -> None:
    program = compiler.compile(mlp().build(), SMALL, batch=3, calibration=DATA)
    first, second = program.layers
    assert (first.first, second.first) == (0, first.last)
    assert second.last == len(program.instructions) - 1
    assert program.instructions[-1].op is Opcode.END


def test_layers_count_the_least_traffic() -> None:
    first, second = compiler.compile(mlp().build(), SMALL, batch=3, calibration=DATA).layers
    word, row = 8, 4 * 4 * 8
    assert (first.read_bytes, first.write_bytes) == (2 * (12 + 3) * word + 2 * row, 0)
    assert (second.read_bytes, second.write_bytes) == (9 * word + row, 3 * word)


def test_notes_and_scales() -> None:
    program = compiler.compile(mlp("tanh").build(), SMALL, calibration=DATA)
    first, second = program.notes["layers"]
    assert first["input"]["scale"] == program.tensor("input").scale
    assert second["output"]["zero_point"] == program.tensor("output").zero_point
    assert (first["kind"], second["kind"]) == ("dense+relu", "dense+tanh")
    assert program.notes["calibration_samples"] == 30


def test_compiling_is_deterministic_and_survives_a_file(tmp_path: Path) -> None:
    one, two = (compile_gemm(9, 10, 11, TINY, seed=3) for _ in range(2))
    one.save(tmp_path / "p.pulse")
    read = Program.load(tmp_path / "p.pulse", TINY)
    assert one.code == two.code == read.code
    np.testing.assert_array_equal(read.memory, two.memory)
    assert compile_gemm(9, 10, 11, TINY, seed=4).memory.tobytes() != two.memory.tobytes()


def test_effort_pays() -> None:
    first, sought = (compile_gemm(33, 40, 50, SMALL, effort=effort) for effort in (0, 8000))
    assert simulate_timing(sought).cycles < simulate_timing(first).cycles


def test_disassembly_reads_back() -> None:
    program = compile_gemm(9, 10, 11, TINY)
    lines = list(disassemble(program))
    assert [parse(line.split(maxsplit=2)[2]) for line in lines[:-1]] == program.instructions[:-1]
    assert lines[-1].split() == [str(len(lines) - 1), "END"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"calibration": None}, "mlp: quantization needs calibration data"),
        ({"batch": 0}, "batch: must be at least 1, not 0"),
        ({"config": PRESETS["train"]}, "compiler: needs operand_bits = 8, not 16"),
        (
            {"config": replace(SMALL, tables=0)},
            "fc2: its function needs a table, config has tables = 0",
        ),
    ],
)
def test_network_wrong(arguments: dict[str, object], text: str) -> None:
    call = {"config": SMALL, "batch": 1, "calibration": DATA, **arguments}
    with pytest.raises(InputError, match=text):
        compiler.compile(mlp("tanh").build(), **call)  # type: ignore[arg-type]


def test_gemm_wrong() -> None:
    with pytest.raises(InputError, match="M, K and N must be at least 1, not 1x0x1"):
        compile_gemm(1, 0, 1, TINY)
    with pytest.raises(InputError, match="K = 66000 is too large for sums of 24 bits"):
        compile_gemm(1, 66000, 1, replace(TINY, acc_bits=24, scale_bits=16))
    with pytest.raises(InputError, match="needs operand_bits = 8"):
        compile_gemm(1, 1, 1, PRESETS["train"])


def test_relu_needs_no_table() -> None:
    program = compiler.compile(mlp("relu").build(), replace(SMALL, tables=0), calibration=DATA)
    assert not any(t.name.endswith("table") for t in program.tensors)


@pytest.mark.parametrize(
    ("shape", "cycles", "instructions"),
    [((512, 512, 512), 525_000, 300), ((64, 64, 64), 1_360, 60), ((1, 784, 16), 1_190, 60)],
)
def test_products_are_near_their_bound(
    shape: tuple[int, int, int], cycles: int, instructions: int
) -> None:
    program = compile_gemm(*shape, BASE)
    result = simulate_timing(program)
    assert result.cycles <= cycles
    assert len(program.instructions) <= instructions
    assert result.counters["stream_busy"] == shape[0] * -(-shape[1] // 16) * -(-shape[2] // 16)


@pytest.mark.parametrize("trace", [False, True])
def test_timing_kept_by_the_compiler_is_that_of_the_program(trace: bool) -> None:
    config = replace(SMALL, trace=trace)
    program = compiler.compile(mlp().build(), config, batch=3, calibration=DATA)
    kept, again = simulate_timing(program), TimingModel.of(program).run()
    assert kept is simulate_timing(program)
    assert kept.counters == again.counters
    np.testing.assert_array_equal(kept.events, again.events)
    assert simulate_timing(program, memory_latency=9).counters != kept.counters
    assert not replace(program, code=program.code).timings


def test_time_does_not_hang_on_the_memory() -> None:
    config = Config(dim=4, bus_bits=8, burst_beats=32, outstanding=1, queue_depth=1,
                    scratchpad_banks=4, scratchpad_depth=64)  # fmt: skip
    program = compile_gemm(30, 40, 20, config)
    for latency, interval in ((1, 1), (200, 3)):
        result = simulate_timing(program, memory_latency=latency, memory_interval=interval)
        assert result.counters["write_beats"] == 30 * 5 * 4


def maps_network() -> Builder:
    """A convolution, a sum, a pool and a dense layer, softmax last."""
    builder = Builder("maps", (6, 5, 3)).convolution(RNG.normal(size=(3, 3, 3, 4)), padding=1)
    skip = builder.relu().last
    builder.convolution(RNG.normal(size=(1, 1, 4, 4))).add(skip)
    return builder.max_pool(2).flatten().dense(RNG.normal(size=(24, 5))).softmax()


def test_a_network_of_maps_is_compiled_whole() -> None:
    graph, data = maps_network().build(), RNG.normal(size=(7, 6, 5, 3))
    program = compiler.compile(graph, SMALL, batch=2, calibration=data)
    quantized = quantize_graph(graph, data, SMALL)
    wanted = compiler.compile(quantized, SMALL, batch=2)
    assert (program.code, program.memory.tobytes()) == (wanted.code, wanted.memory.tobytes())
    assert program.with_role("output")[0].after == "softmax"
    assert {layer.name for layer in program.layers} == {
        node.name for node in machine_part(quantized).nodes
    }


def test_relu_of_a_map_keeps_its_shape() -> None:
    program = compiler.compile(
        Builder("relu", (2, 3, 4)).relu().build(), SMALL, calibration=np.ones((1, 2, 3, 4))
    )
    assert program.with_role("output")[0].image == (2, 3, 4)


@pytest.mark.parametrize("end", ["dropout", "dropout twice", "flatten"])
def test_a_last_operator_that_does_nothing(end: str) -> None:
    builder = Builder("end", (4, 5, 3)).convolution(RNG.normal(size=(1, 1, 3, 3)))
    builder = builder.dropout() if "dropout" in end else builder.flatten()
    if "twice" in end:
        builder.dropout()
    graph = builder.build()
    program = compiler.compile(graph, SMALL, calibration=RNG.normal(size=(7, 4, 5, 3)))
    assert program.with_role("output")[0].name == graph.output.name


def test_a_network_of_nothing_wrong() -> None:
    with pytest.raises(InputError, match="the network's result is its input"):
        compiler.compile(
            Builder("none", (2, 2, 1)).dropout().build(), SMALL, calibration=np.ones((1, 2, 2, 1))
        )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"graph": "lenet"}, "graph: must be a Graph, not str"),
        ({"config": "tiny"}, "config: must be a Config, not str"),
        ({"batch": 1.5}, "batch: must be an integer, not 1.5"),
        ({"batch": 0}, "batch: must be at least 1, not 0"),
        ({"effort": None}, "effort: must be an integer, not None"),
        ({"calibration": 1j * DATA}, "calibration data: must be real numbers, not complex ones"),
        (
            {"calibration": 1e100 * DATA},
            r"input: calibration data makes values beyond 3\.4e\+38, the largest of float32",
        ),
    ],
)
def test_other_types_and_values_are_refused(arguments: dict[str, Any], text: str) -> None:
    usual = {"graph": mlp().build(), "config": TINY, "calibration": DATA}
    with pytest.raises(InputError, match=text):
        compiler.compile(**usual | arguments)


def test_integers_of_numpy() -> None:
    one, two = (compile_gemm(n, 2, n, TINY, seed=n) for n in (np.int64(3), 3))
    assert np.array_equal(one.memory, two.memory)
    with pytest.raises(InputError, match=r"gemm: M, K and N: must be an integer, not 1\.5"):
        compile_gemm(1.5, 2, 2, TINY)
    with pytest.raises(InputError, match="gemm: seed: must be at least 0, not -1"):
        compile_gemm(2, 2, 2, TINY, seed=-1)


def test_the_package_names_its_front_door_and_loads_it_late() -> None:
    assert compiler.Builder is Builder
    assert compiler.compile_gemm is compile_gemm
    assert compiler.disassemble is disassemble
    with pytest.raises(AttributeError, match="has no attribute 'compile_network'"):
        compiler.compile_network  # noqa: B018
    code = "import sys, pulsarray.compiler; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_int8_networks_take_no_calibration() -> None:
    graph = quantize_graph(mlp().build(), DATA, SMALL)
    with pytest.raises(InputError, match="mlp: is in int8 already; calibration data is not for it"):
        compiler.compile(graph, SMALL, calibration=DATA)
