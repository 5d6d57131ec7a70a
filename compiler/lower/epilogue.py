"""From the sums of a tile to codes: VECTOR, second operands, and STORE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.constants import Constants, Sums
from pulsarray.compiler.machine.banks import Slot
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Residual
from pulsarray.errors import InputError
from pulsarray.isa import Alu, VectorFlag
from pulsarray.program import Tensor

__all__ = ["Addition", "Epilogue", "Operands", "Places", "Vectors", "combination"]

Vectors = Iterator[tuple[dict[str, Words], dict[str, int]]]
"""VECTORs: operands and fields of each."""


@dataclass(frozen=True)
class Operands:
    """Two maps, or tiles of them, to be combined element by element.

    Parameters
    ----------
    zeros, first, second
        Their zero points and words.
    sums
        Words of an accumulator bank for what is between, where the operator needs them.
    target
        Where the result goes.
    """

    zeros: tuple[int, int]
    first: Words
    second: Words
    sums: Words | None
    target: Words


@singledispatch
def combination(op: Operator, operands: Operands) -> Vectors:  # noqa: ARG001
    """The VECTORs that combine two maps; each family registers its own."""
    raise InputError(f"{op.title} combines no two maps")


@dataclass(frozen=True)
class Addition:
    """An operator that combines a tile's codes with those of another map.

    Parameters
    ----------
    op
        The operator.
    zeros
        Zero points of its inputs.
    second_first
        Whether the other map is its first input.
    """

    op: Operator
    zeros: tuple[int, int]
    second_first: bool


class Places:
    """Where tiles of a result, and of a second operand, are on chip.

    Parameters
    ----------
    chip, layer
        The machine, and the layer it works for.
    result
        Where the result goes.
    second
        Where the second operand lies; None without.
    tiles
        Every tile of the result that will be asked for.
    spare
        Whether a tile needs words beside its result.
    slots
        Tiles that the words of one must hold.
    """

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        result: Stored,
        second: Stored | None,
        tiles: Sequence[Area],
        *,
        spare: bool = False,
        slots: int = 1,
    ) -> None:
        self.chip, self.layer, self.stored, self.second = chip, layer, result, second
        size = max(tile.words for tile in tiles)
        self._slots: list[Slot] = []
        if (result.tensor is not None and not result.sums) or spare:
            assert chip.results is not None
            most = min(len(tiles), 4)
            self._slots = chip.results.carve(size * slots, most)
        self._seconds: list[Slot] = []
        if second is not None and second.tensor is not None:
            assert chip.seconds is not None
            self._seconds = chip.seconds.carve(size, min(len(tiles), 8))
        self._turn = -1

    def next(self) -> None:
        """Go on to another tile."""
        self._turn += 1

    def spare(self, area: Area) -> View:
        """Words for a tile's codes on their way."""
        slot = self._slots[self._turn % len(self._slots)]
        return View.of(slot.bank, slot.base, area)

    def result(self, area: Area) -> View:
        """Where the tile's result is written on chip."""
        return self.stored.view if self.stored.tensor is None else self.spare(area)

    def operand(self, area: Area) -> View:
        """The tile of the second operand, which is LOADed if it is in memory."""
        second = self.second
        assert second is not None
        if second.tensor is None:
            return second.view
        slot = self._seconds[self._turn % len(self._seconds)]
        return self.chip.load_area(self.layer, second, area, slot.bank, slot.base)

    def store(self, area: Area) -> None:
        """STORE the tile's result if it goes to memory."""
        if self.stored.tensor is not None:
            self.chip.store_area(self.layer, self.stored, area, self.spare(area))


