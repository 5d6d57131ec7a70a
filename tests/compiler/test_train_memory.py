"""The scratchpad as a cache: places, what gives way, and what a VECTOR still writes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pulsarray.compiler.machine.banks import Space
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.errors import InputError
from pulsarray.isa import Bank, Opcode
from tests.compiler.training_cases import SMALL

CONFIG = replace(SMALL, scratchpad_depth=64)
ACC = int(Bank.ACCUMULATOR)


def cache(banks: int = 2) -> Cache:
    chip = TrainChip(CONFIG, {"x": 1}, {}, CONFIG.accumulator_depth)
    return Cache(chip, Layout(CONFIG), Space(range(banks), CONFIG.scratchpad_depth))


def test_a_space_gives_back_what_it_takes() -> None:
    space = Space([3], 10)
    places = [space.take(size) for size in (4, 4, 2)]
    assert places == [(3, 0), (3, 4), (3, 8)]
    assert space.take(1) is None
    space.give(3, 4, 4)
    space.give(3, 0, 4)
    assert space.take(8) == (3, 0)


def test_what_was_used_longest_ago_gives_way_and_comes_back() -> None:
    held = cache()
    maps = [held.place(f"m{n}", 32, (1, 1, 4)) for n in range(5)]
    for one in maps[:4]:
        held.new(one.segments[0])
    held.get(maps[0].segments[0])
    held.new(maps[4].segments[0])
    assert maps[1].segments[0].place is None
    assert held.spilled == ["m1"]
    held.get(maps[1].segments[0])
    ops = [operation.op for operation in held.chip.emitter.operations]
    assert ops.count(Opcode.LOAD) == 1
    assert ops[0] is Opcode.STORE


def test_what_is_half_computed_stays() -> None:
    held = cache(1)
    half = held.place("half", 16, (1, 1, 8))
    held.new(half.segments[0], 1)
    whole = held.place("whole", 16, (1, 1, 4))
    held.new(whole.segments[0])
    held.new(held.place("next", 32, (1, 1, 4)).segments[0])
    assert half.segments[0].place is not None
    assert whole.segments[0].place is None


def test_too_much_at_once_is_refused() -> None:
    held = cache(1)
    first = held.new(held.place("first", 40, (1, 1, 4)).segments[0])
    with pytest.raises(InputError, match="use a smaller batch"):
        held.new(held.place("second", 40, (1, 1, 4)).segments[0], pinned=[first])


def test_operands_that_are_read_at_once_are_moved_apart() -> None:
    held = cache()
    one, two = (held.place(name, 16, (1, 1, 4)).segments[0] for name in ("one", "two"))
    held.new(one)
    held.new(two, avoid=[1 - one.bank])
    assert one.bank == two.bank
    held.part(one, two)
    assert one.bank != two.bank
    assert held.chip.emitter.operations[-1].op is Opcode.VECTOR


@pytest.mark.parametrize(
    ("rows", "between", "waits"),
    [(4, 0, True), (9, 0, False), (4, 4, True), (4, 20, False), (8, 0, True)],
)
def test_a_vector_waits_for_words_that_are_on_their_way(
    rows: int, between: int, waits: bool
) -> None:
    chip = TrainChip(CONFIG, {}, {}, CONFIG.accumulator_depth)
    here, there = Words.at(ACC), Words.at(ACC + 1)
    chip.compute(rows, here, acc=there)
    if between:
        chip.compute(between, Words.at(0), target=Words.at(1))
    chip.compute(rows, there, acc=Words.at(ACC + 2))
    assert bool(chip.emitter.operations[-1].wait) is waits


def test_another_order_waits_for_the_whole() -> None:
    chip = TrainChip(CONFIG, {}, {}, CONFIG.accumulator_depth)
    chip.compute(20, Words.at(ACC), acc=Words.at(ACC + 1))
    chip.compute(1, Words.at(ACC + 1, 19), acc=Words.at(ACC + 2))
    assert chip.emitter.operations[-1].wait
