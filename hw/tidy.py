"""Makes the Verilog of one module, as Yosys writes it, short enough to read.

Wires, ports and registers are declared together by width, lines are filled, and a one-bit wire
that is used once is replaced by its expression where that cannot change a width.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter

__all__ = ["LINE_LENGTH", "tidy"]

LINE_LENGTH = 100
"""Longest line, as far as names and numbers allow."""

_NO_BREAK = "\N{NO-BREAK SPACE}"
_DECLARATION = re.compile(r"^  (wire|input|output|reg) (\[\d+:\d+\] )?([^\[;]+);$")
_HEADER = re.compile(r"^module .*?\);$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  \S+ \S+ +\(\n(?:    \.\S.*\n)+  \);$", re.MULTILINE)
_ALWAYS = re.compile(
    r"^  always @\(posedge clk\)\n((?:    (?:if|else|\S+ +<=).*;\n){1,4})", re.MULTILINE
)
_ASSIGN = re.compile(r"^  assign (\S+) +(\[[\d:]+\] )?= (.*);$")
_NAME = r"\\\S+ |[A-Za-z_]\w*"
_OPERAND = rf"(?:{_NAME})(?:\[\d+\])?|1'h[01]"
_WORD = re.compile(rf"{_NAME}|1'h[01]")
_ONE_BIT = re.compile(
    rf"(?P<left>{_OPERAND}) ?(?P<op>[&|^]) (?P<right>{_OPERAND})"
    rf"|(?P<not>[~!]) (?P<only>{_OPERAND})"
    rf"|(?P<if>{_OPERAND}) \? (?P<then>{_OPERAND}) ?: (?P<else>{_OPERAND})"
)
_CHOICE = re.compile(rf"^({_OPERAND}) \?")
_IF = re.compile(r"\bif \((\w+)\)")
_PORT = re.compile(r"^(    \.(?:\w+|\\\S+ ))\((\w+)\)")
_NEXT = re.compile(r"^(    (?:else )?(?:if \(.*\) )?)(\w+|\\\S+ ) <= (\w+);$")
_DEFINITION = re.compile(r"^  (?:wire|assign) (\w+)(?:;| =)")
_LONGEST_EXPRESSION = 240


def tidy(module: str) -> str:
    """The same module in fewer lines."""
    module = _HEADER.sub(lambda header: _fill(_joined(header[0])), module, count=1)
    header, _, body = module.partition(");\n")
    text = f"{header});\n{_declare(_inline(body))}"
    text = _CELL.sub(lambda cell: _fill(f"  {_joined(cell[0])}"), text)
    return _ALWAYS.sub(
        lambda block: _fill(f"  always @(posedge clk) {_joined(block[1])}") + "\n", text
    )


def _joined(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().split("\n")).replace("( .", "(.")


def _fill(text: str) -> str:
    """Break a line at spaces, but not within an escaped name and the space that ends it."""
    indent = text[: len(text) - len(text.lstrip())]
    text = re.sub(r"(\\\S+) ", rf"\1{_NO_BREAK}", text)
    filled = textwrap.fill(
        text,
        width=LINE_LENGTH,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(_NO_BREAK, " ")


def _declare(body: str) -> str:
    """One declaration for each kind and width; a port is not declared as a wire again."""
    declared: dict[tuple[str, str], list[str]] = {}
    lines, ports = [], set()
    for line in body.split("\n"):
        found = _DECLARATION.match(line)
        if not found:
            lines.append(line)
            continue
        kind, width, name = found[1], found[2] or "", found[3]
        if kind in ("input", "output"):
            ports.add(name)
        declared.setdefault((kind, width), []).append(name)
    for kind, width in sorted(declared, reverse=True):
        names = declared[kind, width]
        shown = [name for name in names if kind != "wire" or name not in ports]
        if shown:
            lines.insert(0, _fill(f"  {kind} {width}{', '.join(shown)};"))
    return "\n".join(lines)


def _one_bit_names(lines: list[str], kinds: tuple[str, ...]) -> set[str]:
    found = [_DECLARATION.match(line) for line in lines]
    return {f[3].strip() for f in found if f and f[1] in kinds and not f[2]}


def _inline(body: str) -> str:
    """Replace one-bit wires that are used once, where all that counts is one bit.

    That is an operand of a bitwise operator or of a choice whose result has one bit, the condition
    of a choice, the next value of a one-bit register, or a port of a cell: elsewhere Verilog would
    widen the expression's operands first.
    """
    lines = body.split("\n")
    inliner = _Inliner(lines)
    result = [inliner.rewrite(line) for line in lines]
    dead = inliner.replaced
    return "\n".join(
        _fill(line) if line.startswith("  assign") else line
        for line in result
        if not ((found := _DEFINITION.match(line)) and found[1] in dead)
    )


class _Inliner:
    """The expressions of a module's one-bit wires, and the wires that were replaced by theirs."""

    def __init__(self, lines: list[str]) -> None:
        self.replaced: set[str] = set()
        self._targets = _one_bit_names(lines, ("wire", "output"))
        self._registers = {name.split(" = ")[0] for name in _one_bit_names(lines, ("reg",))}
        uses = Counter(word.strip() for line in lines for word in _WORD.findall(line))
        assigned = [_ASSIGN.match(line) for line in lines]
        # A name that Yosys made, that is declared, assigned, and used once.
        self._single = {
            found[1]: found[3]
            for found in assigned
            if found
            and not found[2]
            and found[1].startswith("_")
            and found[1] in self._targets
            and uses[found[1]] == 3
        }
        self._done: dict[str, str] = {}

    def rewrite(self, line: str) -> str:
        """One line, with the wires in it replaced."""
        if found := _ASSIGN.match(line):
            name = found[1]
            if name in self._single:
                return f"  assign {_spaced(name)}= {self._expression(name)};"
            index = found[2] or ""
            one_bit = name in self._targets or index.count(":") < bool(index)
            value = self._value(found[3]) if one_bit else self._condition(found[3])
            return f"  assign {_spaced(name)}{index}= {value};"
        line = _IF.sub(lambda found: f"if ({self._operand(found[1], '?', bare=True)})", line)
        line = _PORT.sub(lambda port: f"{port[1]}({self._operand(port[2], '', bare=True)})", line)
        found = _NEXT.match(line)
        if found and found[2].strip() in self._registers:
            return f"{found[1]}{found[2]} <= {self._operand(found[3], '?', bare=True)};"
        return line

    def _expression(self, name: str) -> str:
        if name not in self._done:
            self._done[name] = self._value(self._single[name])
        return self._done[name]

    def _operand(self, text: str, outer: str, *, bare: bool = False) -> str:
        """An operand of an operator: the wire, or its expression where it is not too long."""
        name = text.strip()
        if name not in self._single:
            return text
        inner = self._expression(name)
        if len(inner) > _LONGEST_EXPRESSION:
            return text
        self.replaced.add(name)
        shape = _ONE_BIT.fullmatch(self._single[name])
        return inner if bare or (shape and shape["op"] and shape["op"] == outer) else f"({inner})"

    def _value(self, value: str) -> str:
        """The right side of an assignment to one bit."""
        shape = _ONE_BIT.fullmatch(value)
        if not shape:
            return self._condition(value)
        if op := shape["op"]:
            return f"{self._operand(shape['left'], op)} {op} {self._operand(shape['right'], op)}"
        if op := shape["not"]:
            return f"{op}{self._operand(shape['only'], op)}"
        parts = (self._operand(shape[part], "?") for part in ("if", "then", "else"))
        return "{} ? {} : {}".format(*parts)

    def _condition(self, value: str) -> str:
        """Any other right side: the condition of a choice is one bit."""
        return _CHOICE.sub(lambda found: f"{self._operand(found[1], '?')} ?", value, count=1)


def _spaced(name: str) -> str:
    """A name and the space that must end an escaped one."""
    return f"{name} "
