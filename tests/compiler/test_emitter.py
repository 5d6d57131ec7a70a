"""Which semaphores follow from what instructions touch."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import pytest

from pulsarray.compiler.machine.emitter import Access, Emitter, Operation, spans
from pulsarray.config import QUEUE_MAX, SEMAPHORE_MAX
from pulsarray.isa import FORMATS, Bank, Opcode, Unit
from pulsarray.model.plan import bits

LOAD, WEIGHT, STREAM, VECTOR = Opcode.LOAD, Opcode.WEIGHT, Opcode.STREAM, Opcode.VECTOR
STORE = Opcode.STORE


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
    awaited = masks(*loads, (STREAM, [read(0, 0, 16)]), (STREAM, [read(0, 0, 8)]))
    assert awaited == [(0, 0), (0, 1), (1, 0), (0, 0)]


def test_each_pair_of_units_has_its_semaphore() -> None:
    steps = ((LOAD, [write(0, 0, 8)]), (LOAD, [write(1, 0, 8)]))
    awaited = masks(*steps, (WEIGHT, [read(0, 0, 8)]), (STREAM, [read(1, 0, 8)]))
    assert awaited == [(0, 1), (0, 2), (1, 0), (2, 0)]


def test_spans_join_what_touches() -> None:
    assert spans(0, 5, 4, 3, 4, write=True) == [write(0, 5, 17)]
    assert spans(0, 5, 2, 2, 4, write=True) == [write(0, 5, 7), write(0, 9, 11)]


STORE = Opcode.STORE


def test_what_follows_from_another_wait_is_not_awaited() -> None:
    """STORE comes after VECTOR, which came after LOAD: one wait is enough."""
    awaited = masks(
        (LOAD, [write(0, 0, 8)]),
        (VECTOR, [read(0, 0, 8), write(0, 0, 8)]),
        (STORE, [read(0, 0, 8)]),
    )
    assert awaited == [(0, 1), (1, 2), (2, 0)]


def test_an_instruction_may_wait_for_one_of_its_own_unit() -> None:
    emitter = Emitter()
    first = emitter.emit(VECTOR, 0, [write(0, 0, 1)])
    emitter.emit(VECTOR, 0, [read(0, 0, 1)], after=first)
    assert [(o.wait, o.signal) for o in emitter.operations] == [(0, 1), (1, 0)]


def test_pairs_beyond_the_semaphores_go_through_the_vector_unit() -> None:
    units = (LOAD, WEIGHT, STREAM, VECTOR, STORE)
    emitter = Emitter()
    for number, first in enumerate(units):
        for other, second in enumerate(units):
            if first is not second:
                bank = 5 * number + other
                emitter.emit(first, 0, [write(bank, 0, 1)])
                emitter.emit(second, 0, [read(bank, 0, 1)])
    operations = emitter.operations
    relays = [o for o in operations if o.op is Opcode.EXPONENT]
    assert relays
    assert all(o.wait and o.signal and o.fields["maximum"] for o in relays)
    waiters: dict[int, Opcode] = {}
    for operation in operations:
        for k in range(16):
            if operation.wait >> k & 1:
                op = VECTOR if operation.op is Opcode.EXPONENT else operation.op
                assert waiters.setdefault(k, op) is op
    total = [sum(o.signal >> k & 1 for o in operations) for k in range(16)]
    assert total == [sum(o.wait >> k & 1 for o in operations) for k in range(16)]


def run_ahead(operations: Sequence[Operation], order: Sequence[Unit]) -> int:
    """The largest count of a semaphore where units that come first in ``order`` never wait."""
    queues = {unit: deque(o for o in operations if FORMATS[o.op].unit is unit) for unit in order}
    counts, largest = Counter[int](), 0
    while any(queues.values()):
        ready = (q for q in queues.values() if q and all(counts[k] for k in bits(q[0].wait)))
        operation = next(ready).popleft()
        counts.subtract(bits(operation.wait))
        counts.update(bits(operation.signal))
        largest = max([largest, *counts.values()])
    assert not any(counts.values())
    return largest


@pytest.mark.parametrize("ahead", [1, 7, 400])
@pytest.mark.parametrize("consumer", [STREAM, STORE, WEIGHT])
def test_no_count_overflows_however_far_a_unit_runs_ahead(ahead: int, consumer: Opcode) -> None:
    emitter = Emitter()
    for start in range(0, 1200, ahead):
        for word in range(start, start + ahead):
            emitter.emit(LOAD, 0, [write(0, word, word + 1)])
        for word in range(start, start + ahead):
            emitter.emit(consumer, 0, [read(0, word, word + 1), write(1, word, word + 1)])
            emitter.emit(VECTOR, 0, [read(1, word, word + 1), write(2, word, word + 1)])
    orders = [[*Unit][first:] + [*Unit][:first] for first in range(len(Unit))]
    largest = [run_ahead(emitter.operations, order) for order in orders]
    assert 40 < max(largest) <= SEMAPHORE_MAX - QUEUE_MAX - 1
