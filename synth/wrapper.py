"""A ring of shift registers around a module, so that it can be placed without pins or neighbours.

Inputs come from one long shift register, outputs are captured in another; every path of the module
then starts and ends in a register, as it does within the machine, and there are four pins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pulsarray.errors import InputError

__all__ = ["INSTANCE", "WRAPPER", "Port", "read_ports", "wrapper_text"]

WRAPPER, INSTANCE = "out_of_context", "dut"
"""Names of the module, and of the instance that it is around."""

_PORT = re.compile(r"^(input|output) \[(\d+):(\d+)\] (\S+)$", re.MULTILINE)
_TEXT = """\
module {name}(input clk, serial_in, capture, output serial_out);
{registers}
  wire [{outs}:0] out;
  assign serial_out = {last};
  always @(posedge clk) begin
    {inputs} <= {{{inputs}, serial_in}};
    {captured} <= capture ? out : {{{captured}, serial_in}};
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
    """Verilog of the module around a module; its registers are named after the ports.

    Raises
    ------
    InputError
        If it has no inputs or no outputs.
    """
    inputs = [port for port in ports if port.is_input and port.name != "clk"]
    outputs = [port for port in ports if not port.is_input]
    if not inputs or not outputs:
        raise InputError(
            f"--place: {module} has no inputs or no outputs, so nothing has to be fast"
        )
    connections = [".clk(clk)", *(f".{_escaped(p.name)}(in_{_plain(p)})" for p in inputs)]
    place = 0
    for port in reversed(outputs):
        connections.append(f".{_escaped(port.name)}(out[{place + port.width - 1}:{place}])")
        place += port.width
    return _TEXT.format(
        name=WRAPPER,
        module=module,
        instance=INSTANCE,
        registers="\n".join(
            f"  reg [{port.width - 1}:0] {kind}_{_plain(port)};"
            for kind, group in (("in", inputs), ("captured", outputs))
            for port in group
        ),
        outs=place - 1,
        last=f"captured_{_plain(outputs[0])}[{outputs[0].width - 1}]",
        inputs=f"{{{', '.join(f'in_{_plain(port)}' for port in inputs)}}}",
        captured=f"{{{', '.join(f'captured_{_plain(port)}' for port in outputs)}}}",
        connections=", ".join(connections),
    )


def _plain(port: Port) -> str:
    return re.sub(r"\W", "_", port.name)


def _escaped(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else f"\\{name} "
