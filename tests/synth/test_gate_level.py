"""The netlist after synthesis runs programs as the model does, whatever registers begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import load_config
from pulsarray.program import Program
from pulsarray.sim import builds, toolchain
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model
from pulsarray.sim.jobs import Job, read_outcome, write_jobs
from pulsarray.sim.random.programs import random_program
from tests.synth.netlist import netlist, with_other_first_values

CONFIG = load_config("tiny", ["trace=false"])
SOURCES = Path(builds.__file__).parent
MEMORY_BITS = 18
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    products = [compile_gemm(*shape, CONFIG) for shape in ((5, 3, 4), (8, 8, 8), (9, 17, 6))]
    return [*products, *(random_program(CONFIG, seed) for seed in SEEDS)]


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> str:
    verilog = builds.verilog(CONFIG).read_text(encoding="ascii")
    return netlist(verilog, tmp_path_factory.mktemp("netlist"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, *SEEDS], ids=["own values", *map(str, SEEDS)])
def test_netlist_equals_the_model(
    synthesized: str, programs: list[Program], tmp_path: Path, seed: int | None
) -> None:
    """Registers that begin with random bits show that reset alone suffices."""
    text = synthesized if seed is None else with_other_first_values(synthesized, seed)
    assert (text == synthesized) is (seed is None)
    jobs = [Job(program=program) for program in programs]
    run(text, jobs, tmp_path)
    for place, job in enumerate(jobs):
        result = read_outcome(tmp_path, place, job, "verilator").checked()
        assert compare(run_model(job.program), result, job.program) == []


def run(text: str, jobs: list[Job], folder: Path) -> None:
    """Simulate a machine's netlist with the memory of ``sim/top.v``."""
    path = folder / "netlist.v"
    path.write_text(text, encoding="ascii")
    toolchain.build(
        "verilator",
        [path, *(SOURCES / name for name in ("memory.v", "axi_checker.v", "top.v"))],
        builds.MACHINE_TOP,
        folder / "build",
        public={builds.MACHINE_TOP: builds.ports(SOURCES / "top.v")},
        parameters={
            "BUS_BITS": CONFIG.bus_bits,
            "MEMORY_BITS": MEMORY_BITS,
            "OUTSTANDING": CONFIG.outstanding,
        },
    )
    write_jobs(folder, jobs, CONFIG)
    bench, arguments = "pulsarray.sim.machine_tests", [f"+folder={folder}"]
    toolchain.run("verilator", builds.MACHINE_TOP, folder / "build", bench, plusargs=arguments)
