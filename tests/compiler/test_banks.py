"""Slots and the blocks in them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.compiler.machine.banks import BlockCache, Pool, Slot


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(16, 40),
    st.lists(st.tuples(st.integers(1, 16), st.integers(1, 12)), max_size=5),
)
def test_slots_are_disjoint_and_enough(
    banks: int, depth: int, layers: list[tuple[int, int]]
) -> None:
    pool = Pool(range(banks), depth)
    for size, limit in layers:
        slots = pool.carve(size, limit)
        assert len(slots) == min(limit, banks * (depth // size)) or len(slots) >= 1
        words = [(s.bank, s.base + k) for s in slots for k in range(size)]
        assert len(set(words)) == len(words)
        assert all(b < banks and w < depth for b, w in words)


def test_next_layer_starts_where_the_last_one_stopped() -> None:
    pool = Pool((0,), 32)
    assert pool.carve(8, 2) == [Slot(0, 0), Slot(0, 8)]
    assert pool.carve(8, 2) == [Slot(0, 16), Slot(0, 24)]


def test_block_used_again_stays() -> None:
    cache = BlockCache([Slot(0, 0), Slot(0, 8)], ["a", "b", "a"])
    cache.find("a", 0).loaded.add(0)
    cache.find("b", 1)
    assert cache.find("a", 2).loaded == {0}


def test_block_of_the_last_step_is_not_thrown_out() -> None:
    cache = BlockCache([Slot(0, 0), Slot(0, 8)], ["a", "b", "c", "a"])
    slot = cache.find("a", 0).slot
    cache.find("b", 1)
    assert cache.find("c", 2).slot == slot


def test_furthest_use_is_thrown_out() -> None:
    slots = [Slot(0, k) for k in (0, 8, 16)]
    cache = BlockCache(slots, ["a", "b", "c", "d", "a", "b"])
    slots_used = [cache.find(key, step).slot for step, key in enumerate("abc")]
    assert cache.find("d", 3).slot == slots_used[1]
