"""Saturation and rounding shifts of signed numbers, in logic no wider than 64 bits."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

__all__ = [
    "HALF",
    "WIDE",
    "clamp",
    "is_far",
    "is_positive",
    "near_sum",
    "requantize",
    "round_half_even",
    "saturate",
    "saturated_product",
    "saturated_sum",
]

WIDE = 64
"""Bits of a scaled product."""
_STEP = 32
"""The longest step of a shift, and the first."""
HALF = 1 << 30
"""Half of the unit of gemmlowp's first rounding."""

Cut = Callable[[str, str, Value], Value]
"""Puts a register ``before`` or ``behind`` the shift into a way, by name, or does not."""


def _no_cut(_: str, __: str, value: Value) -> Value:
    return value


def clamp(value: Value, low: Value | int, high: Value | int, crossed: Value | None = None) -> Value:
    """``min(max(value, low), high)``, of a width that holds the limits; ``crossed`` says that
    ``low`` is above ``high``, where somebody knows already.
    """
    low, high = Value.cast(low), Value.cast(high)
    width = max(_signed_bits(low), _signed_bits(high))
    is_below, is_above = value < low, value > high
    if len(value) > width:  # compare what is left, or the sign alone
        fits, short = ~_unlike(value[width - 1 :], value[-1]), value[:width].as_signed()
        is_below = Mux(fits, short < low, value[-1])
        is_above = Mux(fits, short > high, ~value[-1])
        value = short
    over = Mux(is_below, low > high if crossed is None else crossed, is_above)
    return Mux(over, high, Mux(is_below, low, value))


def is_positive(value: Value) -> Value:
    """``value > 0`` of a signed number, without a carry."""
    return value.any() & ~value[-1]


def _signed_bits(value: Value) -> int:
    """Bits of a number with its sign."""
    return len(value) + (not value.shape().signed)


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
        up = value[shift - 1] & (value[: shift - 1].any() | value[shift])
        return (value >> shift) + up
    return (value + _half_even_addend(value, shift)) >> shift


def is_far(tflite: Value, shift: Value) -> Value:
    """Whether a number is rounded twice: to 2^31 and after a shift of more than 31."""
    return tflite & shift[5] & ~shift[6]


def requantize(
    m: Module,
    value: Value,
    shift: Value,
    bits: int,
    tflite: Value | None,
    cut: Cut = _no_cut,
) -> Value:
    """A 64-bit number divided by a power of two, rounded, saturated.

    The number is shifted first; what falls off below decides whether one is added.

    Parameters
    ----------
    m
        Where the logic goes.
    value
        Signed; of more than 64 bits, a number beyond 64 counts as the nearest of those. Where
        :func:`is_far` holds, with :data:`HALF` added: gemmlowp's first rounding, to 2^31.
    shift
        Right shift, ``-(bits - 1)`` to 63; a negative one multiplies.
    bits
        Width of the result.
    tflite
        Round as TensorFlow Lite does instead of half to even; None where that is absent.
        (A value that its high multiply saturates is one that saturates the result.)
    cut
        Called with every value where a register may stand: before the shift and behind it.
    """
    span = 1 << (bits - 1).bit_length()  # shifts to the left are as many fewer to the right
    right, before = Signal(name="right"), Signal(signed(7), name="before")
    places = Signal(6, name="places")
    m.d.comb += [
        before.eq(shift - 1),  # where the bit lies that is rounded away
        right.eq(~before[-1]),
        places.eq(Cat(before[:5], before[5] & (right | (span == WIDE)))),
    ]
    mode = Value.cast(0 if tflite is None else tflite)
    far = Const(0, 1) if tflite is None else is_far(tflite, shift)
    near = cut("before", "near", value)
    near = Cat(near, near[-1].replicate(max(0, WIDE - len(near))))
    amount = cut("before", "places_kept", places)
    is_right = cut("before", "is_right", right)
    mode, far = cut("before", "is_tflite", mode), cut("before", "is_far", far)
    high = amount[5]
    word, above = _placed(m, near, is_right, high, span, bits + 1)
    window, below, beyond = _window(m, word, near[-1], amount[:5], bits + 1)
    # Of what was rounded to 2^31 first, bits below that do not count.
    lost = is_right & high & (near[_STEP - 1] | (near[: _STEP - 1].any() & ~far))
    below = lost | (below & ~(far & ~high))
    sign, window = cut("behind", "sign", near[-1]), cut("behind", "window", window)
    below, above = cut("behind", "below", below), cut("behind", "above", above | beyond)
    mode, far = cut("behind", "was_tflite", mode), cut("behind", "was_far", far)
    up, total = Signal(name="up"), Signal(signed(bits), name="rounded_up")
    m.d.comb += [
        up.eq(window[0] & Mux(mode, ~far | ~sign | below, below | window[1])),
        total.eq(window[1:] + up),
    ]
    wraps = ~window[-1] & total[-1]
    return Mux(above | wraps, _limit(sign, bits), total)


