"""The machine as LUTs of four inputs and flip-flops, in a form that simulators run quickly.

Yosys synthesizes the Verilog as one module; a LUT is then written as a shift of its table, a
flip-flop as a process. Memories stay as they are.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from pulsarray.synth.tools import find_yosys, run_tool

__all__ = ["netlist", "with_other_first_values"]

_MEMORY = re.compile(r"^module memory1r1w_.*?^endmodule$", re.MULTILINE | re.DOTALL)
_SCRIPT = """\
read_verilog -lib memories.v
read_verilog machine.v
hierarchy -top pulsarray
synth -top pulsarray -flatten -noabc -noshare -run begin:check
abc -lut 4
opt_clean -purge
write_verilog -noattr netlist.v
"""
_FIRST_VALUE = re.compile(r"^(  reg .* = \d+'h)[0-9a-f]+;$", re.MULTILINE)


def netlist(verilog: str, folder: Path) -> str:
    """The netlist of the machine, and its memories.

    Parameters
    ----------
    verilog
        Of the machine.
    folder
        Where Yosys works.
    """
    memories = "\n".join(_MEMORY.findall(verilog))
    (folder / "memories.v").write_text(memories, encoding="ascii")
    (folder / "machine.v").write_text(_MEMORY.sub("", verilog), encoding="ascii")
    (folder / "netlist.ys").write_text(_SCRIPT, encoding="ascii")
    run_tool(find_yosys(), ["-Q", "-T", "netlist.ys"], folder, "netlist.log", lambda _: None)
    return (folder / "netlist.v").read_text(encoding="ascii") + memories


def with_other_first_values(text: str, seed: int) -> str:
    """A netlist whose registers begin with random bits."""
    generator = random.Random(seed)

    def other(match: re.Match[str]) -> str:
        bits = int(match[1].rpartition("= ")[2].removesuffix("'h"))
        return f"{match[1]}{generator.getrandbits(bits):x};"

    return _FIRST_VALUE.sub(other, text)
