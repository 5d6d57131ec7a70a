"""Runs a cocotb bench on the Verilog of one component, on either simulator."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from amaranth.lib import wiring

from pulsarray.files import cache_folder
from pulsarray.hw.blocks.shared import ports_of
from pulsarray.hw.emit import emit
from pulsarray.sim import toolchain

__all__ = ["ROOT", "run_bench"]

ROOT = Path(__file__).parents[2]
TOP = "dut"


def run_bench(
    component: wiring.Component,
    module: str,
    simulator: str,
    parameters: Mapping[str, int] | None = None,
    *,
    waves: Path | None = None,
) -> None:
    """Emit a component and run every cocotb test of a module against it.

    Parameters
    ----------
    component
        The component; its module is named ``dut``.
    module
        Name of the bench, a module in this folder, say ``"array_bench"``; it reads its numbers
        and the component's inputs with :mod:`tests.hw.bench`.
    simulator
        One of ``toolchain.SIMULATORS``.
    parameters
        Numbers for the bench; ``seed`` is PULSARRAY_SEED, or 1, unless it is among them.

    Raises
    ------
    CheckFailed
        If a test of the bench fails.
    """
    verilog = emit(component, TOP)
    ports = {name: is_input for name, is_input, _ in ports_of(component)}
    clocks = sorted({"clk", "rst"} & set(_header(verilog)))
    folder = _folder(verilog, simulator, f"-{waves.suffix[1:]}" if waves else "")
    source = folder.with_suffix(".v")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(verilog, encoding="utf-8")
    public = {TOP: [*ports, *clocks]}
    toolchain.build(
        simulator,
        [source],
        TOP,
        folder,
        public=public,
        waves=toolchain.wave_format(waves) if waves else "",
    )
    settings = {
        "parameters": {"seed": int(os.environ.get("PULSARRAY_SEED", "1")), **(parameters or {})},
        "inputs": [name for name, is_input in ports.items() if is_input],
        "clocks": clocks,
    }
    toolchain.run(
        simulator,
        TOP,
        folder,
        f"tests.hw.{module}",
        env={"PULSARRAY_BENCH": json.dumps(settings)},
        python_path=[ROOT],
        waves=waves,
    )


def _header(verilog: str) -> list[str]:
    """Names of the ports of the top."""
    start = verilog.index(f"module {TOP}(")
    return re.findall(r"\w+", verilog[start : verilog.index(");", start)])


def _folder(verilog: str, simulator: str, suffix: str) -> Path:
    digest = hashlib.sha256(verilog.encode()).hexdigest()[:16]
    return cache_folder() / "benches" / f"{digest}-{simulator}{suffix}"
