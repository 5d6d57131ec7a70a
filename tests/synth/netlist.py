"""The machine as LUTs of four inputs and flip-flops, in a form that simulators run quickly.

Yosys synthesizes the Verilog as one module; a LUT is then written as a shift of its table, a
flip-flop as a process. Memories stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from pulsarray.synth.tools import find_yosys, run_tool

__all__ = ["netlist"]

_MEMORY = re.compile(r"^module memory1r1w_.*?^endmodule$", re.MULTILINE | re.DOTALL)
_SCRIPT = """\
read_verilog -lib memories.v
read_verilog machine.v
hierarchy -top pulsarray
synth -top pulsarray -flatten -noabc -noshare -run begin:check
abc -lut 4
{after}
opt_clean -purge
stat
write_verilog -noattr netlist.v
"""
_DROP = "setattr -unset init w:*"


def netlist(verilog: str, folder: Path, *, initial_values: bool = True) -> Path:
    """A file with the netlist of the machine and its memories.

    Parameters
    ----------
    verilog
        Of the machine.
    folder
        Where Yosys works.
    initial_values
        Whether registers have a value before reset.
    """
    memories = "\n".join(_MEMORY.findall(verilog))
    (folder / "memories.v").write_text(memories, encoding="ascii")
    (folder / "machine.v").write_text(_MEMORY.sub("", verilog), encoding="ascii")
    script = _SCRIPT.format(after="" if initial_values else _DROP)
    (folder / "netlist.ys").write_text(script, encoding="ascii")
    run_tool(find_yosys(), ["-Q", "-T", "netlist.ys"], folder, "netlist.log", lambda _: None)
    path = folder / "netlist.v"
    path.write_text(path.read_text(encoding="ascii") + memories, encoding="ascii")
    return path
