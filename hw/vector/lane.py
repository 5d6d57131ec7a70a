"""One lane of the vector unit, from operands to the result before the reduction."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.exponents import SHIFT_BITS, ShiftSum
from pulsarray.hw.vector.function_table import FunctionTable
from pulsarray.hw.vector.lane_control import control_layout
from pulsarray.hw.vector.parameters import add_columns
from pulsarray.hw.vector.rounding import (
    HALF,
    WIDE,
    clamp,
    is_far,
    is_positive,
    near_sum,
    requantize,
    round_half_even,
    saturate,
    saturated_product,
    saturated_sum,
)
from pulsarray.hw.vector.special_function import SpecialFunction
from pulsarray.isa import Activation, Alu, VectorFlag
from pulsarray.parts import vector_flags
from pulsarray.stages import vector_stages

__all__ = ["Lane", "pair", "term_bits"]

_PART = 17
"""Unsigned bits that one multiplier of a device takes (18 with a sign)."""


def pair(config: Config, more: int = 0) -> data.StructLayout:
    """A result for the scratchpad and one for the accumulator, each some bits wider."""
    return data.StructLayout(
        {"code": signed(config.operand_bits + more), "sum": signed(config.acc_bits + more)}
    )


def term_bits(config: Config) -> int:
    """Bits that the sum over all lanes has more than one result."""
    return (config.dim - 1).bit_length()


def _sum_with_carry(a: Any, b: Any, carry: Value) -> Value:
    """``a + b + carry`` in one adder: the carry is made by two bits below."""
    return (Cat(carry, a).as_signed() + Cat(carry, b).as_signed()) >> 1


def _parts(value: Value) -> list[tuple[int, Value]]:
    """A number as parts that one multiplier takes, each with the place of its lowest bit."""
    if len(value) <= _PART + value.shape().signed:
        return [(0, value)]
    high = value[_PART:]
    return [(0, value[:_PART]), (_PART, high.as_signed() if value.shape().signed else high)]


class Lane(Shared):
    """One lane's pipeline: operands, factor, operation, scale, rounding, activation, table.

    Nothing waits: a word enters every cycle. What is done in which cycle, and so where registers
    are, is said by :func:`pulsarray.stages.vector_stages`, whose names of cycles are used here.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    control
        What all lanes are told: the record of :func:`control_layout`.
    a_operand, b_operand
        What the banks gave, in cycle 1.
    slot
        What memory holds for this lane of a word for the parameter bank.
    counted
        In cycle ``reduce``: this lane is not excluded.
    term, total
        What this lane adds to the reduction, in cycle ``reduce``; the reduction, in ``result``.
    result
        What is written.
    noted
        With ``training``, in cycle ``round``: this lane counts for the statistic.
    magnitude, near_limit
        With ``training``: how large the number was that was rounded, in the cycle after ``round``;
        and whether the sum after it is near its limit, in that after ``after``. Zero if not noted.
    """

    inline = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._operand_bits, self._acc_bits = config.operand_bits, config.acc_bits
        self._scale_bits, self._alu_bits = config.scale_bits, config.alu_bits
        self._at = vector_stages(config)
        members: dict[str, Any] = {
            "control": In(control_layout(config)),
            **{f"{source}_operand": In(signed(config.acc_bits)) for source in "ab"},
            "slot": In(8 * config.acc_slot_bytes),
            "counted": In(1),
            "term": Out(pair(config, term_bits(config))),
            "total": In(pair(config)),
            "result": Out(pair(config)),
        }
        if config.training:
            members |= {"noted": In(1), "magnitude": Out(WIDE), "near_limit": Out(1)}
        super().__init__(
            members,
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            parameter_depth=config.parameter_depth,
            word_cycles=config.word_cycles,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            training=config.training,
            tflite=config.tflite,
            residual=config.residual,
            leaky=config.leaky,
            fast_clock=config.fast_clock,
        )

    def body(self, platform: Any) -> Elaboratable:
        """One step after the other; where registers stand between them is the stages' matter."""
        m = Module()
        self._constants = add_columns(m, self._config, self.control, self.slot)
        a, b = self._operands(m)
        a, b, factor = self._factor(m, a, b)
        value, residual, first_shift = self._operate(m, a, b, factor)
        value, shift = self._scale(m, value, residual, first_shift)
        rounded = self._rounding(m, value, shift)
        if self._config.training:
            rounded = self._after(m, value, rounded)
        code, total = self._finish(m, rounded)
        self._reduce(m, code, total)
        return m

    def _register(self, m: Module, cycle: int, name: str, value: Any) -> Signal:
        """A register loaded at the end of a cycle, if there is a word."""
        register = Signal.like(Value.cast(value), name=name, reset_less=True, init=0)
        with m.If(self.control.valid[cycle]):
            m.d.sync += register.eq(value)
        return register

    def _carry(self, m: Module, name: str, value: Any, start: int, end: int) -> Any:
        """A value of one cycle in a later one, or in the same."""
        for cycle in range(start, end):
            value = self._register(m, cycle, name if cycle == start else f"{name}{cycle}", value)
        return value

    def _operands(self, m: Module) -> tuple[Value, Value]:
        control, constants, at = self.control, self._constants, self._at
        other = Signal(signed(self._acc_bits), name="b_source")
        from_bank: Value = self.b_operand
        if self._config.training:
            from_bank = Mux(control.b_after, 0, from_bank)
        m.d.comb += other.eq(from_bank | Mux(control.b_lane, constants["constant"], 0))
        source = self._carry(m, "a_selected", self.a_operand, at.select, at.operands)
        other = self._carry(m, "b_selected", other, at.select, at.operands)
        a = source - control.zero_a + Mux(control.use_bias, constants["bias"], 0)
        b = other + control.b_addend
        return (
            self._carry(m, "a", a[: self._acc_bits + 2].as_signed(), at.operands, at.factor),
            self._carry(m, "b", b, at.operands, at.factor),
        )

    def _factor(self, m: Module, a: Value, b: Value) -> tuple[Value, Value, Value | None]:
        """What A may be multiplied by: B, or a derivative from the function value B."""
        factor, at = None, self._at
        if self._config.vector_multiply:
            factor = self._carry(m, "factor", self._slope(m, b), at.slope, at.operate)
        return (
            self._carry(m, "a_delayed", a, at.factor, at.operate),
            self._carry(m, "b_delayed", b, at.factor, at.operate),
            factor,
        )

    def _slope(self, m: Module, b: Value) -> Value:
        """B cut to an operand, or the derivative where B is the function's value; for other
        operations 0.

        With u = 2^F - B that of the sigmoid is u B / 2^(F - 2), that of tanh u (2^F + B) / 2^F.
        """
        at, bits = self._at, self._operand_bits
        fraction = bits - 1
        operand = Signal(signed(bits), name="b_operand")
        times, other = (Signal(signed(bits + 2), name=f"b_{name}") for name in ("times", "other"))
        is_sigmoid = self.control.factor_alu == Alu.DSIGMOID
        m.d.comb += [
            operand.eq(saturate(b, bits)),
            # 2^F + B has the sign turned, as a number without one.
            times.eq(Mux(is_sigmoid, operand << 2, Cat(operand[:-1], ~operand[-1]))),
            other.eq((1 << fraction) - operand),
        ]
        short = self._carry(m, "b_short", operand, at.factor, at.square)
        times = self._carry(m, "b_times_kept", times, at.factor, at.square)
        other = self._carry(m, "b_other_kept", other, at.factor, at.square)
        product = Signal(signed(2 * bits + 4), name="b_product")
        m.d.comb += product.eq(times * other)
        product = self._carry(m, "b_multiplied", product, at.square, at.slope)
        short = self._carry(m, "b_kept", short, at.square, at.slope)
        slope, alu = saturate(round_half_even(product, fraction), bits), self.control.slope_alu
        value = Signal(signed(bits), name="factor_value")
        if self._config.training:
            low = self._carry(m, "b_low", b[:bits].as_signed(), at.factor, at.slope)
            short = Mux(alu == Alu.SCALED, low, short)
        is_slope = (alu == Alu.DSIGMOID) | (alu == Alu.DTANH)
        is_product = is_slope | (alu == Alu.MUL)
        if self._config.training:
            is_product = is_product | (alu == Alu.SCALED)
        m.d.comb += value.eq(Mux(is_product, Mux(is_slope, slope, short), 0))
        return value

    def _operate(
        self, m: Module, a: Value, b: Value, factor: Value | None
    ) -> tuple[Value, Value, Value]:
        """The operation's result, B for a residual sum, and the shift when t is not negative."""
        at = self._at
        value = self._alu(m, a, b, factor)
        residual = saturate(b, self._operand_bits + 1)
        used = at.multiply if self._scale_bits else at.saturate
        residual = self._carry(m, "residual_value", residual, at.operate, used)
        if self._config.residual and not self._scale_bits:
            total = saturated_sum(value, residual, self._alu_bits)
            value = Mux(self.control.residual, total, value)
        return (
            self._carry(m, "value", value, at.saturate, at.choose),
            residual,
            self._carry(m, "shift_positive", self._own_shift(m, b), at.operate, at.choose),
        )

    def _own_shift(self, m: Module, b: Value) -> Value:
        """The shift of the lane, of the word, or of the instruction."""
        m.submodules.shift_sum = exponent_shift = ShiftSum(
            acc_bits=self._acc_bits, exponents=self._config.training
        )
        chosen = Signal(signed(SHIFT_BITS), name="first_shift")
        own_shift, uses_own = self._constants["shift"], self.control.use_lane_shift
        if self._config.training:
            is_scaled = self.control.alu == Alu.SCALED
            m.d.comb += exponent_shift.exponent.eq(self.control.exponent)
            scale = saturate(b[self._operand_bits :].as_signed(), len(exponent_shift.shift))
            own_shift, uses_own = Mux(is_scaled, scale, own_shift), uses_own | is_scaled
        m.d.comb += [
            exponent_shift.shift.eq(own_shift),
            chosen.eq(Mux(uses_own, exponent_shift.total, self.control.shift)),
        ]
        return chosen

    def _alu(self, m: Module, a: Value, b: Value, factor: Value | None) -> Value:
        """The first operation, saturated; one adder serves all sums and comparisons."""
        at = self._at
        result = self._carry(m, "chosen", self._sum_or_choice(m, a, b), at.operate, at.saturate)
        if factor is None:
            return saturate(result, self._alu_bits)
        product = Value.cast(saturated_product(m, a, factor, "product"))
        product = self._carry(m, "whole_product", product, at.operate, at.saturate)
        return saturate(product | result, self._alu_bits)  # one of them is 0

    def _sum_or_choice(self, m: Module, a: Value, b: Value) -> Value:
        """Everything but products: a sum of A and B or their opposites, one of them, or a bit.

        There is one adder, of A and B or not B; B - A is not (A + not B).
        """
        alu, width = self.control.alu, max(len(a), len(b)) + 1
        total = Signal(signed(width), name="total")
        result = Signal(signed(width), name="result")
        less, equal, bit = Signal(name="less"), Signal(name="equal"), Signal(name="bit")
        minus, carry, turns = Signal(name="minus"), Signal(name="carry"), Signal(name="turns")
        takes_b, takes_a, is_bit = (
            Signal(name="takes_b"),
            Signal(name="takes_a"),
            Signal(name="is_bit"),
        )
        operand_b = Signal.like(b, name="operand_b")
        chosen = Mux(takes_b, b, Mux(takes_a, a, 0))
        is_sum = (alu == Alu.ADD) | (alu == Alu.SUB) | (alu == Alu.RSUB)
        m.d.comb += [
            turns.eq(alu == Alu.RSUB),
            minus.eq(alu != Alu.ADD),
            carry.eq(minus & ~turns & (alu != Alu.GREATER)),
            operand_b.eq(b ^ minus.replicate(len(b))),
            total.eq(_sum_with_carry(a, operand_b, carry)),
            less.eq(total < 0),
            equal.eq(total == 0),
            takes_b.eq(((alu == Alu.MAX) & less) | ((alu == Alu.MIN) & ~less)),
            takes_a.eq(
                (alu == Alu.PASS)
                | (alu == Alu.MAX)
                | (alu == Alu.MIN)
                | ((alu == Alu.GATE) & is_positive(b))
            ),
            is_bit.eq((alu == Alu.EQUAL) | (alu == Alu.GREATER)),
            bit.eq(Mux(alu == Alu.EQUAL, equal, ~less) & is_bit),
            result.eq(Mux(is_sum, total ^ turns.replicate(width), chosen | bit)),
        ]
        return result

    def _scale(self, m: Module, value: Value, residual: Value, shift: Value) -> tuple[Value, Value]:
        """The product with the multiplier, and the second source's with its own; and the shift."""
        control, at = self.control, self._at
        if self._config.leaky:
            is_leaky = control.leaky & (value < 0)
            shift = Mux(is_leaky, control.shift2, shift)
        if not self._scale_bits:
            value = self._carry(m, "scaled_value", value, at.choose, at.round)
            return value, self._carry(m, "chosen_shift", shift, at.choose, at.round)
        lane_multiplier = Mux(
            control.use_lane_multiplier, self._constants["multiplier"], control.multiplier
        )
        chosen = Signal(self._scale_bits, name="chosen_multiplier")
        if self._config.leaky:
            lane_multiplier = Mux(is_leaky, control.multiplier2, lane_multiplier)
        m.d.comb += chosen.eq(lane_multiplier)
        value = self._carry(m, "multiplied", value, at.choose, at.multiply)
        chosen = self._carry(m, "multiplier", chosen, at.choose, at.multiply)
        product = Signal(signed(WIDE), name="scaled")
        m.d.comb += product.eq(self._product(m, "scaled", value, chosen))
        product = self._carry(m, "scaled_product", product, at.total, at.residual)
        early = self._carry(m, "early_shift", shift, at.choose, at.total)
        term, total = self._added_term(m, residual, early), product
        if term is not None:  # rounding saturates the sum
            total = product + self._carry(m, "added_term", term, at.total, at.residual)
        return (
            self._carry(m, "scaled_value", total, at.residual, at.round),
            self._carry(m, "chosen_shift", early, at.total, at.round),
        )

    def _added_term(self, m: Module, residual: Value, shift: Value) -> Value | None:
        """The second source's product, or 0, and what gemmlowp's first rounding adds."""
        control, half = self.control, None
        if VectorFlag.TFLITE in vector_flags(self._config):
            half = is_far(control.tflite_early, shift)
        if not self._config.residual:
            return None if half is None else Mux(half, HALF, 0)
        added = Signal.like(residual, name="added_residual")
        m.d.comb += added.eq(Mux(control.residual, residual, 0))
        return self._product(m, "residual", added, control.residual_multiplier, half)

    def _product(
        self, m: Module, name: str, value: Value, multiplier: Value, half: Value | None = None
    ) -> Value:
        """A number times a multiplier: parts as wide as a device multiplies, then their sum.

        With a ``half`` the number is short: its first part lies below :data:`HALF`, which is then
        added by what extends the part's sign.
        """
        at = self._at
        kept: dict[int, list[Value]] = {}
        for place, part in _parts(value):
            for shift, by in _parts(multiplier):
                product = Signal((part * by).shape(), name=f"{name}_{place}_{shift}")
                m.d.comb += product.eq(part * by)
                register = self._carry(m, f"{product.name}_kept", product, at.multiply, at.total)
                kept.setdefault(place + shift, []).append(register)
        outer, middle = kept[0][0], sum(kept.get(_PART, []), C(0, 1))
        if 2 * _PART in kept:
            outer = Cat(outer[: 2 * _PART], kept[2 * _PART][0]).as_signed()
        if half is not None:
            sign = outer[-1]
            above = sign.replicate(HALF.bit_length() - 1 - len(outer))
            outer = Cat(outer, above, sign ^ half, sign & ~half).as_signed()
        total = Signal((value * multiplier).shape(), name=f"{name}_total")
        m.d.comb += total.eq(outer + (middle << _PART))
        return total

    def _rounding(self, m: Module, value: Value, shift: Value) -> Value:
        is_there = VectorFlag.TFLITE in vector_flags(self._config)
        tflite = self.control.tflite if is_there else None
        amount, at = Signal(signed(7), name="amount_signed"), self._at
        m.d.comb += amount.eq(shift)
        ends = {"before": (at.round, at.window), "behind": (at.window, at.increment)}

        def cut(place: str, name: str, part: Value) -> Value:
            return Value.cast(self._carry(m, name, part, *ends[place]))

        rounded = requantize(m, value, amount, self._acc_bits, tflite, cut)
        return Value.cast(self._carry(m, "rounded", rounded, at.increment, at.after))

    def _after(self, m: Module, value: Value, rounded: Value) -> Value:
        """The second source added after the rounding; what is noted for the scale controller."""
        control, at = self.control, self._at
        other: Value = Signal(signed(self._acc_bits), name="c_source")
        half = 1 << (self._operand_bits - 1)
        c = self.b_operand - Mux(control.c_word, half, 0)
        m.d.comb += other.eq(Mux(control.b_after, c, 0))
        other = self._carry(m, "c", other, at.select, at.after)
        is_after = control.add_after | control.sub_after
        total = Signal(signed(self._acc_bits), name="after")
        size, near = Signal(WIDE, name="size"), Signal(name="near")
        counted = Signal(signed(WIDE), name="counted_value")
        sign = Mux(counted[-1], C(-1, WIDE), 0)
        m.d.comb += [
            total.eq(Mux(is_after, near_sum(other, rounded, control.sub_after, 32), rounded)),
            counted.eq(Mux(self.noted, value, 0)),
            size.eq((counted ^ sign) + counted[-1]),
            near.eq((total[24:32] == 0x7F) | (total[24:32] == 0x80)),
        ]
        noted = self._carry(m, "was_noted", self.noted, at.round, at.after)
        m.d.comb += [
            self.magnitude.eq(self._register(m, at.round, "noted_size", size)),
            self.near_limit.eq(self._register(m, at.after, "noted_near", near & noted)),
        ]
        return Value.cast(self._carry(m, "after_sum", total, at.after, at.finish))

    def _finish(self, m: Module, rounded: Value) -> tuple[Value, Value]:
        """Activation, and the table in the cycle after."""
        at, bits, control = self._at, self._operand_bits, self.control
        clamped, stepped = Signal(signed(bits), name="clamped"), Signal(signed(16), name="stepped")
        negative = Mux(rounded < 0, control.low, control.zero_target)
        is_step = control.activation == Activation.STEP
        m.d.comb += [
            clamped.eq(
                clamp(rounded + control.zero_target, control.low, control.high, control.crossed)
            ),
            stepped.eq(Mux(is_positive(rounded), control.high, negative)),
        ]
        plain: Value = clamped
        if self._config.training:
            limit = (1 << (bits - 1)) - 1
            narrow = Signal(signed(bits), name="narrow")
            m.d.comb += narrow.eq(clamp(round_half_even(rounded, bits), -limit, limit))
            plain = Mux(control.activation == Activation.NARROW, narrow, clamped)
        code: Value = Mux(is_step, saturate(stepped, bits), plain)
        total: Value = Mux(is_step, stepped, rounded)
        code = self._carry(m, "plain_code", code, at.finish, at.found)
        total = self._carry(m, "plain_sum", total, at.finish, at.found)
        if self._config.tables:
            code, total = self._look_up(m, rounded, clamped, code, total)
        return (
            self._carry(m, "last_code", code, at.found, at.reduce),
            self._carry(m, "last_sum", total, at.found, at.reduce),
        )

    def _reduce(self, m: Module, code: Value, total: Value) -> None:
        """What the reduction gets from this lane, and what is written for it."""
        control, at = self.control, self._at
        reduced = self._carry(
            m, "reduced", (control.is_max | control.is_sum) & self.counted, at.reduce, at.result
        )
        for name, value, bits in (
            ("code", code, self._operand_bits),
            ("sum", total, self._acc_bits),
        ):
            counted_term = Signal(signed(bits), name=f"own_{name}")
            term = Signal(self.term[name].shape(), name=f"term_{name}")
            kept = self._carry(m, f"kept_{name}", counted_term, at.reduce, at.result)
            lowest = ~self.counted & ~control.is_sum  # only the sign is set
            m.d.comb += [
                counted_term.eq(Mux(self.counted, value, 0)),
                term.eq(counted_term),
                self.term[name].eq(Cat(term[:-1], term[-1] | lowest)),
                self.result[name].eq(Mux(reduced, self.total[name], kept)),
            ]

    def _look_up(
        self, m: Module, rounded: Value, clamped: Value, code: Value, total: Value
    ) -> tuple[Value, Value]:
        at, control = self._at, self.control
        m.submodules.function_table = table = FunctionTable(self._config)
        argument, is_table = clamped, control.activation == Activation.TABLE
        result_code, result_sum = table.result, table.result
        if self._config.training:
            m.submodules.special = special = SpecialFunction(
                acc_bits=self._acc_bits, wait=at.look_up - at.finish
            )
            is_special = special.is_exponential | special.is_reciprocal
            m.d.comb += [
                special.enable.eq(control.valid[at.finish]),
                special.is_exponential.eq(control.activation == Activation.EXP),
                special.is_reciprocal.eq(control.activation == Activation.RECIPROCAL),
                special.sum.eq(rounded),
                special.value.eq(table.result),
            ]
            argument, is_table = Mux(is_special, special.argument, clamped), is_table | is_special
            result_code, result_sum = special.code, special.total
        asks = self._carry(m, "asks_table", is_table, at.finish, at.look_up)
        uses_table = self._carry(m, "uses_table", asks, at.look_up, at.found)
        m.d.comb += [
            table.enable.eq(control.valid[at.look_up] & asks),
            table.table.eq(control.table),
            table.argument.eq(self._carry(m, "argument", argument, at.finish, at.look_up)),
            table.write.eq(control.table_write),
            table.address.eq(control.table_address),
            table.data.eq(control.table_data),
        ]
        if self._operand_bits == 16:
            m.d.comb += table.shift.eq(control.table_shift)
        return Mux(uses_table, result_code, code), Mux(uses_table, result_sum, total)
