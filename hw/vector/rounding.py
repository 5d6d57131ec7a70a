"""Saturation and rounding shifts of signed numbers, in logic no wider than 64 bits."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

__all__ = [
    "WIDE",
    "clamp",
    "near_sum",
    "requantize",
    "round_half_even",
    "saturate",
    "saturated_product",
    "saturated_sum",
]

WIDE = 64
"""Bits of a scaled product."""


def clamp(value: Value, low: Value | int, high: Value | int) -> Value:
    """``min(max(value, low), high)``."""
    raised = Mux(value < low, low, value)
    return Mux(raised > high, high, raised)


def _limit(negative: Value, bits: int) -> Value:
    """The smallest or the largest signed number of so many bits."""
    return Mux(negative, Const(-(1 << (bits - 1)), signed(bits)), (1 << (bits - 1)) - 1)


def saturate(value: Value, bits: int) -> Value:
    """The nearest signed number of so many bits."""
    if len(value) <= bits:
        return value
    top = value[bits - 1 :]
    fits = top.all() | ~top.any()
    return Mux(fits, value[:bits].as_signed(), _limit(value[-1], bits))


def saturated_sum(a: Value, b: Value, bits: int) -> Value:
    """``saturate(a + b, bits)`` for terms that fit the bits, without a carry beyond them."""
    if max(len(a), len(b)) < bits:
        return a + b
    total = (a + b)[:bits]
    overflow = (a[-1] == b[-1]) & (total[-1] != a[-1])
    return Mux(overflow, _limit(a[-1], bits), total.as_signed())


def saturated_product(m: Module, a: Value, b: Value, name: str) -> Value:
    """``saturate(a * b, 64)``; a long ``a`` is multiplied in two halves."""
    if len(a) + len(b) <= WIDE:
        return a * b
    half = WIDE // 2
    low = Signal(signed(half + len(b)), name=f"{name}_low")
    high = Signal(signed(len(a) - half + len(b) + 1), name=f"{name}_high")
    m.d.comb += [low.eq(a[:half] * b), high.eq(a[half:].as_signed() * b + (low >> half))]
    top = high[half - 1 :]
    fits = top.all() | ~top.any()
    return Mux(fits, Cat(low[:half], high[:half]).as_signed(), _limit(high[-1], WIDE))


def _half_even_addend(value: Value, shift: Value) -> Value:
    """What to add before a right shift that drops the fraction, to round half to even."""
    half = (Const(1, 1) << shift)[1:]
    is_even = ~value.bit_select(shift, 1)
    return (half - (is_even & half.any()))[: len(half)]


def round_half_even(value: Value, shift: Value | int) -> Value:
    """``value / 2^shift`` rounded half to even; a shift in a register costs a carry bit more."""
    if isinstance(shift, int):
        return (value + ((1 << (shift - 1)) - 1) + value[shift]) >> shift
    return (value + _half_even_addend(value, shift)) >> shift


def _two_step_addend(value: Value, shift: Value, half: Value) -> Value:
    """The same for gemmlowp's two roundings: to 2^-31, then half away from zero.

    Both divisions are floors, so that their addends can be added before one shift.
    """
    first = 1 << 30
    is_negative = value < -first
    return Mux(shift > 31, (half + first - (is_negative << 31))[: len(half)], half)


def requantize(m: Module, value: Value, shift: Value, bits: int, tflite: Value | None) -> Value:
    """A 64-bit number divided by a power of two, rounded, saturated.

    Parameters
    ----------
    m
        Where the logic goes.
    value
        64 bits, signed.
    shift
        Right shift, ``-(bits - 1)`` to 63; a negative one multiplies.
    bits
        Width of the result.
    tflite
        Round as TensorFlow Lite does instead of half to even; None where that is absent.
        (A value that its high multiply saturates is one that saturates the result.)
    """
    amount = Signal(6)
    addend = Signal(WIDE - 1)
    total = Signal(WIDE)
    rounded = Signal(signed(WIDE))
    m.d.comb += amount.eq(shift[:6])
    even = _half_even_addend(value, amount)
    if tflite is None:
        m.d.comb += addend.eq(even)
    else:
        half = (Const(1, 1) << amount)[1:]
        m.d.comb += addend.eq(Mux(tflite, _two_step_addend(value, amount, half), even))
    # A carry beyond 64 bits is kept as the sign: without it the sum is unsigned.
    flip = Signal(WIDE)
    m.d.comb += [
        total.eq(value + addend),
        flip.eq(Mux(value[-1] & total[-1], Const(-1, WIDE), 0)),
        rounded.eq(((total ^ flip) >> amount) ^ flip),
    ]
    multiplied = _multiply_by_power(m, value, shift, bits)
    return Mux(shift < 0, multiplied, saturate(rounded, bits))


def _multiply_by_power(m: Module, value: Value, shift: Value, bits: int) -> Value:
    """``saturate(value * 2^-shift, bits)`` for a negative shift."""
    left = Signal(range(bits), name="left")
    limit = Signal(bits, name="left_limit")
    magnitude = Signal(WIDE, name="magnitude")
    m.d.comb += [
        left.eq((-shift)[: len(left)]),
        limit.eq(Const(1 << (bits - 1), bits) >> left),
        magnitude.eq(value ^ Mux(value[-1], Const(-1, WIDE), 0)),
    ]
    shifted = (value[:bits] << left)[:bits].as_signed()
    return Mux(magnitude >= limit, _limit(value[-1], bits), shifted)


def near_sum(c: Value, y: Value, subtract: Value, bits: int) -> Value:
    """``c + y`` or ``c - y`` for terms of at least so many bits, between equal limits."""
    width = max(len(c), len(y))
    limit = (1 << (bits - 1)) - 1
    other = y ^ Mux(subtract, Const(-1, signed(width)), 0)
    total = (c + other + subtract)[:width].as_signed()
    overflow = (c[-1] == other[-1]) & (total[-1] != c[-1])
    return Mux(overflow, Mux(c[-1], -limit, limit), clamp(total, -limit, limit))
