"""Makes the Verilog of Yosys short enough to read, and free of what linters warn of.

Wires without a name that are used once are written where they are used; what no output depends on
is dropped; widths, and bits that are not needed, are written out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from pulsarray.hw.verilog.expression import Expression
from pulsarray.hw.verilog.expression_parser import NAME
from pulsarray.hw.verilog.inline import inline, narrow
from pulsarray.hw.verilog.liveness import Inputs, drop_dead
from pulsarray.hw.verilog.naming import name_apart
from pulsarray.hw.verilog.netlist import Netlist, read
from pulsarray.hw.verilog.split import split_loops
from pulsarray.hw.verilog.unused import name_unused
from pulsarray.hw.verilog.widths import write_widths
from pulsarray.hw.verilog.writer import write

__all__ = ["plain_names", "rewritten", "shorten", "tidy"]

_ESCAPED = re.compile(r"\\(\S+) ")
_LONG_LIST = 60


def rewritten(texts: Iterable[str], top: str, others: Inputs) -> list[Netlist]:
    """The same design in fewer lines: the top module, then those below it.

    Parameters
    ----------
    texts
        The modules, as Yosys writes them.
    top
        Name of the module that has every other one below it; its ports stay as they are.
    others
        Input ports of the modules that the design uses besides.

    Raises
    ------
    ValueError
        If a line is not as Yosys writes modules of this machine.
    """
    modules = {module.name: module for module in map(_read, texts)}
    inputs = {**others, **{name: module.inputs for name, module in modules.items()}}
    kept = drop_dead(modules, top, inputs).values()
    for module in kept:
        shorten(module)
        name_apart(module, inputs)
        split_loops(module)
        name_unused(module, inputs)
    return list(kept)


def tidy(texts: Iterable[str], top: str, others: Inputs) -> list[str]:
    """Text of the modules that :func:`rewritten` gives."""
    return [write(module) for module in rewritten(texts, top, others)]


def _read(text: str) -> Netlist:
    module = read(plain_names(text))
    module.origins = {plain: name for name, plain in _unescaped(text).items()}
    for cell in module.cells:
        cell.origin = module.origins.get(cell.name, cell.name)
    return module


def shorten(module: Netlist) -> None:
    """Fewer wires, with the widths of all expressions written out."""
    narrow(module)
    inline(module)
    write_widths(module)
    _name_lists(module)


def plain_names(text: str) -> str:
    """Without escapes in the names that Amaranth made of several parts."""
    for name, plain in _unescaped(text).items():
        text = text.replace(f"\\{name} ", plain)
    return text


def _unescaped(text: str) -> dict[str, str]:
    """Escaped names of a module, and those that they are given."""
    taken = set(re.findall(NAME, text))
    names: dict[str, str] = {}
    for name in sorted(set(_ESCAPED.findall(text))):
        plain = re.sub(r"[.\[]", "_", name.replace("]", ""))
        if plain.startswith("$"):
            plain = f"{plain[1:]}$0" if plain.count("$") == 1 else plain[1:]
        if (
            re.search(r"[$.\[]", name)
            and plain not in taken
            and re.fullmatch(r"[A-Za-z_][\w$]*", plain)
        ):
            taken.add(plain)
            names[name] = plain
    return names


def _name_lists(module: Netlist) -> None:
    """Give long lists that are read several times a wire, named after a port if there is one."""
    nodes = [node for value in module.uses() for node in value.nodes() if node.kind == "cat"]
    count = Counter(map(str, nodes))
    ports = {str(value): f"all_{port}" for cell in module.cells for port, value in cell.ports}
    wires: dict[str, Expression] = {}
    shared: list[tuple[Expression, Expression]] = []
    for node in nodes:
        text = str(node)
        if count[text] > 1 and len(text) > _LONG_LIST and text not in wires:
            wires[text] = module.new_wire(ports.get(text, "list"), node.width)
            shared.append((node, wires[text]))
    module.rewrite(lambda value, _: value.replaced(wires))
    module.assigns += [(wire, node) for node, wire in shared]