class Epilogue:
    """Takes finished tiles to their place.

    Parameters
    ----------
    chip, layer
        The machine, and the layer it works for.
    places
        Where results and second operands are.
    sums
        How sums become codes.
    tiles
        Every tile in order.
    table
        Function table in memory; None without.
    residual
        Second term of the same rounding; None without.
    after
        An addition to the codes; None without.
    """

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        places: Places,
        sums: Sums,
        tiles: Sequence[Area],
        *,
        table: Tensor | None = None,
        residual: Residual | None = None,
        after: Addition | None = None,
    ) -> None:
        self.chip, self.layer, self.places, self.sums = chip, layer, places, sums
        self.residual, self.after = residual, after
        self._constants = Constants(chip, layer, places.stored, sums, tiles, table)

    def run(
        self,
        area: Area,
        bank: int,
        parts: Sequence[tuple[Area, dict[str, int]]] = (),
        within: Area | None = None,
    ) -> None:
        """Emit what follows the last step of a tile.

        ``parts`` are the areas of which it consists, with fields of their own; one if empty.
        ``within`` is what the accumulator bank holds, if that is more than the tile.
        """
        packed = View.of(bank, 0, within or area)
        if self.places.stored.sums:
            self.chip.store_area(self.layer, self.places.stored, area, packed)
            return
        self.places.next()
        fields, touched = self._constants.next(area)
        second = self._second(area)
        target = self.places.result(area) if self.after is None else self.places.spare(area)
        if self.sums.fine:
            fields = self._scale_first(area, Words.of(packed, area), fields, touched)
        if self.residual is not None:
            fields = self._with_residual(fields, self.residual)
        more = {"b": second} if self.residual is not None and second is not None else {}
        for part, part_fields in parts or ((area, {}),):
            operands = {"a": Words.of(packed, part), "target": Words.of(target, part)} | more
            self.chip.vector(self.layer, part.counts, operands, {**fields, **part_fields}, touched)
        if self.after is not None and second is not None:
            self._add(self.after, area, Words.of(packed, area), Words.of(target, area), second)
        self.places.store(area)

    def _second(self, area: Area) -> Words | None:
        """The tile of the second operand; None without."""
        if self.places.second is None:
            return None
        return Words.of(self.places.operand(area), area)

    def _scale_first(
        self, area: Area, sums: Words, fields: dict[str, int], touched: Sequence[Access]
    ) -> dict[str, int]:
        """Scale sums to codes with bits below them; fields of the VECTOR that adds offsets to them.

        Where that is the residual's, offsets are added by one between.
        """
        first_fields = {name: fields.pop(name) for name in ("flags", "parameter", "parameter_step")}
        unlimited = {"low": LOW, "high": HIGH}
        operands = {"a": sums, "acc": sums}
        self.chip.vector(self.layer, area.counts, operands, first_fields | unlimited, touched)
        offset = first_fields | {"flags": int(VectorFlag.B_LANE), "alu": int(Alu.ADD)}
        if self.residual is None:
            return {**fields, **offset, "shift": self.sums.fine}
        self.chip.vector(self.layer, area.counts, operands, offset | unlimited, touched)
        shift = self.residual.shift
        return {**fields, "multiplier": 1 << (shift - self.sums.fine), "shift": shift}

    def _with_residual(self, fields: dict[str, int], residual: Residual) -> dict[str, int]:
        """Fields of the VECTOR that adds the residual."""
        assert self.places.second is not None
        flags = fields.get("flags", 0) | VectorFlag.RESIDUAL
        second = {"zero_b": self.places.second.zero_point, "multiplier2": residual.factor}
        return {**fields, **second, "flags": flags}

    def _add(self, after: Addition, area: Area, sums: Words, codes: Words, second: Words) -> None:
        """The addition that follows: sums are no longer needed, their words are free."""
        pair = (second, codes) if after.second_first else (codes, second)
        target = Words.of(self.places.result(area), area)
        lanes = self.places.stored.lanes(area, self.chip.config.dim)
        operands = Operands(after.zeros, *pair, sums, target)
        for words, fields in combination(after.op, operands):
            self.chip.vector(self.layer, area.counts, words, fields | lanes)
