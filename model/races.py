"""Programs whose result nobody can tell, refused: docs/machine.md, section 10.

A word is read that nothing has written in the run, or two instructions touch a word and nothing
orders them. Both are found from semaphores, order and tiles alone, never from cycles, so what is
passed gives one result with any memory and after any program.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pulsarray.errors import UnknownResult
from pulsarray.isa import Bank, Instruction, Unit
from pulsarray.model.addresses import tiles_needed
from pulsarray.model.clocks import Clock, Clocks
from pulsarray.model.history import History
from pulsarray.model.known import spread
from pulsarray.model.loops import Nest, Words
from pulsarray.model.order import in_order
from pulsarray.model.pipeline import Pipeline, overtaken
from pulsarray.model.uses import MEMORY, WRITE, Use, Uses, depth, uses
from pulsarray.program import Program
from pulsarray.stages import vector_distance
from pulsarray.symbols import symbol

__all__ = ["ordered"]


def ordered(
    program: Program, instructions: Sequence[Instruction], memory_bytes: int
) -> Sequence[Instruction]:
    """The instructions in an order that units and semaphores allow: all give the same result.

    Parameters
    ----------
    program, instructions, memory_bytes
        What :func:`~pulsarray.model.checks.check` has passed, and its result.

    Raises
    ------
    UnknownResult
        If a word is read that nothing has written, or two instructions that touch one word are
        in no order; with the index of the instruction that comes later in the program.
    ProgramError
        CYCLE_LIMIT, if the machine would wait for ever.
    """
    return _Checker(program, instructions, memory_bytes).run()


class _Checker:
    """What each bank has seen, as the instructions run one after the other."""

    def __init__(
        self, program: Program, instructions: Sequence[Instruction], memory_bytes: int
    ) -> None:
        self._program, self._config = program, program.config
        self._instructions, self._bytes = instructions, memory_bytes
        self._banks: dict[int, History] = {}
        self._uses = Uses(self._config, memory_bytes)
        self._clocks, self._pipeline = Clocks(instructions), Pipeline(self._config)
        self._ends = [
            program.code_address + end for end in accumulate(i.format.bytes for i in instructions)
        ]
        self._done: set[int] = set()
        self._tiles = False  # whether a pass has taken a tile

    def run(self) -> list[Instruction]:
        """Check every instruction."""
        done = []
        for index, instruction in in_order(self._instructions):
            self._check(index, instruction, self._clocks.advance(index, instruction))
            done.append(instruction)
        return done

    def _check(self, index: int, instruction: Instruction, clock: Clock) -> None:
        unit = instruction.format.unit
        assert unit is not None
        selected = [(use, self._bank(use.bank), words) for use, words in self._uses.of(instruction)]
        if unit is Unit.VECTOR:
            touched = [use for use, *_ in selected]
            self._check_pipeline(index, instruction, touched, clock[unit])
        elif unit is Unit.STREAM:
            self._check_tiles(index, instruction)
        for use, bank, words in selected:
            rival = bank.rival(unit, use.access, words, clock)
            if rival is not None:
                raise self._race(index, *rival, use.bank)
            if use.bank == MEMORY and use.access == WRITE:
                self._check_code(index, words, clock)
        for use, bank, words in selected:
            bank.note(unit, use.access, words, index)
        self._done.add(index)
        unknown = spread(instruction, selected)
        if unknown is not None:
            raise self._unknown(index, *unknown)

    def _bank(self, number: int) -> History:
        bank = self._banks.get(number)
        if bank is None:
            words = depth(number, self._config, self._bytes)
            bank = self._banks[number] = History(words, known=number == MEMORY)
        return bank

    def _check_pipeline(
        self, index: int, instruction: Instruction, touched: Sequence[Use], known: int
    ) -> None:
        early = self._pipeline.advance(index, instruction, touched, known)
        if early is not None:
            earlier, bank, word = early
            raise self._unordered(
                index, earlier, bank, word,
                f"VECTOR issues them fewer than {vector_distance(self._config) + 1} words apart, "
                "and nothing waits until it is written",
            )  # fmt: skip
        inside = overtaken(touched)
        if inside is not None:
            text = f"reads {_place(*inside)} at a later place than it writes it"
            raise self._refusal(index, text)

    def _check_tiles(self, index: int, instruction: Instruction) -> None:
        if tiles_needed(instruction):
            self._tiles = True
        elif not self._tiles:
            text = "keeps the active tile of weights, and no pass before it takes one"
            raise self._refusal(index, text)

    def _check_code(self, index: int, words: Nest | Words, clock: Clock) -> None:
        """What FETCH may not have read yet is not overwritten."""
        size = self._config.word_bytes
        low = self._ends[max(index, *clock)] // size
        high = -(-(self._ends[-1] + 32) // size)
        rows = words
        if isinstance(words, Nest):
            first, last = words.span()
            if last < low or first >= high:
                return
            rows = words.rows()
        assert not isinstance(rows, Nest)
        inside = rows[(rows >= low) & (rows < high)]
        if inside.size:
            address = int(inside[0]) * size
            text = f"writes the program's bytes at {address:#x}, which FETCH may still have to read"
            raise self._refusal(index, text)

    # What is said

    def _refusal(self, index: int, text: str) -> UnknownResult:
        return UnknownResult(index, f"{self._named(index)}: {text}")

    def _named(self, index: int) -> str:
        return f"instruction {index} ({self._instructions[index].text()})"

    def _race(self, index: int, other: int, word: int, bank: int) -> UnknownResult:
        first, second = sorted((index, other))
        units = [self._instructions[i].op.name for i in (first, second)]
        text = (
            f"no semaphore makes {units[1]} wait until that {units[0]}, or one after it in its "
            "unit, is complete"
        )
        return self._unordered(second, first, bank, word, text)

    def _unordered(self, index: int, earlier: int, bank: int, word: int, why: str) -> UnknownResult:
        text = f"{_place(bank, word, self._config.word_bytes)} is also"
        return self._refusal(
            index, f"{text} {self._deed(earlier, bank)} by {self._named(earlier)}: {why}"
        )

    def _deed(self, index: int, bank: int) -> str:
        touched = uses(self._instructions[index], self._config)
        writes = any(use.bank == bank and use.access & WRITE for use in touched)
        return "written" if writes else "read"

    def _unknown(self, index: int, bank: int, word: int) -> UnknownResult:
        text = (
            f"reads {_place(bank, word)}, which nothing before it in this run has written, or only "
            "from such words"
        )
        writer = self._later_writer(bank, word)
        if writer is not None:
            name = self._instructions[index].op.name
            text += f"; no semaphore makes {name} wait for {self._named(writer)}, which writes it"
        return self._refusal(index, text)

    def _later_writer(self, bank: int, word: int) -> int | None:
        for index, instruction in enumerate(self._instructions):
            for use in uses(instruction, self._config) if index not in self._done else ():
                if use.bank == bank and use.access & WRITE and word in use.rows():
                    return index
        return None


def _place(bank: int, word: int, size: int = 0) -> str:
    """A word of a bank, or the address of one in memory."""
    if bank == MEMORY:
        return f"memory at {word * size:#x}"
    if bank == Bank.PARAMETER:
        return f"parameter row {word // 4}, column {word % 4}"
    return f"word {word} of {symbol(Bank, bank)}"
