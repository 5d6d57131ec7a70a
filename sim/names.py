"""Names in waves: what every unit's instructions are, for ``names.v`` to show beside raw words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from pulsarray.files import write_atomically
from pulsarray.isa import Opcode, Unit
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.report.timeline import told

__all__ = [
    "COLUMNS",
    "ENUMERATIONS",
    "UNIT_NAMES",
    "definitions",
    "write_definitions",
    "write_names",
]

COLUMNS = {"opcode": 8, "layer": 32, "phase": 16, "tensor": 32, "waits": 64, "fields": 384}
"""Characters of each column of a record, in order; what is longer ends in two dots."""

UNIT_NAMES: Mapping[Unit, str] = {unit: unit.name for unit in Unit}
"""Each unit's scope in waves."""

ENUMERATIONS: Mapping[str, tuple[type[IntEnum], int]] = {
    "opcode": (Opcode, 8),
    "error": (ErrorCode, 4),
}
"""What is shown by name, with the bits of its values."""


def definitions() -> str:
    """Verilog that ``names.v`` and ``top.v`` need: widths of columns, decoders of enumerations."""
    lines = ["`define PULSARRAY_NAMES"]
    lines += [f"`define PULSARRAY_{name.upper()} {width}" for name, width in COLUMNS.items()]
    lines += [_decoder(name, *about) for name, about in ENUMERATIONS.items()]
    return "\n".join(lines) + "\n"


def write_definitions(path: Path) -> Path:
    """Write :func:`definitions` where a build can read them."""
    write_atomically(path, definitions().encode("ascii"))
    return path


def characters(members: type[IntEnum]) -> int:
    """Characters of the longest name."""
    return max(len(member.name) for member in members)


def _decoder(name: str, members: type[IntEnum], bits: int) -> str:
    length = characters(members)
    texts = [f'value == {bits}\'d{member} ? "{member.name:<{length}}" :' for member in members]
    return "\n".join(
        [
            f"module pulsarray_name_of_{name}(input wire [{bits - 1}:0] value);",
            f"    wire [{8 * length - 1}:0] text =",
            *(f"        {text}" for text in texts),
            f'        "{"?":<{length}}";',
            "endmodule",
        ]
    )


def write_names(folder: Path, number: int, program: Program) -> None:
    """Write the records of a job's instructions, a file for each unit."""
    records: dict[Unit, list[bytes]] = {unit: [] for unit in Unit}
    for unit, about in told(program):
        records[unit].append(_record(about))
    for unit, rows in records.items():
        (folder / f"{number}.{UNIT_NAMES[unit]}.names").write_bytes(b"".join(rows))


def _record(about: Mapping[str, str]) -> bytes:
    return b"".join(_column(about[name], width) for name, width in COLUMNS.items())


def _column(text: str, width: int) -> bytes:
    if len(text) > width:
        text = text[: width - 2] + ".."
    return text.encode("ascii", "replace").ljust(width)
