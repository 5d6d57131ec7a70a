"""Runs a cocotb bench on the Verilog of one component, on either simulator."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from pulsarray.files import cache_folder
from pulsarray.hw.blocks.shared import ports_of
from pulsarray.hw.emit import emit
from pulsarray.sim import toolchain

__all__ = ["ROOT", "TOP", "Subject", "run_bench", "run_subject"]

ROOT = Path(__file__).parents[2]
TOP = "dut"


def run_bench(
    component: wiring.Component[Any],
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
    run_subject(Subject.of(component), module, simulator, parameters, waves=waves)


def run_subject(
    subject: Subject,
    module: str,
    simulator: str,
    parameters: Mapping[str, int] | None = None,
    *,
    waves: Path | None = None,
) -> None:
    """:func:`run_bench` on a component that has been emitted."""
    folder = _folder(subject.verilog, simulator, f"-{waves.suffix[1:]}" if waves else "")
    source = folder.with_suffix(".v")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(subject.verilog, encoding="utf-8")
    toolchain.build(
        simulator,
        [source],
        TOP,
        folder,
        public=subject.public,
        waves=toolchain.wave_format(waves) if waves else "",
    )
    toolchain.run(
        simulator,
        TOP,
        folder,
        f"tests.hw.{module}",
        env=subject.environment(parameters or {}),
        python_path=[ROOT],
        waves=waves,
    )


@dataclass(frozen=True)
class Subject:
    """A component as a bench sees it.

    Members
    -------
    verilog
        Its text; the module is :data:`TOP`.
    inputs, outputs, clocks
        Names of its ports.
    """

    verilog: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    clocks: tuple[str, ...]

    @classmethod
    def of(cls, component: wiring.Component[Any]) -> Subject:
        """Emit a component."""
        verilog = emit(component, TOP)
        ports = {name: is_input for name, is_input, _ in ports_of(component)}
        return cls(
            verilog,
            tuple(name for name, is_input in ports.items() if is_input),
            tuple(name for name, is_input in ports.items() if not is_input),
            tuple(sorted({"clk", "rst"} & set(_header(verilog)))),
        )

    @property
    def public(self) -> dict[str, list[str]]:
        """What the simulator must show of it."""
        return {TOP: [*self.inputs, *self.outputs, *self.clocks]}

    def environment(self, parameters: Mapping[str, int]) -> dict[str, str]:
        """What its bench reads; ``parameters`` as for :func:`run_bench`."""
        settings = {
            "parameters": {"seed": int(os.environ.get("PULSARRAY_SEED", "1")), **parameters},
            "inputs": self.inputs,
            "clocks": self.clocks,
        }
        return {"PULSARRAY_BENCH": json.dumps(settings)}


def _header(verilog: str) -> list[str]:
    """Names of the ports of the top."""
    start = verilog.index(f"module {TOP}(")
    return re.findall(r"\w+", verilog[start : verilog.index(");", start)])


def _folder(verilog: str, simulator: str, suffix: str) -> Path:
    digest = hashlib.sha256(verilog.encode()).hexdigest()[:16]
    return cache_folder() / "benches" / f"{digest}-{simulator}{suffix}"
