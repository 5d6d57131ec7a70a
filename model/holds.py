"""Port holds: which unit holds which port of which bank when (docs/machine.md, section 6)."""

from __future__ import annotations

from collections import defaultdict

from pulsarray.errors import ProgramError
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode

__all__ = ["Holds"]


class Holds:
    """Intervals in which units hold ports, by port."""

    def __init__(self) -> None:
        self.ports: defaultdict[int, list[tuple[int, int, int, int]]]
        self.ports = defaultdict(list)

    def read(self, bank: int, first: int, last: int, unit: int, index: int) -> None:
        """A unit holds a bank's read port from ``first`` to ``last``."""
        self.ports[2 * bank].append((first, last, unit, index))

    def write(self, bank: int, first: int, last: int, unit: int, index: int) -> None:
        """A unit holds a bank's write port from ``first`` to ``last``."""
        self.ports[2 * bank + 1].append((first, last, unit, index))

    def conflict(self) -> tuple[int, ProgramError] | None:
        """The first cycle in which two units hold one port, if there is one.

        With it PORT_CONFLICT, which names both instructions.
        """
        conflicts = [c for port, held in self.ports.items() if (c := _first_overlap(port, held))]
        if not conflicts:
            return None
        cycle, index, text = min(conflicts)
        return cycle, ProgramError(ErrorCode.PORT_CONFLICT, index, f"cycle {cycle}: {text}")


def _first_overlap(port: int, held: list[tuple[int, int, int, int]]) -> tuple[int, int, str] | None:
    held.sort()
    # Intervals of one unit never overlap, so the last end of each unit is all that is needed; with
    # the intervals in order of start, the one that ends last and its rival's are compared.
    conflict: tuple[int, int, str] | None = None
    ends: dict[int, tuple[int, int]] = {}
    latest = -1
    for first, last, unit, index in held:
        if first <= latest:
            for other, (end, other_index) in ends.items():
                if other != unit and end >= first and (conflict is None or first < conflict[0]):
                    conflict = (first, *_describe(port, unit, index, other, other_index))
            if conflict is not None:
                return conflict
        ends[unit] = (last, index)
        if last > latest:
            latest = last
    return conflict


def _describe(port: int, unit: int, index: int, other: int, other_index: int) -> tuple[int, str]:
    (first, first_index), (second, second_index) = sorted(((unit, index), (other, other_index)))
    bank, write = divmod(port, 2)
    kind = "scratchpad" if bank < Bank.ACCUMULATOR else "accumulator"
    text = (
        f"{Unit(first).name} (instruction {first_index}) and {Unit(second).name} "
        f"(instruction {second_index}) both hold the {'write' if write else 'read'} port of "
        f"{kind} bank {bank % Bank.ACCUMULATOR}"
    )
    return second_index, text
