"""Synthesizes a configuration, or a part of it, and reports what it takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.report.synthesis import KIND, SYNTHESIS_VERSION
from pulsarray.synth.fit import misfit
from pulsarray.synth.hierarchy import Hierarchy, read_hierarchy
from pulsarray.synth.liberty import Liberty, load_liberty
from pulsarray.synth.place import MHZ, Placement, place
from pulsarray.synth.resources import Netlist, Resources, read_statistics
from pulsarray.synth.script import LIBRARY, flat_script, kept_script
from pulsarray.synth.targets import Target, find_device, find_target
from pulsarray.synth.tools import Tool, find_nextpnr, find_yosys, run_tool
from pulsarray.synth.wrapper import WRAPPER, read_ports, wrapper_text

__all__ = ["TOP", "Wanted", "synthesize"]

TOP = "pulsarray"
"""The whole machine."""
_TOP_ITSELF = "(top)"


@dataclass(frozen=True)
class Wanted:
    """What to synthesize, and for what.

    Parameters
    ----------
    config
        The machine.
    target, device
        Names; an empty device is the target's first where one must be placed on.
    part
        Path of a part from the top, or name of a module; ``pulsarray`` is the machine.
    liberty
        Library of target ``gates``.
    flat
        Also as one module.
    placement
        How to place and route, if that is wanted.
    folder
        Where what the tools read and write stays; None: nowhere.
    mhz
        Clock to aim at: mapping takes fewer cells where it need not be faster.

    Raises
    ------
    InputError
        If the target or the device is unknown, or the target does not take an option.
    """

    config: Config
    target: str
    device: str = ""
    part: str = TOP
    liberty: Path | None = None
    flat: bool = False
    placement: Placement | None = None
    folder: Path | None = None
    mhz: float = MHZ

    def __post_init__(self) -> None:
        target = find_target(self.target)
        if self.device:
            find_device(self.target, self.device)
        if self.liberty and self.target != "gates":
            raise InputError(f"--liberty: is for target gates, not {self.target}")
        if self.placement and not target.placer:
            raise InputError(
                f"--place: nextpnr cannot place {self.target} here; it can: ecp5, ice40"
            )


def synthesize(wanted: Wanted, verilog: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The report, as :data:`pulsarray.report.synthesis.SYNTHESIS` describes it.

    Parameters
    ----------
    verilog
        The machine's text, as :func:`pulsarray.hw.emit.generate` gives it.
    note
        Called with what is being done.

    Raises
    ------
    ToolMissing
        If a program is not there.
    InputError
        If the part or the liberty file is none.
    CheckFailed
        If a program fails.
    """
    run = _Run(wanted, verilog, note)
    if wanted.folder:
        return run.report(wanted.folder)
    with tempfile.TemporaryDirectory(prefix="pulsarray-synth-") as folder:
        return run.report(Path(folder))


