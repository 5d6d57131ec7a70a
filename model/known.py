"""Which words have a known value: written in this run, from words that have one themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Alu, Instruction, Opcode, VectorFlag
from pulsarray.model.addresses import stream_fresh
from pulsarray.model.history import History
from pulsarray.model.loops import Words
from pulsarray.model.uses import ADD, READ, WRITE, Selected, Use

__all__ = ["Touched", "spread"]

Touched = Sequence[tuple[Use, History, Selected]]

_STATISTIC = int(VectorFlag.STATISTIC)


def spread(instruction: Instruction, touched: Touched) -> tuple[int, int] | None:
    """Note which words an instruction gives a known value, and which not.

    Returns
    -------
    Bank and word without a known value that the instruction must not read, if there is one. VECTOR
    may read them, and makes others of them, but not for a statistic (and known ones where it
    multiplies them by a scalar of 0); STREAM may add to them.
    """
    unknown = [t for t in touched if t[0].access == READ and not t[1].known(t[2])]
    if unknown and _blanks(instruction):
        unknown = [t for t in unknown if t[0].field != "a"]
    passes = instruction.op is Opcode.VECTOR and not instruction["flags"] & _STATISTIC
    for use, bank, _ in unknown:
        if not passes or use.field not in ("a", "b"):
            rows = use.rows()
            return use.bank, int(rows[~bank.which(rows)][0])
    result = _result(unknown)
    for use, bank, words in touched:
        if use.access == WRITE:
            bank.learn(words if result is None else use.words.rows(), result)
        elif use.access == ADD and not bank.known(words):
            bank.learn(_overwritten(instruction, use), None)
    return None


def _blanks(instruction: Instruction) -> bool:
    """Whether it is a VECTOR that multiplies source 1 by nothing: what it holds does not matter."""
    if instruction.op is not Opcode.VECTOR or instruction["alu"] != Alu.MUL:
        return False
    return bool(instruction["flags"] & VectorFlag.B_SCALAR) and not instruction["scalar"]


def _result(unknown: Touched) -> npt.NDArray[np.bool_] | None:
    """For each word of a VECTOR whether it comes from known ones; None if all do."""
    common = None
    for use, bank, _ in unknown:
        known = bank.which(use.words.rows())
        common = known if common is None else common & known
    return common


def _overwritten(instruction: Instruction, use: Use) -> Words:
    """Targets of a STREAM that it does not only add to."""
    rows, fresh = use.words.rows(), stream_fresh(instruction)
    if use.inside is not None:
        fresh = fresh & use.inside()
    return rows[np.broadcast_to(fresh, rows.shape)]
