"""The netlist after synthesis runs programs as the model does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import load_config
from pulsarray.sim import builds, toolchain
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model
from pulsarray.sim.jobs import Job, read_outcome, write_jobs
from tests.synth.netlist import netlist

WITHOUT = ("trace", "counters", "tflite", "residual", "leaky", "vector_multiply", "transposer")
SMALLEST = load_config(
    "tiny", ["dim=2", "bus_bits=16", "tables=0", *(f"{name}=false" for name in WITHOUT)]
)
SOURCES = Path(builds.__file__).parent
MEMORY_BITS = 16


@pytest.mark.slow
@pytest.mark.parametrize("initial_values", [True, False], ids=["initial", "reset alone"])
def test_netlist_equals_the_model(tmp_path: Path, initial_values: bool) -> None:
    """Without initial values every register is X until reset, or what it is reset from, sets it."""
    program, config = compile_gemm(5, 3, 4, SMALLEST), SMALLEST
    verilog = builds.verilog(config).read_text(encoding="ascii")
    path = netlist(verilog, tmp_path, initial_values=initial_values)
    machine = path.read_text(encoding="ascii").partition("endmodule")[0]
    assert bool(re.search(r"^  reg .* = ", machine, re.MULTILINE)) is initial_values
    parts = [SOURCES / name for name in ("memory.v", "axi_checker.v", "top.v")]
    toolchain.build(
        "icarus",
        [path, *parts],
        builds.MACHINE_TOP,
        tmp_path / "build",
        parameters={
            "BUS_BITS": config.bus_bits,
            "MEMORY_BITS": MEMORY_BITS,
            "OUTSTANDING": config.outstanding,
        },
    )
    job = Job(program=program)
    write_jobs(tmp_path, [job], config)
    bench = "pulsarray.sim.machine_tests"
    arguments = [f"+folder={tmp_path}"]
    toolchain.run("icarus", builds.MACHINE_TOP, tmp_path / "build", bench, plusargs=arguments)
    result = read_outcome(tmp_path, 0, job, "icarus").checked()
    assert compare(run_model(program), result, program) == []