def _placed(
    m: Module, near: Value, right: Value, high: Value, span: int, width: int
) -> tuple[Value, Value]:
    """The first step of the shift: to the left by ``span`` unless ``right``, to the right by
    ``_STEP`` if ``high``; and whether a bit is lost above that is unlike the sign.

    Of a number beyond 64 bits, the nearest one counts: 2^63 itself, which rounds and saturates as
    the largest of them does. It has a single bit; all below it are gated.
    """
    sign, room = near[-1], width + _STEP - 1
    over, above = Signal(name="over"), Signal(name="lost_above")
    steps = {0: right & ~high, _STEP: right & high, -span: ~right & ~high}
    if span > _STEP:
        steps[_STEP - span] = ~right & high
    taken = Signal(len(steps), name="taken")
    gated, word = Signal.like(taken, name="gated"), Signal(signed(room), name="placed")
    m.d.comb += [
        over.eq(_unlike(near[WIDE - 1 : -1], sign)),
        taken.eq(Cat(steps.values())),
        gated.eq(taken & ~over.replicate(len(steps))),
    ]
    numbered = list(enumerate(steps))

    def bit(place: int, number: int) -> Value:
        if place < 0:
            return Const(0, 1)
        if place < WIDE - 1:
            return near[place] & gated[number]
        return (near[place] | over if place == WIDE - 1 else sign) & taken[number]

    def beyond(number: int, first: int) -> Value:
        bits = near[min(first, WIDE) : WIDE]
        return taken[number] & (over | _unlike(bits, sign)) if len(bits) else Const(0, 1)

    m.d.comb += [
        word.eq(Cat(Cat(bit(i + step, n) for n, step in numbered).any() for i in range(room))),
        above.eq(Cat(beyond(n, room + step) for n, step in numbered).any()),
    ]
    return word, above


def _window(
    m: Module, word: Value, sign: Value, place: Value, width: int
) -> tuple[Value, Value, Value]:
    """Bits of a number with this sign from a place on; whether any below are set, and whether the
    highest or any above differs from the sign.
    """
    below: Value = Const(0, 1)
    above: Value = Const(0, 1)
    for power in reversed(range(len(place))):
        step, moves = 1 << power, place[power]
        room = width + step - 1  # what the steps to come can reach
        stay = [word[i] if i < len(word) else sign for i in range(room + step)]
        unlike = Signal(name=f"unlike{power}")
        lost = Signal(name=f"lost{power}")
        moved = Signal(signed(room), name=f"moved{power}")
        m.d.comb += [
            moved.eq(Mux(moves, Cat(stay[step:]), Cat(stay[:room]))),
            lost.eq(moves & Cat(stay[:step]).any()),
            unlike.eq(
                _unlike(word[room + step :], sign)
                | (~moves & _unlike(word[room : room + step], sign))
            ),
        ]
        word, below, above = moved, below | lost, above | unlike
    return word, below, above | _unlike(word[-1:], sign)


def _unlike(bits: Value, sign: Value) -> Value:
    """Whether any bit is not the sign."""
    return (bits ^ sign.replicate(len(bits))).any() if len(bits) else Const(0, 1)


def near_sum(c: Value, y: Value, subtract: Value, bits: int) -> Value:
    """``c + y`` or ``c - y`` for terms of at least so many bits, between equal limits."""
    width = max(len(c), len(y))
    limit = (1 << (bits - 1)) - 1
    other = y ^ Mux(subtract, Const(-1, signed(width)), 0)
    total = (c + other + subtract)[:width].as_signed()
    overflow = (c[-1] == other[-1]) & (total[-1] != c[-1])
    return Mux(overflow, Mux(c[-1], -limit, limit), clamp(total, -limit, limit))
