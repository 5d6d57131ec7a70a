"""LOAD and STORE of parts of tensors, with what they touch on both sides."""

from __future__ import annotations

from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.emitter import MEMORY, Access, Emitter, spans
from pulsarray.config import Config
from pulsarray.isa import Opcode
from pulsarray.program import Tensor

__all__ = ["Transfers", "least_run"]

_REWRITTEN = ("intermediate", "state")
"""Roles of tensors that one program may both read and write."""


def least_run(config: Config) -> int:
    """Words of a burst from which on the bursts under way at once hide the memory's latency."""
    return -(-ASSUMED_LATENCY // (config.outstanding * config.beats_per_word))


class Transfers:
    """Moves words between memory and the banks.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    emitter
        Takes the instructions.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.emitter = Emitter()
        self._tensors: dict[str, int] = {}

    def load(
        self,
        layer: int,
        tensor: Tensor,
        word: int,
        bank: int,
        local: int,
        *,
        rows: int,
        blocks: int,
        local_stride: int,
        memory_stride: int,
    ) -> None:
        """LOAD ``rows`` words of each of ``blocks`` blocks of a tensor, from its word ``word`` on.

        They go to the bank from word ``local`` on, blocks ``local_stride`` apart there and
        ``memory_stride`` in the tensor.
        """
        transfer = self._transfer(tensor, word, rows, blocks, local_stride, memory_stride)
        memory = self._in_memory(tensor, word, rows, blocks, memory_stride, write=False)
        accesses = spans(bank, local, rows, blocks, local_stride, write=True) + memory
        self.emitter.emit(Opcode.LOAD, layer, accesses, bank=bank, local=local, **transfer)

    def store(
        self,
        layer: int,
        tensor: Tensor,
        word: int,
        bank: int,
        local: int,
        *,
        rows: int,
        blocks: int,
        local_stride: int,
        memory_stride: int,
    ) -> None:
        """STORE, as :meth:`load`."""
        transfer = self._transfer(tensor, word, rows, blocks, local_stride, memory_stride)
        memory = self._in_memory(tensor, word, rows, blocks, memory_stride, write=True)
        accesses = spans(bank, local, rows, blocks, local_stride, write=False) + memory
        self.emitter.emit(Opcode.STORE, layer, accesses, bank=bank, local=local, **transfer)

    def _transfer(
        self,
        tensor: Tensor,
        word: int,
        rows: int,
        blocks: int,
        local_stride: int,
        memory_stride: int,
    ) -> dict[str, int]:
        """Fields of a transfer; blocks that touch on both sides become one run."""
        size = 1 if tensor.element == "code" else 4
        fields = {"address": tensor.address + word * size * self.config.word_bytes}
        if blocks == 1 or local_stride == memory_stride == rows:
            return fields | {"run": rows * blocks}
        return fields | {
            "run": rows,
            "count1": blocks,
            "local_stride1": local_stride,
            "memory_stride1": memory_stride * size,
        }

    def _in_memory(
        self, tensor: Tensor, word: int, rows: int, blocks: int, stride: int, *, write: bool
    ) -> list[Access]:
        """Words of a tensor that is written and read; the others need no order."""
        if tensor.role not in _REWRITTEN:
            return []
        bank = MEMORY + self._tensors.setdefault(tensor.name, len(self._tensors))
        return spans(bank, word, rows, blocks, stride, write=write)
