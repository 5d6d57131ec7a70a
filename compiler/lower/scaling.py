"""From sums to codes: rows of parameters, tables, and what takes finished tiles to their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.lower.constants import Sums
from pulsarray.compiler.lower.epilogue import Addition, Epilogue, Places
from pulsarray.compiler.lower.lowering import Lowering
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.weights import parameter_rows
from pulsarray.compiler.machine.views import Area, Stored
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints, zero_of
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import VectorFlag
from pulsarray.program import Tensor

__all__ = ["Finish", "finish_of", "offsets_of", "sums_of", "table_of"]

Finish = Callable[[MapChip, Sequence[Area]], Epilogue]
"""Takes finished parts of a result, in a given order, to their place."""
_PER_LANE = int(VectorFlag.BIAS | VectorFlag.LANE_SCALE)


def offsets_of(name: str, weight: Array, bias: Ints, zero: int, config: Config) -> Ints:
    """What is added to each result's sums: its bias, less what the input's zero adds to them.

    Raises
    ------
    InputError
        If sums or bias may not fit an accumulator, or both together the vector unit.
    """
    axes = tuple(range(weight.ndim - 1))
    above = np.maximum(weight, 0).sum(axis=axes, dtype=np.int64)
    below = np.minimum(weight, 0).sum(axis=axes, dtype=np.int64)
    offsets = bias - zero * (above + below)
    high, low = above * HIGH + below * LOW, above * LOW + below * HIGH
    worst = max(int(np.abs(offsets).max()), int(high.max()), -int(low.min()))
    together = max(int(np.abs(high + offsets).max()), int(np.abs(low + offsets).max()))
    for reach, field in ((worst, "acc_bits"), (together, "alu_bits")):
        if reach >= 1 << (getattr(config, field) - 1):
            raise InputError(
                f"{name}: sums may reach {reach}, which {field} = {getattr(config, field)} "
                "does not hold"
            )
    return np.asarray(offsets)


def sums_of(
    lowering: Lowering,
    name: str,
    scale: Scale | None,
    offsets: Ints,
    *,
    zero: int = 0,
    together: bool = False,
) -> Sums:
    """How sums, or codes with a zero point, become codes.

    Rows of parameters are LOADed ``together`` where they fit the bank.
    """
    if scale is None:
        if offsets.any():
            raise InputError(f"{name}: sums are stored as they are, without bias and zero point")
        return Sums(None, {})
    fields = {
        "zero_a": zero,
        "zero_target": scale.zero,
        "low": scale.low,
        "high": scale.high,
        "flags": int(VectorFlag.TFLITE) if scale.tflite else 0,
    }
    if len(scale.multiplier) == 1 and not offsets.any() and not scale.fine:
        one = {"multiplier": int(scale.multiplier[0]), "shift": int(scale.shift[0])}
        return Sums(None, fields | one)
    dim, depth = lowering.config.dim, lowering.config.parameter_depth
    rows = parameter_rows(
        lowering.layout, name, offsets, scale.multiplier, scale.shift, dim, scale.offset
    )
    together = together and -(-len(offsets) // dim) <= depth
    return Sums(rows, fields, _PER_LANE, fine=scale.fine, together=together)


def table_of(lowering: Lowering, name: str, scale: Scale | None) -> Tensor | None:
    """The table of a scale in memory; None without."""
    if scale is None or scale.table is None:
        return None
    config = lowering.config
    entries = np.zeros(config.table_words * config.word_bytes, np.int8)
    entries[: len(scale.table)] = scale.table
    return lowering.layout.add_raw(f"{name}.table", entries.view(np.uint8))


def finish_of(
    lowering: Lowering,
    work: Work,
    result: Stored,
    second: Stored | None,
    sums: Sums,
    table: Tensor | None = None,
    residual: Residual | None = None,
) -> Finish:
    """What takes finished parts of a result to their place, with a second operand if it has one."""
    number, after = lowering.number, _addition(lowering, work)

    def finish(chip: MapChip, tiles: Sequence[Area]) -> Epilogue:
        places = Places(chip, number, result, second, tiles, spare=after is not None)
        return Epilogue(
            chip, number, places, sums, tiles, table=table, residual=residual, after=after
        )

    return finish


def _addition(lowering: Lowering, work: Work) -> Addition | None:
    """The addition that follows an operator."""
    if work.after is None:
        return None
    first, second = (zero_of(lowering.value(name).format) for name in work.after.inputs)
    return Addition(work.after.op, (first, second), work.second_first)
