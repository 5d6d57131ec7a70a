"""The vector unit and the exponent registers as a training step uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from pulsarray.compiler.machine.emitter import Access, spans
from pulsarray.compiler.machine.transfers import Transfers
from pulsarray.compiler.training.lower.paging import Paging
from pulsarray.compiler.training.lower.words import Grid, NoRoom, Words
from pulsarray.config import Config
from pulsarray.isa import Bank, Opcode, VectorFlag
from pulsarray.stages import vector_distance

__all__ = ["CODE_MAX", "TrainChip"]

CODE_MAX = (1 << 15) - 1
_PARAMETER_FLAGS = int(VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE)
_DESTINATIONS = ("target", "acc")


@dataclass(frozen=True)
class _Written:
    """What a VECTOR writes: its number, words issued before it, its shape, and where to."""

    number: int
    first: int
    shape: Sequence[int]
    targets: Sequence[Grid]


def _overlap(source: Grid, shape: Sequence[int], target: Grid, written: Sequence[int]) -> bool:
    last, other = source.end(shape), target.end(written)
    return source.bank == target.bank and source.base <= other and target.base <= last


def _loops(counts: Sequence[int], grids: Mapping[str, Grid]) -> dict[str, int]:
    """Fields of VECTOR for loops over operands; both destinations step together."""
    fields = {f"count{level}": count for level, count in enumerate(counts)}
    for name, where in grids.items():
        fields |= {f"{name}_bank": where.bank, name: where.base}
        operand = "target" if name in _DESTINATIONS else name
        for level, (count, step) in enumerate(zip(counts, where.steps, strict=True)):
            fields[f"{operand}_stride{level}"] = step if count > 1 else 0
    return fields


class TrainChip(Transfers):
    """Emits what is no product.

    Parameters
    ----------
    config
        The machine.
    registers
        Exponent register of every name.
    tables
        Number and shift of every function table on chip.

    Members
    -------
    depth
        Words of an accumulator bank that may be used.
    paging
        What keeps exponents in registers, if there are not enough for all.
    sums, aux
        Accumulator banks that products are summed up in, in turn, and the two others.
    """

    def __init__(
        self,
        config: Config,
        registers: Mapping[str, int],
        tables: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__(config)
        self.registers, self.tables = registers, tables
        self.depth = config.accumulator_depth
        self.paging: Paging | None = None
        banks = [Bank.ACCUMULATOR + number for number in range(config.accumulator_banks)]
        self.sums, self.aux = banks[:-2], banks[-2:]
        self._turn = 0
        self._written: list[_Written] = []
        self._issued = 0

    def next_sums(self, avoid: int = -1) -> int:
        """The bank of the next sums, all but one in turn."""
        self._turn += 1
        banks = [bank for bank in self.sums if bank != avoid]
        return banks[self._turn % len(banks)]

    def vector(
        self,
        phase: int,
        blocks: int,
        rows: int,
        a: Words,
        b: Words | None = None,
        *,
        target: Words | None = None,
        acc: Words | None = None,
        x: Sequence[str] = (),
        table: str = "",
        **fields: int,
    ) -> None:
        """VECTOR on ``blocks`` times ``rows`` words.

        Parameters
        ----------
        phase
            What it is counted for.
        blocks, rows
            Iterations of levels 0 and 1.
        a, b
            Sources.
        target, acc
            Destinations; if both are given, their steps are the same.
        x
            Names of the exponents of the target and of the sources; an empty one is 0.
        table
            Function to look up.
        """
        grids = {
            name: Grid(where.bank, where.base, (where.block, where.row))
            for name, where in (("a", a), ("b", b), ("target", target), ("acc", acc))
            if where is not None
        }
        accesses: list[Access] = []
        for name, where in grids.items():
            (block, row), write = where.steps, name in _DESTINATIONS
            height, count = (rows - 1) * row + 1, blocks if block else 1
            accesses += spans(where.bank, where.base, height, count, block, write=write)
        self._vector(phase, (blocks, rows), grids, fields, accesses, x, table)

    def grid(
        self,
        phase: int,
        counts: Sequence[int],
        a: Grid,
        b: Grid | None = None,
        *,
        target: Grid | None = None,
        acc: Grid | None = None,
        x: Sequence[str] = (),
        **fields: int,
    ) -> None:
        """VECTOR on up to four loops of words; as :meth:`vector`."""
        places = {"a": a, "b": b, "target": target, "acc": acc}
        grids = {name: where for name, where in places.items() if where is not None}
        accesses = [
            Access(where.bank, where.base, where.end(counts) + 1, name in _DESTINATIONS)
            for name, where in grids.items()
        ]
        self._vector(phase, counts, grids, fields, accesses, x, "")

    def _vector(
        self,
        phase: int,
        counts: Sequence[int],
        grids: Mapping[str, Grid],
        more: Mapping[str, int],
        accesses: list[Access],
        x: Sequence[str],
        table: str,
    ) -> None:
        sources = [where for name, where in grids.items() if name not in _DESTINATIONS]
        if len({where.bank for where in sources}) < len(sources):
            raise NoRoom("batch: two operands share a bank; use a smaller batch")
        fields = {"low": -CODE_MAX, "high": CODE_MAX} | _loops(counts, grids) | dict(more)
        notes = bool(fields.get("flags", 0) & VectorFlag.STATISTIC)
        registers = self._registers(phase, x, writes=notes)
        fields |= dict(zip(("x_target", "x_a", "x_b"), registers, strict=False))
        if table:
            number, shift = self.tables[table]
            fields |= {"table": number, "shift2": shift}
            size = self.config.table_planes * self.config.table_words
            accesses.append(Access(Bank.TABLE, number * size, (number + 1) * size, False))
        if fields.get("flags", 0) & _PARAMETER_FLAGS:
            row = fields.get("parameter", 0)
            accesses.append(Access(Bank.PARAMETER, 4 * row, 4 * row + 4, False))
        after = self._unwritten(sources, counts)
        number = self.emitter.emit(Opcode.VECTOR, phase, accesses, after=after, **fields)
        targets = [grids[name] for name in _DESTINATIONS if name in grids]
        self._written.append(_Written(number, self._issued, tuple(counts), targets))
        self._issued += prod(counts)

    def _unwritten(self, sources: Sequence[Grid], shape: Sequence[int]) -> int | None:
        """The last instruction that may not have written yet what is about to be read.

        Words are written some cycles after they were issued. In the order in which they were
        written they may be read at once if there are enough of them.
        """
        found, latency = None, vector_distance(self.config)
        for written in self._written:
            size = prod(written.shape)
            for source in sources:
                for target in written.targets:
                    if not _overlap(source, shape, target, written.shape):
                        continue
                    in_order = (source, tuple(shape)) == (target, written.shape)
                    issued = written.first + (0 if in_order else size)
                    if self._issued - issued <= latency:
                        found = written.number
        self._written = [
            w for w in self._written if self._issued - w.first - prod(w.shape) <= latency
        ]
        return found

    def exponent(
        self, phase: int, name: str, value: int, a: str = "", b: str = "", *, maximum: bool = False
    ) -> None:
        """EXPONENT: a register becomes the sum of a value and up to two others."""
        numbers = self._registers(phase, [name, a, b], writes=True)
        sources = {key: number for key, number in zip("ab", numbers[1:], strict=True) if number}
        self.emitter.emit(
            Opcode.EXPONENT,
            phase,
            (),
            register=numbers[0],
            value=value,
            maximum=int(maximum),
            **sources,
        )

    def _registers(self, phase: int, names: Sequence[str], *, writes: bool) -> list[int]:
        """Registers of exponents; the first may be written or noted. An empty name is 0."""
        if self.paging is not None:
            return self.paging.registers(phase, names, writes=writes)
        return [self.registers[name] if name else 0 for name in names]

    def scale(self, phase: int, action: int, bank: int, word: int, register: int) -> None:
        """SCALE."""
        touched = [] if action == 2 else [Access(bank, word, word + 1, action == 1)]
        self.emitter.emit(
            Opcode.SCALE, phase, touched, action=action, bank=bank, word=word, register=register
        )
