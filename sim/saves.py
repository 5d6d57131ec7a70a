"""Save files that show waves grouped by unit, words first: for GTKWave and for Surfer."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsarray.config import Config
from pulsarray.files import write_atomically
from pulsarray.isa import Unit
from pulsarray.sim import builds
from pulsarray.sim.names import COLUMNS, ENUMERATIONS, characters

__all__ = ["SAVES", "Wave", "groups", "save_files", "write_saves"]

SAVES = (".gtkw", ".sucl")
"""Endings of the files beside the waves: GTKWave's, and Surfer's commands."""

_WRITTEN = "Written by Pulsarray"
_WORDS = {"state": 5, **COLUMNS, "waits_for": COLUMNS["waits"]}
_AXI = {
    Unit.LOAD: {"araddr": 32, "arlen": 8, "arvalid": 1, "arready": 1, "rvalid": 1, "rready": 1},
    Unit.STORE: {"awaddr": 32, "awlen": 8, "awvalid": 1, "awready": 1, "wvalid": 1, "wready": 1},
}


@dataclass(frozen=True)
class Wave:
    """A signal to show.

    Parameters
    ----------
    path, bits
        Its scopes and name, and its width.
    label
        What it is called there.
    form
        ``"ascii"``, ``"dec"`` or ``"hex"``.
    """

    path: str
    bits: int
    label: str
    form: str = "hex"


def save_files(waves: Path) -> list[Path]:
    """The files that :func:`write_saves` writes."""
    return [waves.with_suffix(ending) for ending in SAVES]


def write_saves(waves: Path, config: Config) -> None:
    """Write both files beside the waves; one that somebody else saved stays.

    Raises
    ------
    InputError
        If one cannot be written.
    """
    shown = dict(groups(config))
    texts = (_gtkwave(waves, shown), _surfer(shown))
    for path, text in zip(save_files(waves), texts, strict=True):
        if not path.exists() or _WRITTEN in path.read_text("utf-8", "replace").partition("\n")[0]:
            write_atomically(path, text.encode())


def groups(config: Config) -> Iterator[tuple[str, Sequence[Wave]]]:
    """What is shown of a machine: a title and its signals for each part."""
    top, machine = builds.MACHINE_TOP, f"{builds.MACHINE_TOP}.machine"
    clock = [Wave(f"{top}.clk", 1, "clk")]
    if not config.trace:
        yield "machine", clock
    else:
        yield (
            "machine",
            [*clock, Wave(f"{top}.cycle", 32, "cycle", "dec"), _named("error", "ERROR")],
        )
        yield "FETCH", [_named("opcode", "FETCH"), Wave(f"{machine}.fetch.unit", 256, "word")]
    widths = _instruction_bits(config)
    for unit in Unit:
        words = list(_words(f"{top}.{unit.name}")) if config.trace else []
        name = f"{unit.name.lower()}_queue_instruction"
        raw = [Wave(f"{machine}.{name}", widths[name], "queued")] if name in widths else []
        bus = [Wave(f"{top}.{x}", bits, x) for x, bits in _AXI.get(unit, {}).items()]
        yield unit.name, [*words, *raw, *bus]


def _named(enumeration: str, scope: str) -> Wave:
    bits = 8 * characters(ENUMERATIONS[enumeration][0])
    return Wave(f"{builds.MACHINE_TOP}.{scope}.text", bits, enumeration, "ascii")


def _words(scope: str) -> Iterator[Wave]:
    yield Wave(f"{scope}.index", 32, "index", "dec")
    for name, width in _WORDS.items():
        if name != "waits":  # what it may wait for; waits_for is what it does wait for
            yield Wave(f"{scope}.{name}", 8 * width, name.replace("_", " "), "ascii")


def _instruction_bits(config: Config) -> dict[str, int]:
    """Widths of the instructions that queues give, by name, from the machine's Verilog."""
    text = builds.verilog(config).read_text(encoding="ascii")
    top = text[text.index("module pulsarray(") :]
    pattern = r"wire \[(\d+):0\] ([^;=]*\w+_queue_instruction[^;=]*);"
    return {
        name: int(high) + 1
        for high, names in re.findall(pattern, top[: top.index("endmodule")])
        for name in re.findall(r"\w+_queue_instruction", names)
    }


def _gtkwave(waves: Path, shown: dict[str, Sequence[Wave]]) -> str:
    from vcd.gtkw import GTKWSave

    file = io.StringIO()
    save = GTKWSave(file)
    file.write(f"[*] {_WRITTEN}\n")
    save.dumpfile(waves.name, abspath=False)
    save.treeopen(builds.MACHINE_TOP)
    save.signals_width(160)
    for title, signals in shown.items():
        with save.group(title):
            for wave in signals:
                name = wave.path + (f"[{wave.bits - 1}:0]" if wave.bits > 1 else "")
                save.trace(name, alias=wave.label, datafmt=wave.form)
    return file.getvalue()


def _surfer(shown: dict[str, Sequence[Wave]]) -> str:
    """Commands; a format is set of the item in focus, which has its number as letters."""
    lines, count = [f"# {_WRITTEN}"], 0
    formats = {"ascii": "ASCII", "dec": "Unsigned", "hex": "Hexadecimal"}
    for title, signals in shown.items():
        lines.append(f"divider_add {title}")
        count += 1
        for wave in signals:
            count += 1
            lines.append(f"variable_add {wave.path}")
            if wave.bits > 1:
                lines.append(f"item_focus {_letters(count)}")
                lines.append(f"item_set_format {formats[wave.form]}")
    return "\n".join([*lines, "item_unfocus", "zoom_fit", ""])


def _letters(count: int) -> str:
    """The last of so many items as Surfer calls it: hexadecimal with a to p for 0 to f."""
    width = len(f"{count:x}")
    return f"{count - 1:0{width}x}".translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))
