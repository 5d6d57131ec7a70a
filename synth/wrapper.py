"""A ring of shift registers around a module, so that it can be placed without pins or neighbours.

Inputs come from one long shift register, outputs are captured in another; every path of the module
then starts and ends in a register, as it does within the machine, and there are four pins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["INSTANCE", "WRAPPER", "Port", "read_ports", "wrapper_text"]

WRAPPER, INSTANCE = "out_of_context", "dut"
"""Names of the module, and of the instance that it is around."""

_PORT = re.compile(r"^(input|output) \[(\d+):(\d+)\] (\S+)$", re.MULTILINE)
_TEXT = """\
module {name}(input clk, serial_in, capture, output serial_out);
  reg [{ins}:0] in;
  wire [{outs}:0] out;
  reg [{outs}:0] captured;
  assign serial_out = captured[{outs}];
  always @(posedge clk) begin
    in <= {{in, serial_in}};
    captured <= capture ? out : {{captured, serial_in}};
  end
  {module} {instance} ({connections});
endmodule
"""


@dataclass(frozen=True)
class Port:
    """A port of a module."""

    name: str
    width: int
    is_input: bool


def read_ports(text: str) -> list[Port]:
    """What Yosys' ``portlist`` wrote."""
    return [
        Port(name, int(high) - int(low) + 1, kind == "input")
        for kind, high, low, name in _PORT.findall(text)
    ]


def wrapper_text(module: str, ports: list[Port]) -> str:
    """Verilog of the module around a module."""
    places = {True: 0, False: 0}
    connections = []
    for port in ports:
        if port.name == "clk":
            connections.append(".clk(clk)")
            continue
        low, register = places[port.is_input], "in" if port.is_input else "out"
        places[port.is_input] += port.width
        name = port.name if re.fullmatch(r"\w+", port.name) else f"\\{port.name} "
        connections.append(f".{name}({register}[{low + port.width - 1}:{low}])")
    return _TEXT.format(
        name=WRAPPER,
        module=module,
        instance=INSTANCE,
        ins=max(1, places[True]) - 1,
        outs=max(1, places[False]) - 1,
        connections=", ".join(connections),
    )
