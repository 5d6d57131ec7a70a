"""The block of a module in which its registers change: conditions that several share once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pulsarray.hw.verilog.expression import Expression
from pulsarray.hw.verilog.layout import LINE_LENGTH, fill, packed
from pulsarray.hw.verilog.netlist import Register

__all__ = ["clocked"]

_Changes: TypeAlias = list[tuple[Expression, list[tuple[Expression | None, Expression]]]]
_Statement: TypeAlias = "str | _If"


@dataclass
class _If:
    """A statement with a condition, within a block."""

    condition: str
    then: list[_Statement]
    otherwise: list[_Statement]

    @property
    def plain(self) -> bool:
        """Whether no branch has more than one statement."""
        parts = [*self.then, *self.otherwise]
        single = len(self.then) == 1 and len(self.otherwise) <= 1
        return single and all(isinstance(part, str) or part.plain for part in parts)

    def __str__(self) -> str:
        """The statement on one line."""
        otherwise = f" else {_joined(self.otherwise)}" if self.otherwise else ""
        return f"if ({self.condition}) {_joined(self.then)}{otherwise}"


def _joined(statements: list[_Statement]) -> str:
    text = " ".join(map(str, statements))
    return text if len(statements) == 1 else f"begin {text} end"


def clocked(registers: list[Register]) -> Iterator[str]:
    """Lines of the block; none without registers."""
    if registers:
        yield "  always @(posedge clk) begin"
        yield from _block(_grouped([(change.target, change.steps) for change in registers]), 4)
        yield "  end"


def _grouped(changes: _Changes) -> list[_Statement]:
    """Statements in which registers with the same first condition are together."""
    groups: dict[str, _Changes] = {}
    for target, steps in changes:
        groups.setdefault(str(steps[0][0] or ""), []).append((target, steps))
    result: list[_Statement] = []
    for condition, members in sorted(groups.items(), key=lambda group: bool(group[0])):
        values: list[_Statement] = [f"{target} <= {steps[0][1]};" for target, steps in members]
        rest = [(target, steps[1:]) for target, steps in members if steps[1:]]
        result += [_If(condition, values, _grouped(rest))] if condition else values
    return result


def _block(statements: list[_Statement], indent: int) -> Iterator[str]:
    """Lines of a block: several short statements on one line."""
    yield from packed([text for text in statements if isinstance(text, str)], indent)
    for choice in statements:
        if isinstance(choice, _If):
            yield from _choice(choice, indent)


def _choice(choice: _If, indent: int) -> Iterator[str]:
    space = " " * indent
    short = f"{space}{choice}"
    if choice.plain or len(short) <= LINE_LENGTH:
        yield fill(short.strip(), indent)
        return
    yield fill(f"if ({choice.condition}) begin", indent)
    yield from _block(choice.then, indent + 2)
    if choice.otherwise:
        yield f"{space}end else begin"
        yield from _block(choice.otherwise, indent + 2)
    yield f"{space}end"
