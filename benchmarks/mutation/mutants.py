"""Mutants of a block: Yosys draws them, one netlist holds them all.

A mutant is one bit of one cell's port that is inverted, constant, or inverted where another bit is
0 or 1 (Yosys' ``mutate``). In the netlist ``mutant`` is a register that the simulation sets once:
0 is the block as it is. Where nothing is written a memory's
address and data are what they are in the block, not x: a write there is one, as in hardware.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pulsarray.synth.tools import find_yosys, run_tool
from tests.hw.harness import TOP

__all__ = ["NETLIST", "READ", "draw", "netlist", "run"]

NETLIST = "netlist.v"
"""The file with all mutants, in a block's folder."""

READ = f"""\
read_verilog block.v
hierarchy -top {TOP}
proc -norom
flatten
opt_clean
"""
"""Commands that read a block."""
_DRAW = "mutate -list {number} -seed {seed} -o mutants.txt t:* t:$meminit* %d\n"
_ALL = """\
{mutants}
opt_expr -mux_undef
delete -port w:mutant
write_verilog -noattr {netlist}
"""
_DECLARED = re.compile(r"^  wire (\[\d+:0\] )mutant;$", re.MULTILINE)
_REGISTER = r"  reg \1mutant = 0;"
_FIRST_VALUE = re.compile(r"^  reg .* = \d+'[bh][0-9a-fx]+;$", re.MULTILINE)
"""Of bits whose register's output is mutated it is x: they become 0, and what else resets make."""


def draw(verilog: str, number: int, seed: int, folder: Path) -> list[str]:
    """Mutants of a block, as commands of Yosys.

    Parameters
    ----------
    verilog
        Of the block.
    folder
        Where Yosys works; the functions below use the same.
    """
    (folder / "block.v").write_text(verilog, encoding="utf-8")
    run(folder, "draw", READ + _DRAW.format(number=number, seed=seed))
    return (folder / "mutants.txt").read_text(encoding="utf-8").splitlines()


def netlist(mutants: Sequence[str], folder: Path) -> None:
    """Verilog of the block with its mutants, of which 1 is the first."""
    bits = len(mutants).bit_length()
    lines = [f"{line} -ctrl mutant {bits} {place}" for place, line in enumerate(mutants, 1)]
    run(folder, "netlist", READ + _ALL.format(mutants="\n".join(lines), netlist=NETLIST))
    path = folder / NETLIST
    text, changed = _DECLARED.subn(_REGISTER, path.read_text(encoding="utf-8"))
    assert changed == 1, "the netlist has no wire named mutant"
    text = _FIRST_VALUE.sub(_known, text)
    path.write_text(text, encoding="utf-8")


def _known(declaration: re.Match[str]) -> str:
    name, value = declaration[0].rsplit("'", 1)
    return f"{name}'{value.replace('x', '0')}"


def run(folder: Path, name: str, script: str) -> str:
    """What Yosys prints when it runs a script in a folder.

    Raises
    ------
    CheckFailed
        If it ends with an error.
    """
    (folder / f"{name}.ys").write_text(script, encoding="utf-8")
    arguments = ["-Q", "-T", f"{name}.ys"]
    return run_tool(find_yosys(), arguments, folder, f"{name}.log", lambda _: None)
