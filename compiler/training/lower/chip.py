"""The vector unit and the exponent registers as a training step uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulsarray.compiler.machine.chip import Chip
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.views import Words
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Opcode, ScaleAction, VectorFlag
from pulsarray.program import Tensor

__all__ = ["CODE_MAX", "NoRoom", "TrainChip"]

CODE_MAX = (1 << 15) - 1
_PARAMETER_FLAGS = int(VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE)


class NoRoom(InputError):
    """Something does not fit the chip in segments of this size; smaller ones may."""


class TrainChip(Chip):
    """The array and the vector unit, for one phase at a time.

    Parameters
    ----------
    config
        The machine.
    registers
        Exponent register of every name.
    tables
        Number and shift of every function table on chip.
    depth
        Words of an accumulator bank that may be used.

    Members
    -------
    phase
        Number of the phase that instructions are counted for.
    aux
        The two accumulator banks that no products are summed up in.
    """

    def __init__(
        self,
        config: Config,
        registers: Mapping[str, int],
        tables: Mapping[str, tuple[int, int]],
        depth: int,
    ) -> None:
        super().__init__(config)
        self.registers, self.tables, self.depth = registers, tables, depth
        self.phase = 0
        self.sums, self.aux = self.sums[:-2], self.sums[-2:]

    def move(self, op: Opcode, tensor: Tensor, word: int, to: Words, *sizes: int) -> None:
        """LOAD or STORE between a tensor and words on chip; ``sizes`` as of :meth:`load`."""
        self.load(self.phase, tensor, word, to.bank, to.base, *sizes, op=op)

    def compute(
        self,
        counts: int | Sequence[int],
        a: Words,
        b: Words | None = None,
        *,
        target: Words | None = None,
        acc: Words | None = None,
        x: Sequence[str] = (),
        table: str = "",
        **fields: int,
    ) -> None:
        """VECTOR.

        Parameters
        ----------
        counts
            Iterations of its levels; a number for as many rows of one block.
        a, b
            Sources.
        target, acc
            Destinations; if both are given, their steps are the same.
        x
            Names of the exponents of the target and of the sources; an empty one is 0.
        table
            Function to look up.

        Raises
        ------
        NoRoom
            If the sources share a bank.
        """
        if b is not None and a.bank == b.bank:
            raise NoRoom("batch: two operands share a bank; use a smaller batch")
        operands = {"a": a, "b": b, "target": target, "acc": acc}
        fields = {"low": -CODE_MAX, "high": CODE_MAX} | fields
        notes = bool(fields.get("flags", 0) & VectorFlag.STATISTIC)
        registers = self._registers(x, writes=notes)
        fields |= dict(zip(("x_target", "x_a", "x_b"), registers, strict=False))
        constants = []
        if table:
            number, shift = self.tables[table]
            fields |= {"table": number, "shift2": shift}
            constants.append(self.table_access(number))
        if fields.get("flags", 0) & _PARAMETER_FLAGS:
            constants.append(self.parameter_access(fields.get("parameter", 0)))
        counts = (1, counts) if isinstance(counts, int) else counts
        some = {name: words for name, words in operands.items() if words is not None}
        self.vector(self.phase, counts, some, fields, constants)

    def exponent(
        self, name: str, value: int, a: str = "", b: str = "", *, maximum: bool = False
    ) -> None:
        """EXPONENT: a register becomes the sum of a value and up to two others."""
        register, *numbers = self._registers([name, a, b], writes=True)
        fields = {key: number for key, number in zip("ab", numbers, strict=True) if number}
        fields |= {"register": register, "value": value, "maximum": int(maximum)}
        self.emitter.emit(Opcode.EXPONENT, self.phase, (), **fields)

    # Exponents in registers

    def read_exponents(self, tensor: Tensor) -> None:
        """Registers from memory."""
        self.move(Opcode.LOAD, tensor, 0, Words.at(self.aux[0]), tensor.rows)
        for word in range(tensor.rows):
            self._scale(ScaleAction.READ, self.aux[0], word, word)

    def write_exponents(self, tensor: Tensor, *, adapt: bool) -> None:
        """Registers to memory; with ``adapt`` after the controller."""
        if adapt:
            self._scale(ScaleAction.ADAPT, self.aux[0], 0, 0)
        for word in range(tensor.rows):
            self._scale(ScaleAction.WRITE, self.aux[0], word, word)
        self.move(Opcode.STORE, tensor, 0, Words.at(self.aux[0]), tensor.rows)

    def _registers(self, names: Sequence[str], *, writes: bool) -> list[int]:
        """Registers of exponents; the first may be written or noted. An empty name is 0."""
        return [self.registers[name] if name else 0 for name in names]

    def _scale(self, action: ScaleAction, bank: int, word: int, line: int) -> None:
        """SCALE of a line of registers."""
        writes = action is ScaleAction.WRITE
        touched = [] if action is ScaleAction.ADAPT else [Access(bank, word, word + 1, writes)]
        self.emitter.emit(
            Opcode.SCALE, self.phase, touched,
            action=action, bank=bank, word=word, register=line * self.config.dim,
        )  # fmt: skip
