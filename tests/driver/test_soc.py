"""The driver in C on a RISC-V processor beside the machine (`make soc-demo`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.soc import demo, system
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import load_config
from pulsarray.errors import ToolMissing
from pulsarray.program import unpack
from pulsarray.sim.device import run_model

FIRMWARE = Path(__file__).parent / "firmware.c"
WITHOUT = ("trace", "tflite", "residual", "leaky", "vector_multiply", "transposer")
SMALLEST = load_config("tiny", ["bus_bits=32", "tables=0", *(f"{name}=false" for name in WITHOUT)])


@pytest.fixture(autouse=True)
def _tools() -> None:
    try:
        system.require_tools("icarus")
    except ToolMissing as missing:
        pytest.skip(str(missing))


def test_a_product_on_the_system(tmp_path: Path) -> None:
    program = compile_gemm(2, 3, 4, SMALLEST)
    built = system.build({"net": program}, tmp_path, firmware=FIRMWARE, simulator="icarus")
    result = run_model(program)
    assert result.memory is not None
    outputs = unpack(result.memory, program.with_role("output")[0], program.config).reshape(-1)
    lines = [f"output {value % (1 << 32)}" for value in outputs.tolist()]
    assert list(built.run()) == [*lines, f"cycles {result.cycles}", "end 0"]


@pytest.mark.slow
def test_demonstration(tmp_path: Path) -> None:
    pairs = demo.demonstrate(demo.CONFIG, tmp_path)
    assert [want.what for want, _ in pairs] == ["classify", "train", "classify"]
    assert [want.differences(got) for want, got in pairs] == [[], [], []]