class _Run:
    """One synthesis."""

    def __init__(self, wanted: Wanted, verilog: str, note: Callable[[str], None]) -> None:
        self._wanted, self._verilog, self._note = wanted, verilog, note
        self._hierarchy: Hierarchy = read_hierarchy(verilog, TOP)
        self._module = self._hierarchy.module_at(wanted.part)
        self._target: Target = find_target(wanted.target)
        first = next(iter(self._target.devices)) if wanted.placement else ""
        self._device = wanted.device or first
        self._yosys: Tool = find_yosys()
        self._nextpnr = find_nextpnr(self._target.placer) if wanted.placement else None
        self._liberty: Liberty | None = load_liberty(wanted.liberty) if wanted.liberty else None

    def report(self, folder: Path) -> dict[str, Any]:
        """Run the programs in a folder; placing is not tried where the device is too small."""
        wanted, module = self._wanted, self._module
        (folder / "pulsarray.v").write_text(self._verilog, encoding="utf-8")
        if self._liberty:
            shutil.copyfile(self._liberty.path, folder / LIBRARY)
        netlist, cells = self._kept(folder, module)
        flat = self._flat(folder, module)
        tools = [tool.version for tool in (self._yosys, self._nextpnr) if tool]
        report: dict[str, Any] = {
            "schema_version": SYNTHESIS_VERSION,
            "kind": KIND,
            "config": wanted.config.to_dict(),
            "fingerprint": wanted.config.fingerprint,
            "part": wanted.part,
            "target": wanted.target,
            "device": self._device,
            "tools": tools,
            "total": netlist.total(module),
            "flat": flat,
            "units": _units(netlist, self._hierarchy, module, cells),
            "modules": _modules(netlist, module),
            "timing": None,
        }
        if wanted.placement and self._nextpnr and not misfit(report):
            device = find_device(wanted.target, self._device)
            report["timing"] = place(
                self._nextpnr, device, folder, wanted.placement, wanted.mhz, self._note
            )
        return report

    def _run_yosys(self, folder: Path, script: str, name: str) -> None:
        (folder / f"{name}.ys").write_text(script, encoding="utf-8")
        run_tool(self._yosys, ["-Q", "-T", f"{name}.ys"], folder, f"{name}.log", self._yosys_line)

    def _yosys_line(self, line: str) -> None:
        number, separator, what = line.partition(" Executing ")
        if separator and number[:1].isdigit():
            self._note(f"Yosys: {what.partition(' (')[0].rstrip('.')}")

    def _kept(self, folder: Path, module: str) -> tuple[Netlist, set[str]]:
        """Every module apart, and the names of the top's cells."""
        script = kept_script(self._target, module, self._liberty is not None, self._wanted.mhz)
        self._run_yosys(folder, script, "kept")
        lines = (folder / "top.txt").read_text(encoding="utf-8").split()
        return self._statistics(folder), {line.partition("/")[2] for line in lines}

    def _statistics(self, folder: Path) -> Netlist:
        text = (folder / "statistics.json").read_text(encoding="utf-8")
        return read_statistics(text, self._target, self._liberty)

    def _flat(self, folder: Path, module: str) -> Resources | None:
        """As one module, with a ring of registers around it if it is to be placed."""
        wanted = self._wanted
        if not (wanted.flat or wanted.placement):
            return None
        if wanted.placement:
            ports = f"read_verilog pulsarray.v\ntee -q -o ports.txt portlist {module}\n"
            self._run_yosys(folder, ports, "ports")
            text = wrapper_text(module, read_ports((folder / "ports.txt").read_text("utf-8")))
            (folder / "wrapper.v").write_text(text, encoding="utf-8")
        wrapper = WRAPPER if wanted.placement else ""
        script = flat_script(self._target, module, self._liberty is not None, wanted.mhz, wrapper)
        self._run_yosys(folder, script, "flat")
        return self._statistics(folder).total(module)


def _units(
    netlist: Netlist, hierarchy: Hierarchy, module: str, cells: set[str]
) -> list[dict[str, Any]]:
    """What lies directly below the top, largest first, then what the top itself takes."""
    titles = hierarchy.titles(module)
    rows: list[dict[str, Any]] = [
        {"name": titles[name], "module": kind, **netlist.total(kind)}
        for name, kind in hierarchy.instances[module].items()
        if name in cells and kind in netlist.cells
    ]
    rows.sort(key=_size, reverse=True)
    return [*rows, {"name": _TOP_ITSELF, "module": module, **netlist.own(module)}]


def _modules(netlist: Netlist, module: str) -> list[dict[str, Any]]:
    """Every module, the one that takes most in all its instances first."""
    rows = [
        {"module": name, "instances": number, **netlist.own(name)}
        for name, number in netlist.instances(module).items()
    ]
    return sorted(rows, key=lambda row: row["instances"] * _size(row), reverse=True)


def _size(row: dict[str, Any]) -> int:
    size: int = row["lut_equivalents"] + row["gates"]
    return size
