"""Memory macros of a process in the place of described memories, by one table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulsarray.errors import InputError, did_you_mean

__all__ = ["Macro", "load_macros", "models", "with_macros"]

ROLES = (
    *("clk", "write_enable", "write_address", "write_data"),
    *("read_enable", "read_address", "read_data"),
)
"""What the ports of a memory with one write and one read port are for."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_MEMORY = re.compile(
    r"^module (?P<name>memory1r1w_(?P<bits>\d+)_(?P<rows>\d+)\w*)(?P<ports>\(.*?\));.*?^endmodule",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Macro:
    """One macro: a write port and a read port that answers in the cycle after it was asked.

    Parameters
    ----------
    module
        Its name.
    rows, bits
        Its size. It serves memories of just so many rows; wider ones take several side by side.
    ports
        Names of its ports by what they are for (:data:`ROLES`), ``~`` before one that is active
        when low.
    ties
        Further inputs, and the number that each is held at.
    """

    module: str
    rows: int
    bits: int
    ports: Mapping[str, str]
    ties: Mapping[str, int] = field(default_factory=dict)

    def instance(self, name: str, first: int, width: int) -> str:
        """Verilog of one that holds so many bits from a place on."""
        spare = self.bits - width
        written = f"write_data[{first + width - 1}:{first}]"
        wires = {role: role for role in ROLES}
        wires["write_data"] = f"{{{spare}'d0, {written}}}" if spare else written
        wires["read_data"] = f"{name}_data"
        connections = [
            f".{port.removeprefix('~')}({'~' * port.startswith('~')}{wires[role]})"
            for role, port in self.ports.items()
        ]
        connections += [f".{port}({value})" for port, value in self.ties.items()]
        return (
            f"  wire [{self.bits - 1}:0] {name}_data;\n"
            f"  {self.module} {name} ({', '.join(connections)});\n"
            f"  assign read_data[{first + width - 1}:{first}] = {name}_data[{width - 1}:0];"
        )


def load_macros(path: Path) -> list[Macro]:
    """The macros of a table in TOML, one ``[[macro]]`` each.

    Raises
    ------
    InputError
        If the file cannot be read, or says something that is no macro.
    """
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"--macros: cannot read {path}: {error}") from None
    entries = text.get("macro")
    if not isinstance(entries, list) or not entries or text.keys() != {"macro"}:
        raise InputError(f"--macros: {path}: must be [[macro]] entries and nothing else")
    return [
        _macro(entry, f"--macros: {path}: macro {number}")
        for number, entry in enumerate(entries, start=1)
    ]


def _macro(entry: Any, where: str) -> Macro:
    known = ("module", "rows", "bits", "ports", "ties")
    for name in entry:
        if name not in known:
            raise InputError(f"{where}: unknown key {name!r}{did_you_mean(name, known)}")
    if missing := [name for name in known[:-1] if name not in entry]:
        raise InputError(f"{where}: {', '.join(missing)} missing")
    macro = Macro(**entry)
    for name, least in (("rows", 2), ("bits", 1)):
        value = entry[name]
        if type(value) is not int or value < least:
            raise InputError(f"{where}: {name} must be a number from {least} on, not {value!r}")
    _check_ports(macro, where)
    return macro


def _check_ports(macro: Macro, where: str) -> None:
    ports, ties = macro.ports, macro.ties
    if not isinstance(ports, dict) or set(ports) != set(ROLES):
        raise InputError(f"{where}: ports must name {', '.join(ROLES)}, each once")
    if not isinstance(ties, dict):
        raise InputError(f"{where}: ties must be ports and numbers, not {ties!r}")
    for what, name in (("module", macro.module), *ports.items(), *((n, n) for n in ties)):
        plain = (
            name.removeprefix("~") if what.endswith("enable") and isinstance(name, str) else name
        )
        if not isinstance(plain, str) or not _NAME.fullmatch(plain):
            raise InputError(f"{where}: {what} is no name in Verilog: {name!r}")
    for name, value in ties.items():
        if type(value) is not int or value < 0:
            raise InputError(f"{where}: {name} must be tied to a number, not {value!r}")


def with_macros(verilog: str, macros: Sequence[Macro]) -> str:
    """The machine with macros in the place of the memories that they serve; where several serve
    one, those with the fewest bits.

    Raises
    ------
    InputError
        If a macro serves no memory of the machine.
    """
    sizes = [(int(m["rows"]), int(m["bits"])) for m in _MEMORY.finditer(verilog)]
    for macro in macros:
        if macro.rows not in {rows for rows, _ in sizes}:
            there = ", ".join(f"{rows} x {bits}" for rows, bits in sorted(sizes))
            raise InputError(
                f"--macros: {macro.module}: the machine has no memory of {macro.rows} rows; "
                f"rows and bits of those it has: {there}"
            )
    return _MEMORY.sub(lambda match: _replaced(match, macros), verilog)


def _replaced(match: re.Match[str], macros: Sequence[Macro]) -> str:
    """A memory's module, of macros if there are some."""
    bits = int(match["bits"])
    serving = [macro for macro in macros if macro.rows == int(match["rows"])]
    if not serving:
        return match[0]
    macro = min(serving, key=lambda m: (-(-bits // m.bits) * m.bits, -m.bits))
    columns = "\n".join(
        macro.instance(f"column{number}", first, min(macro.bits, bits - first))
        for number, first in enumerate(range(0, bits, macro.bits))
    )
    ports = match["ports"].replace("output reg", "output")
    return f"module {match['name']}{ports};\n{columns}\nendmodule"


def models(macros: Sequence[Macro]) -> str:
    """What the macros do, for simulation: whoever has the process' own models takes those."""
    return "\n".join(_models(macros))


def _models(macros: Sequence[Macro]) -> Iterator[str]:
    yield "// What the memory macros do, for simulation; take your process' own models instead.\n"
    for macro in macros:
        name = {role: port.removeprefix("~") for role, port in macro.ports.items()}
        low = {role: "!" * port.startswith("~") for role, port in macro.ports.items()}
        address = f"input [{(macro.rows - 1).bit_length() - 1}:0]"
        ties = "".join(f", {port}" for port in macro.ties)
        yield f"""\
module {macro.module}(input {name["clk"]}, {name["write_enable"]}, {name["read_enable"]}{ties},
  {address} {name["write_address"]}, {name["read_address"]},
  input [{macro.bits - 1}:0] {name["write_data"]},
  output reg [{macro.bits - 1}:0] {name["read_data"]});
  reg [{macro.bits - 1}:0] rows [0:{macro.rows - 1}];
  always @(posedge {name["clk"]}) begin
    if ({low["write_enable"]}{name["write_enable"]})
      rows[{name["write_address"]}] <= {name["write_data"]};
    if ({low["read_enable"]}{name["read_enable"]})
      {name["read_data"]} <= rows[{name["read_address"]}];
  end
endmodule
"""
