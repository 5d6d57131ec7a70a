"""Every burst of a run with its address and its times on the bus (docs/machine.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pulsarray.config import Config
from pulsarray.isa import Instruction, Opcode
from pulsarray.model.channels import Bursts, ReadChannel, WriteChannel
from pulsarray.model.timing import TimingModel
from pulsarray.program import Program
from pulsarray.run import RunResult

__all__ = ["Transfer", "traced"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A burst.

    Parameters
    ----------
    write
        Whether it is written.
    address, size
        In bytes.
    asked
        The cycle in which a read's address is on the bus; of a write, that of its last beat.
    first, last
        Cycles of a read's first and last beat; of a write both are that of its response.
    """

    write: bool
    address: int
    size: int
    asked: int
    first: int
    last: int


class _Reads(ReadChannel):
    """A read channel that notes grants: whether LOAD's, cycle, first beat, last beat."""

    def __init__(self, latency: int, interval: int, outstanding: int) -> None:
        super().__init__(latency, interval, outstanding)
        self.notes: list[tuple[bool, int, int, int]] = []
        self._loads = False

    def grant(self, cycle: int, beats: int) -> int:
        first = super().grant(cycle, beats)
        self.notes.append((self._loads, cycle, first, self.last))
        return first

    def grant_from(self, cycle: int, bursts: Sequence[int], number: int, horizon: int) -> int:
        self._loads = True
        while number < len(bursts) and cycle <= horizon:
            self.grant(cycle, bursts[number])
            number += 1
            cycle = self.earliest(self.free)
        self._loads = False
        return number


class _Writes(WriteChannel):
    """A write channel that notes last beats and responses."""

    def __init__(self, latency: int, interval: int, outstanding: int) -> None:
        super().__init__(latency, interval, outstanding)
        self.notes: list[tuple[int, int]] = []

    def transfer(self, start: int, lengths: Sequence[int]) -> tuple[int, int]:
        end, response = start, 0
        for beats in lengths:
            end, response = super().transfer(end, (beats,))
            self.notes.append((end + 2, response))
        return end, response


def traced(
    program: Program, *, memory_latency: int, memory_interval: int
) -> tuple[RunResult, list[Transfer]]:
    """The timing of a run, and its bursts in the order in which they are asked for.

    Parameters
    ----------
    program
        The program.
    memory_latency, memory_interval
        L and I of the memory.

    Raises
    ------
    ProgramError
        If the machine would stop with an error.
    """
    outstanding = program.config.outstanding
    reads = _Reads(memory_latency, memory_interval, outstanding)
    writes = _Writes(memory_latency, memory_interval, outstanding)
    result = TimingModel.of(program).run_on(reads, writes)
    transfers = [*_reads(program, reads), *_writes(program, writes)]
    return result, sorted(transfers, key=lambda transfer: (transfer.asked, transfer.write))


def _reads(program: Program, channel: _Reads) -> Iterator[Transfer]:
    size = program.config.fetch_bytes
    fetches = ((address, size) for address in range(program.code_address, 1 << 32, size))
    loads = _bursts(program, Opcode.LOAD)
    for is_load, granted, first, last in channel.notes:
        address, bytes_ = next(loads if is_load else fetches)
        yield Transfer(False, address, bytes_, granted + 1, first, last)


def _writes(program: Program, channel: _Writes) -> Iterator[Transfer]:
    for (address, size), (last, response) in zip(
        _bursts(program, Opcode.STORE), channel.notes, strict=True
    ):
        yield Transfer(True, address, size, last, response, response)


def _bursts(program: Program, opcode: Opcode) -> Iterator[tuple[int, int]]:
    """Address and bytes of every burst of the instructions of a kind, in order."""
    lengths, config = Bursts(program.config), program.config
    for instruction in program.instructions:
        if instruction.op is opcode:
            yield from _instruction(instruction, lengths.lengths(instruction), config)


def _instruction(
    instruction: Instruction, lengths: Sequence[int], config: Config
) -> Iterator[tuple[int, int]]:
    """The same of an instruction: beats in order, run after run."""
    runs = instruction["count0"] * instruction["count1"]
    size = sum(lengths) * config.bus_bytes // runs
    left = iter(lengths)
    for outer in range(instruction["count0"]):
        for inner in range(instruction["count1"]):
            step = outer * instruction["memory_stride0"] + inner * instruction["memory_stride1"]
            begin = address = instruction["address"] + step * config.word_bytes
            while address < begin + size:
                beats = next(left)
                yield address, beats * config.bus_bytes
                address += beats * config.bus_bytes
