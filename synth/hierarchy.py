"""Which modules a Verilog file has, and which instances they consist of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pulsarray.errors import InputError

__all__ = ["Hierarchy", "read_hierarchy"]

_NAME = r"(?:\w[\w$]*|\\\S+)"
_MODULE = re.compile(rf"^module\s+({_NAME})\s*\((.*?)^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(rf"^\s*({_NAME})\s+({_NAME})\s*\(\s*\.", re.MULTILINE)


@dataclass(frozen=True)
class Hierarchy:
    """Modules with their instances.

    Parameters
    ----------
    top
        The top module.
    instances
        Of each module: the module of each instance by its name.
    """

    top: str
    instances: Mapping[str, Mapping[str, str]]

    def module_at(self, path: str) -> str:
        """The module of an instance by its path from the top (``vector.datapath.lane0``).

        Raises
        ------
        InputError
            If there is none; the text names what is there.
        """
        if path in self.instances:
            return path
        module = self.top
        for name in path.split("."):
            inner = {title: self.instances[module][n] for n, title in self.titles(module).items()}
            if name not in inner:
                known = ", ".join(sorted(inner)) or "nothing"
                raise InputError(f"--unit: {module} has no {name!r}; it has: {known}")
            module = inner[name]
        return module

    def titles(self, module: str) -> dict[str, str]:
        """Names of the instances in a module, each without the number that Amaranth may add."""
        names = self.instances[module]
        plain = Counter(name.partition("$")[0] for name in names)
        short = {name: name.partition("$")[0] for name in names}
        return {name: title if plain[title] == 1 else name for name, title in short.items()}


def read_hierarchy(verilog: str, top: str) -> Hierarchy:
    """Take the instances from the text that :func:`pulsarray.hw.emit.generate` gives."""
    bodies = {match[1]: match[2] for match in _MODULE.finditer(verilog)}
    return Hierarchy(
        top,
        {
            name: {
                match[2].removeprefix("\\"): match[1]
                for match in _INSTANCE.finditer(body)
                if match[1] in bodies
            }
            for name, body in bodies.items()
        },
    )
