"""Sums and products of two maps, element by element: their VECTORs."""

from __future__ import annotations

from pulsarray.compiler.ir.needs import Pair
from pulsarray.compiler.lower.epilogue import Operands, Vectors, combination
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.ops.integer.add import Add, TfliteAdd
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.elementwise import Multiply
from pulsarray.isa import Alu, VectorFlag

__all__: list[str] = []

_HALF = (1 << 30, 31)
"""A scale of one half."""
_UNLIMITED = {"low": LOW, "high": HIGH}


@traits_of.register
def _(_: Add) -> Traits:
    return Traits(second=1, joins=True)


@traits_of.register
def _(_: TfliteAdd) -> Traits:
    return Traits(second=1, joins=True, vectors=4, sums=True)


@traits_of.register
def _(_: Multiply) -> Traits:
    return Traits(second=1)


@combination.register
def _(op: Add, operands: Operands) -> Vectors:
    fields = {
        "flags": int(VectorFlag.RESIDUAL),
        "zero_a": operands.zeros[0],
        "zero_b": operands.zeros[1],
        "multiplier": op.factors[0],
        "multiplier2": op.factors[1],
        "shift": op.shift,
        "zero_target": op.offset,
        "low": op.low,
        "high": op.high,
    }
    yield {"a": operands.first, "b": operands.second, "target": operands.target}, fields


@combination.register
def _(op: Multiply, operands: Operands) -> Vectors:
    fields = {
        "alu": int(Alu.MUL),
        "zero_a": operands.zeros[0],
        "zero_b": 0,
        "multiplier": op.multiplier,
        "shift": op.shift,
        "zero_target": op.offset,
        "low": op.low,
        "high": op.high,
    }
    yield {"a": operands.first, "b": operands.second, "target": operands.target}, fields


@combination.register
def _(op: TfliteAdd, operands: Operands) -> Vectors:
    """By way of words of an accumulator bank.

    The input of the larger scale counts exactly one half, so what it adds is its code times 2^19;
    the other one takes two roundings of its own.
    """
    sums, zeros, maps = operands.sums, operands.zeros, (operands.first, operands.second)
    assert sums is not None
    exact = 0 if op.scales[0] == _HALF else 1
    rounded = 1 - exact
    widened = {"zero_a": zeros[rounded], "shift": -20}
    yield {"a": maps[rounded], "acc": sums}, widened | _UNLIMITED
    yield {"a": sums, "acc": sums}, _tflite(op.scales[rounded]) | _UNLIMITED
    half = {"alu": int(Alu.PASS), "zero_b": zeros[exact], "multiplier2": 1 << 19}
    flags = {"flags": int(VectorFlag.RESIDUAL)}
    yield {"a": sums, "b": maps[exact], "acc": sums}, flags | half | _UNLIMITED
    limits = {"zero_target": op.offset, "low": op.low, "high": op.high}
    yield {"a": sums, "target": operands.target}, _tflite(op.total) | limits


def _tflite(scale: Pair) -> dict[str, int]:
    """Fields that scale as TensorFlow Lite does."""
    return {"flags": int(VectorFlag.TFLITE), "multiplier": scale[0], "shift": scale[1]}
