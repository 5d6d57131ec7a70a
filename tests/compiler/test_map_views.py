"""Words of feature maps: areas, views, and the ranges that loop nests touch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from pulsarray.compiler.machine.emitter import MEMORY, accesses
from pulsarray.compiler.machine.loops import merged
from pulsarray.compiler.machine.views import Area, Stored, View

NESTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40)), max_size=5)
RANGE = st.tuples(st.integers(0, 5), st.integers(1, 4)).map(lambda r: (r[0], r[0] + r[1]))


def touched(loops: list[tuple[int, int]], base: int = 0) -> set[int]:
    """Every word of a loop nest."""
    places = product(*(range(count) for count, _ in loops))
    return {base + sum(i * s for i, (_, s) in zip(p, loops, strict=True)) for p in places}


@st.composite
def areas(draw: st.DrawFn) -> Area:
    return Area(draw(RANGE), draw(RANGE), draw(RANGE), draw(RANGE))


def pixels(area: Area) -> list[tuple[int, ...]]:
    """Block, image, row and column of every word, in order."""
    ranges = (area.blocks, area.images, area.rows, area.columns)
    return list(product(*(range(*r) for r in ranges)))


def inside(stored: Stored, area: Area) -> Area:
    """The part of an area that a map has."""
    limits = (stored.blocks, stored.images, stored.height, stored.width)
    ranges = (area.blocks, area.images, area.rows, area.columns)
    cut = [(min(r[0], n - 1), min(r[1], n)) for r, n in zip(ranges, limits, strict=True)]
    return Area(cut[0], cut[1], cut[2], cut[3])


@given(NESTS)
def test_merged_nest_visits_the_same_words_in_the_same_order(nest: list[tuple[int, int]]) -> None:
    def order(loops: Sequence[tuple[int, ...]]) -> list[int]:
        places = product(*(range(count) for count, _ in loops))
        return [sum(i * s for i, (_, s) in zip(p, loops, strict=True)) for p in places]

    fewer = merged(nest)
    assert order(fewer) == order(nest)
    assert len(fewer) <= len(nest)
    assert all(count > 1 for count, _ in fewer)


def test_packed_nest_is_one_level() -> None:
    assert merged([(2, 60), (3, 20), (1, 7), (4, 5), (5, 1)]) == [(120, 1)]
    assert merged([(1, 9), (1, 3)]) == []


@given(NESTS, st.integers(0, 99), st.booleans())
def test_accesses_cover_the_words(nest: list[tuple[int, int]], base: int, write: bool) -> None:
    words = touched(nest, base)
    touches = list(accesses(3, base, nest, write=write))
    covered = {word for a in touches for word in range(a.low, a.high)}
    assert words <= covered
    assert min(covered) == min(words)
    assert max(covered) == max(words)
    assert all((a.bank, a.write, a.exclusive) == (3, write, False) for a in touches)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 6))
def test_accesses_leave_out_the_gaps_between_runs(count: int, run: int, gap: int) -> None:
    nest = [(count, run + gap), (run, 1)]
    covered = {w for a in accesses(0, 7, nest, write=False) for w in range(a.low, a.high)}
    assert covered == touched(nest, 7)


def test_many_runs_are_one_range() -> None:
    assert len(list(accesses(0, 0, [(65, 10), (3, 1)], write=False))) == 1
    assert len(list(accesses(0, 0, [(64, 10), (3, 1)], write=False))) == 64


@given(areas())
def test_counts_of_an_area(area: Area) -> None:
    assert area.words == len(pixels(area))
    assert area.pixels * area.counts[0] == area.words


@given(areas(), st.integers(0, 99))
def test_view_of_an_area_is_packed(area: Area, base: int) -> None:
    view = View.of(5, base, area)
    assert [view.word(*p) for p in pixels(area)] == list(range(base, base + area.words))
    assert view.first(area) == base
    (only,) = view.accesses(area, write=True)
    assert (only.bank, only.low, only.high, only.write) == (5, base, base + area.words, True)


@given(areas(), st.integers(1, 4), st.integers(0, 9))
def test_view_reaches_beyond_its_origin(area: Area, step: int, base: int) -> None:
    view = View.of(0, base, area)
    first = (area.blocks[0], area.images[0], area.rows[0], area.columns[0])
    left = view.word(*first[:3], first[3] - step)
    above = view.word(*first[:2], first[2] - step, first[3])
    assert left == base - step
    assert above == base - step * area.counts[3]


@given(areas(), st.integers(1, 9), st.integers(0, 4), st.integers(0, 50))
def test_stored_map(area: Area, columns: int, block: int, base: int) -> None:
    whole = Stored(images=4, height=7, width=columns, blocks=5, channels=37)
    part = Stored(4, 7, columns, 5, 37, bank=2, base=base, block=block)
    cut = inside(part, area)
    order = pixels(whole.whole)
    assert len(order) == 5 * whole.steps[0]
    assert [whole.view.word(*p) for p in order] == list(range(len(order)))
    offset = block * whole.steps[0]
    assert part.view.first(cut) == base + part.word(cut)
    assert part.word(cut) == offset + whole.word(cut)
    assert whole.word(cut) == order.index(pixels(cut)[0])
    words = {offset + order.index(p) for p in pixels(cut)}
    for reached, start in (
        (part.view.accesses(cut, write=False), base),
        (part.in_memory(cut, 6, write=False), 0),
    ):
        covered = {word - start for a in reached for word in range(a.low, a.high)}
        assert words <= covered
        assert (min(covered), max(covered)) == (min(words), max(words))
    assert {a.bank for a in part.in_memory(cut, 6, write=True)} == {MEMORY + 6}


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.data())
def test_every_so_many_rows_and_columns(
    images: int, height: int, width: int, data: st.DataObject
) -> None:
    whole = Stored(images, height, width, 2, 9, bank=1, base=11, block=1)
    every = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    seen: list[int] = []
    for phase in product(range(min(every[0], height)), range(min(every[1], width))):
        part = whole.part(every, (phase[0], phase[1]))
        for block, image, row, column in pixels(part.whole):
            place = (block, image, row * every[0] + phase[0], column * every[1] + phase[1])
            word = part.view.word(block, image, row, column)
            assert word == whole.view.word(*place)
            one = Area(*((n, n + 1) for n in (block, image, row, column)))
            assert part.word(one) == word - whole.base
            seen.append(word)
    assert sorted(seen) == [whole.view.word(*p) for p in pixels(whole.whole)]
