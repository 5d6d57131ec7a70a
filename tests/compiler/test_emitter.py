"""Which semaphores follow from what instructions touch."""

from __future__ import annotations

from pulsarray.compiler.emitter import Access, Emitter, spans
from pulsarray.isa import Bank, Opcode

LOAD, WEIGHT, STREAM, VECTOR = Opcode.LOAD, Opcode.WEIGHT, Opcode.STREAM, Opcode.VECTOR


def read(bank: int, low: int, high: int) -> Access:
    return Access(bank, low, high, write=False)


def write(bank: int, low: int, high: int) -> Access:
    return Access(bank, low, high, write=True)


def masks(*steps: tuple[Opcode, list[Access]]) -> list[tuple[int, int]]:
    emitter = Emitter()
    for op, accesses in steps:
        emitter.emit(op, 0, accesses)
    return [(o.wait, o.signal) for o in emitter.operations]


def test_read_after_write_waits() -> None:
    assert masks((LOAD, [write(0, 0, 8)]), (WEIGHT, [read(0, 4, 12)])) == [(0, 1), (1, 0)]


def test_disjoint_words_do_not_wait() -> None:
    assert masks((LOAD, [write(0, 0, 8)]), (WEIGHT, [read(0, 8, 16)])) == [(0, 0), (0, 0)]


def test_write_after_read_waits() -> None:
    assert masks((WEIGHT, [read(0, 0, 8)]), (LOAD, [write(0, 7, 9)])) == [(0, 1), (1, 0)]


def test_same_unit_never_waits() -> None:
    assert masks((LOAD, [write(0, 0, 8)]), (LOAD, [write(0, 0, 8)])) == [(0, 0), (0, 0)]


def test_two_readers_share_a_port() -> None:
    assert masks((WEIGHT, [read(0, 0, 8)]), (STREAM, [read(0, 50, 60)])) == [(0, 1), (1, 0)]


def test_parameter_bank_has_no_ports() -> None:
    steps = ((LOAD, [write(Bank.PARAMETER, 0, 4)]), (VECTOR, [read(Bank.PARAMETER, 4, 8)]))
    assert masks(*steps) == [(0, 0), (0, 0)]


def test_stream_holds_both_ports_of_its_target() -> None:
    target = Access(Bank.ACCUMULATOR, 0, 4, write=True, exclusive=True)
    steps = ((STREAM, [target]), (VECTOR, [read(Bank.ACCUMULATOR, 9, 10)]))
    assert masks(*steps) == [(0, 1), (1, 0)]


def test_only_the_latest_producer_is_awaited() -> None:
    loads = [(LOAD, [write(0, 0, 8)]), (LOAD, [write(0, 8, 16)])]
    found = masks(*loads, (STREAM, [read(0, 0, 16)]), (STREAM, [read(0, 0, 8)]))
    assert found == [(0, 0), (0, 1), (1, 0), (0, 0)]


def test_each_pair_of_units_has_its_semaphore() -> None:
    steps = ((LOAD, [write(0, 0, 8)]), (LOAD, [write(1, 0, 8)]))
    found = masks(*steps, (WEIGHT, [read(0, 0, 8)]), (STREAM, [read(1, 0, 8)]))
    assert found == [(0, 1), (0, 2), (1, 0), (2, 0)]


def test_spans_join_what_touches() -> None:
    assert spans(0, 5, 4, 3, 4, write=True) == [write(0, 5, 17)]
    assert spans(0, 5, 2, 2, 4, write=True) == [write(0, 5, 7), write(0, 9, 11)]
