"""A Verilog module as Yosys writes it, taken apart into declarations and statements."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pulsarray.hw.verilog.expression import Expression, constant
from pulsarray.hw.verilog.expression_parser import NAME, parse

__all__ = ["Cell", "Net", "Netlist", "Register", "read"]

_NET = re.compile(rf"  (wire|input|output|reg) (?:\[(\d+):0\] )?({NAME})(?: = (\S+))?;")
_MEMORY = re.compile(rf"  reg \[(\d+):0\] ({NAME}) ?\[(\d+):0\];")
_START = re.compile(rf"    ({NAME})\[\d+\] = (\S+);")
_FUNCTION = re.compile(r"  function (?:\[(\d+):0\] )?(\w+);")
_IN_FUNCTION = re.compile(
    r"    input (?:\[\d+:0\] )?[abs];|    casez \(s\).*|      (?:\d+'b[?1]+|default):"
    r"|        _\d+_ = .*;|    endcase|  endfunction"
)
_ASSIGN = re.compile(r"  assign (.*?) = (.*);")
_STEP = re.compile(r"(?:(?:else )?if \((.*)\) |else )?(\S+ ?\S*) <= (.*);")
_CELL = re.compile(rf"  ({NAME}) ({NAME}) \(")
_PORT = re.compile(rf"    \.({NAME})\((.*)\),?")


@dataclass
class Net:
    """A declared net or variable: ``input``, ``output`` or neither; whether it is a ``reg``."""

    width: int
    direction: str = ""
    variable: bool = False
    initial: str = ""


@dataclass
class Memory:
    """An array: bits and number of its words, and what all of them hold at first."""

    width: int
    depth: int
    initial: list[str] = field(default_factory=list)


@dataclass
class Register:
    """What a register takes at a clock edge: the value of the first condition that holds."""

    target: Expression
    steps: list[tuple[Expression | None, Expression]]


@dataclass
class Cell:
    """An instance of a module; ``origin`` is what it is called in Yosys' text."""

    module: str
    name: str
    ports: list[tuple[str, Expression]]
    origin: str


