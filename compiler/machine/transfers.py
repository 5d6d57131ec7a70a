"""LOAD and STORE of parts of tensors, with what they touch on both sides."""

from __future__ import annotations

from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.emitter import MEMORY, Emitter, spans
from pulsarray.config import Config
from pulsarray.isa import Opcode
from pulsarray.program import Tensor

__all__ = ["REWRITTEN", "Transfers", "least_run"]

REWRITTEN = ("intermediate", "state")
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
        rows: int,
        blocks: int = 1,
        local_stride: int = 0,
        memory_stride: int = 0,
        *,
        op: Opcode = Opcode.LOAD,
    ) -> None:
        """LOAD ``rows`` words of each of ``blocks`` blocks of a tensor, from its word ``word`` on.

        They go to the bank from word ``local`` on, blocks ``local_stride`` apart there and
        ``memory_stride`` in the tensor. With ``op`` STORE they come from there.
        """
        size, writes = 1 if tensor.element == "code" else 4, op is Opcode.STORE
        fields = {"address": tensor.address + word * size * self.config.word_bytes}
        if blocks == 1 or local_stride == memory_stride == rows:
            fields |= {"run": rows * blocks}  # Blocks that touch on both sides are one run.
        else:
            fields |= {"run": rows, "count1": blocks, "local_stride1": local_stride}
            fields |= {"memory_stride1": memory_stride * size}
        accesses = spans(bank, local, rows, blocks, local_stride, write=not writes)
        if tensor.role in REWRITTEN:  # The others need no order.
            number = MEMORY + self.number(tensor)
            accesses += spans(number, word, rows, blocks, memory_stride, write=writes)
        self.emitter.emit(op, layer, accesses, bank=bank, local=local, **fields)

    def number(self, tensor: Tensor) -> int:
        """A number for a tensor, always the same."""
        return self._tensors.setdefault(tensor.name, len(self._tensors))
