"""Whether two runs of one program are identical, and where they first differ."""

from __future__ import annotations

import numpy as np

from pulsarray.errors import CheckFailed
from pulsarray.program import Program, Tensor
from pulsarray.run import EVENT_FIELDS, RunResult

__all__ = ["compare", "require_identical"]


def compare(expected: RunResult, got: RunResult, program: Program) -> list[str]:
    """The first difference of each kind, in words; empty if the runs are identical.

    Kinds: values (every byte of memory, where both have memory), cycles, counters, events (where
    the configuration has counters and trace).
    """
    differences = [_memory(expected, got, program)]
    if program.config.counters:
        differences += [_cycles(expected, got), _counters(expected, got)]
    if program.config.trace:
        differences.append(_events(expected, got, program))
    return [text for text in differences if text]


def require_identical(expected: RunResult, got: RunResult, program: Program) -> None:
    """Compare two runs.

    Raises
    ------
    CheckFailed
        If they differ; the text gives the first difference of each kind.
    """
    differences = compare(expected, got, program)
    if differences:
        raise CheckFailed("; ".join(differences))


def _memory(expected: RunResult, got: RunResult, program: Program) -> str:
    if expected.memory is None or got.memory is None:
        return ""
    if expected.memory.size != got.memory.size:
        return f"memory: {expected.memory.size} bytes expected, {got.memory.size} got"
    wrong = np.flatnonzero(expected.memory != got.memory)
    if not wrong.size:
        return ""
    first = int(wrong[0])
    place = place_of(first, program)
    return (
        f"values: {wrong.size} bytes differ, first {place}: "
        f"expected {expected.memory[first]:#04x}, got {got.memory[first]:#04x} from {got.source}"
    )


def place_of(address: int, program: Program) -> str:
    """Name a byte of memory: its tensor, row, column and byte, or only its address."""
    for tensor in program.tensors:
        if 0 <= address - tensor.address < tensor.bytes(program.config):
            return f"at {address:#x}, {_element(address - tensor.address, tensor, program)}"
    return f"at {address:#x}, in no tensor"


def _element(offset: int, tensor: Tensor, program: Program) -> str:
    config = program.config
    code = tensor.element == "code"
    size = config.operand_bytes if code else config.acc_slot_bytes
    word, within = divmod(offset, config.word_bytes if code else config.acc_word_bytes)
    block, row = divmod(word, tensor.rows)
    lane, byte = divmod(within, size)
    column = block * config.dim + lane
    if lane >= config.dim or column >= tensor.columns:
        return f"padding of {tensor.name}[{row}], block {block}, lane {lane}, byte {byte}"
    return f"{tensor.name}[{row}, {column}] byte {byte}"


def _cycles(expected: RunResult, got: RunResult) -> str:
    if expected.cycles == got.cycles:
        return ""
    return f"cycles: expected {expected.cycles}, got {got.cycles} from {got.source}"


def _counters(expected: RunResult, got: RunResult) -> str:
    wrong = [name for name, value in expected.counters.items() if got.counters[name] != value]
    if not wrong:
        return ""
    name = wrong[0]
    return (
        f"counters: {len(wrong)} differ, first {name}: expected {expected.counters[name]}, "
        f"got {got.counters[name]} from {got.source}"
    )


def _events(expected: RunResult, got: RunResult, program: Program) -> str:
    if expected.events.shape != got.events.shape:
        return f"events: {len(expected.events)} instructions expected, {len(got.events)} got"
    wrong = np.count_nonzero(expected.events != got.events)
    if not wrong:
        return ""
    times = np.where(expected.events == got.events, np.iinfo(np.int64).max, expected.events)
    row, column = np.unravel_index(int(times.argmin()), times.shape)
    index = int(expected.events[row, 0])
    return (
        f"events: {wrong} differ, first {EVENT_FIELDS[column]} of instruction {index} "
        f"({program.instructions[index].text()}): expected cycle {expected.events[row, column]}, "
        f"got {got.events[row, column]} from {got.source}"
    )