@dataclass
class Netlist:
    """The parts of a module; assignments are pairs of target and value.

    Members
    -------
    origins
        What nets and memories are called in Yosys' text, where that is another name.
    """

    name: str
    nets: dict[str, Net] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)
    assigns: list[tuple[Expression, Expression]] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the input ports."""
        return frozenset(name for name, net in self.nets.items() if net.direction == "input")

    def uses(self) -> Iterator[Expression]:
        """Every expression that is read, and every connection of a cell."""
        for _, value in self.assigns:
            yield value
        for register in self.registers:
            yield from register.target.parts
            for condition, value in register.steps:
                if condition:
                    yield condition
                yield value
        for cell in self.cells:
            yield from (value for _, value in cell.ports)

    def rewrite(self, change: Callable[[Expression, int], Expression]) -> None:
        """Replace every expression that is read.

        Parameters
        ----------
        change
            Gives the replacement of an expression and the width of its target, or 0 in a place
            that extends nothing.
        """
        self.assigns = [(target, change(value, target.width)) for target, value in self.assigns]
        for register in self.registers:
            target, width = register.target, register.target.width
            register.target = replace(target, parts=tuple(change(p, 0) for p in target.parts))
            register.steps = [
                (condition and change(condition, 0), change(value, width))
                for condition, value in register.steps
            ]
        for cell in self.cells:
            cell.ports = [(port, change(value, 0)) for port, value in cell.ports]

    def rename(self, names: Mapping[str, str]) -> None:
        """Give nets and memories other names."""

        def renamed(node: Expression, _: int = 0) -> Expression:
            parts = tuple(map(renamed, node.parts))
            name = names.get(node.base, node.base)
            return replace(node, parts=parts, base=name, text=name + node.text[len(node.base) :])

        self.rewrite(renamed)
        self.assigns = [(renamed(target), value) for target, value in self.assigns]
        for register in self.registers:
            register.target = renamed(register.target)
        self.nets = {names.get(name, name): net for name, net in self.nets.items()}
        self.memories = {names.get(name, name): memory for name, memory in self.memories.items()}
        kept = {name: origin for name, origin in self.origins.items() if name not in names}
        self.origins = kept | {new: self.origins.get(old, old) for old, new in names.items()}

    def free_name(self, name: str) -> str:
        """The name, or with a number after it if it is taken."""
        taken = {*self.nets, *self.memories, *(cell.name for cell in self.cells)}
        names = (f"{name}{number or ''}" for number in itertools.count())
        return next(name for name in names if name not in taken)

    def new_wire(self, name: str, width: int) -> Expression:
        """Declare a wire with that name, or one like it."""
        free = self.free_name(name)
        self.nets[free] = Net(width)
        return Expression("name", width=width, text=free, base=free)


def read(text: str) -> Netlist:
    """Take a module apart.

    Raises
    ------
    ValueError
        If a line is not as Yosys writes modules of this machine.
    """
    return _Reader(text).read()


class _Reader:
    """Reads one module."""

    def __init__(self, text: str) -> None:
        header, _, body = text.partition(");\n")
        self._module = Netlist(header.split("(")[0].split()[1])
        self._lines = body.split("\n")
        self._place = 0
        self._widths: dict[str, int] = {}

    def read(self) -> Netlist:
        """The module."""
        statements = self._declarations()
        while statements:
            self._statement(statements)
        return self._module

    def _declarations(self) -> list[str]:
        """Read all of them; the other lines, last first."""
        module, rest = self._module, []
        for line in self._lines:
            if match := _NET.fullmatch(line):
                kind, top, name, initial = match.groups()
                net = module.nets.setdefault(name, Net(int(top or 0) + 1))
                net.direction = kind if kind in ("input", "output") else net.direction
                net.variable |= kind == "reg"
                net.initial = constant(initial).text if initial else net.initial
            elif match := _MEMORY.fullmatch(line):
                module.memories[match[2]] = Memory(int(match[1]) + 1, int(match[3]) + 1)
            elif match := _FUNCTION.fullmatch(line):
                self._widths[match[2]] = int(match[1] or 0) + 1
            elif line and line != "endmodule" and not _IN_FUNCTION.fullmatch(line):
                rest.append(line)
        self._widths |= {name: net.width for name, net in module.nets.items()}
        self._widths |= {name: memory.width for name, memory in module.memories.items()}
        return rest[::-1]

    def _parse(self, text: str) -> Expression:
        return parse(text, self._widths)

    def _statement(self, lines: list[str]) -> None:
        line = lines.pop()
        if match := _ASSIGN.fullmatch(line):
            self._module.assigns.append((self._parse(match[1]), self._parse(match[2])))
        elif line == "  initial begin":
            while match := _START.fullmatch(lines.pop()):
                self._module.memories[match[1]].initial.append(constant(match[2]).text)
        elif line.startswith("  always @(posedge clk)"):
            self._register(line, lines)
        elif match := _CELL.fullmatch(line):
            ports = []
            while port := _PORT.fullmatch(lines.pop()):
                ports.append((port[1], self._parse(port[2])))
            self._module.cells.append(Cell(match[1], match[2], ports, match[2]))
        else:
            raise ValueError(f"cannot read the line {line!r}")

    def _register(self, line: str, lines: list[str]) -> None:
        block = []
        while lines and lines[-1].startswith("    "):
            block.append(lines.pop().strip())
        if line.endswith("begin"):
            lines.pop()
            block = [" ".join(block)]
        steps = []
        for text in block:
            match = _STEP.fullmatch(text)
            if not match:
                raise ValueError(f"cannot read the line {text!r}")
            condition = self._parse(match[1]) if match[1] else None
            steps.append((condition, self._parse(match[3])))
            target = self._parse(match[2])
        self._module.registers.append(Register(target, steps))
