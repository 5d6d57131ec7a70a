"""One lane of the vector unit, from operands to the result before the reduction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import C, Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.exponents import SHIFT_BITS, ShiftSum
from pulsarray.hw.vector.function_table import FunctionTable
from pulsarray.hw.vector.lane_control import RESULT_CYCLE, Source, control_layout, round_cycle
from pulsarray.hw.vector.parameters import add_columns
from pulsarray.hw.vector.rounding import (
    WIDE,
    clamp,
    near_sum,
    requantize,
    round_half_even,
    saturate,
    saturated_product,
    saturated_sum,
)
from pulsarray.hw.vector.special_function import SpecialFunction
from pulsarray.isa import Activation, Alu

__all__ = ["Lane", "pair", "term_bits"]


def pair(config: Config, more: int = 0) -> data.StructLayout:
    """A result for the scratchpad and one for the accumulator, each some bits wider."""
    return data.StructLayout(
        {"code": signed(config.operand_bits + more), "sum": signed(config.acc_bits + more)}
    )


def term_bits(config: Config) -> int:
    """Bits that the sum over all lanes has more than one result."""
    return (config.dim - 1).bit_length()


def _select(key: Value, cases: Mapping[Any, Any], default: Any) -> Any:
    """The case that a key names."""
    result = default
    for number, case in cases.items():
        result = Mux(key == number, case, result)
    return result


def _sum_with_carry(a: Any, b: Any, carry: Value) -> Value:
    """``a + b + carry`` in one adder: the carry is made by two bits below."""
    return (Cat(carry, a).as_signed() + Cat(carry, b).as_signed()) >> 1


class Lane(Shared):
    """One lane's pipeline: operands, factor, operation, scale, rounding, activation, table.

    Nothing waits: a word enters every cycle, and its result leaves in :data:`RESULT_CYCLE`. With
    scale multipliers (8-bit operands) the multiply takes a cycle; without, interpolating in a
    table does.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    control
        What all lanes are told: the record of :func:`control_layout`.
    a_word, a_sum, b_word, b_sum
        What the banks gave, in cycle 1.
    slot
        What memory holds for this lane of a word for the parameter bank.
    counted
        In the result's cycle: this lane is not excluded.
    term, total
        In the same cycle: what this lane adds to the reduction, and the reduction.
    result
        What is written.
    noted
        With ``training``, in the cycle of the rounding: this lane counts for the statistic.
    magnitude, near_limit
        With ``training``: how large the number was that was rounded, in the cycle after; and
        whether the sum after it is near its limit, in the cycle after that. Zero if not noted.
    """

    inline = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._operand_bits, self._acc_bits = config.operand_bits, config.acc_bits
        self._scale_bits, self._alu_bits = config.scale_bits, config.alu_bits
        self._round = round_cycle(config)
        members: dict[str, Any] = {
            "control": In(control_layout(config)),
            **{f"{source}_word": In(signed(config.operand_bits)) for source in "ab"},
            **{f"{source}_sum": In(signed(config.acc_bits)) for source in "ab"},
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
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            training=config.training,
        )

    def body(self, platform: Any) -> Elaboratable:
        """One step after the other, each ending in registers."""
        m = Module()
        self._constants = add_columns(m, self._config, self.control, self.slot)
        a, b = self._operands(m)
        a, b, factor = self._factor(m, a, b)
        value, residual, first_shift = self._operate(m, a, b, factor)
        shift: Value
        if self._scale_bits:
            value, shift = self._scale(m, value, residual, first_shift)
        else:
            shift = self._choose_shift(value, first_shift)
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

    def _operands(self, m: Module) -> tuple[Signal, Signal]:
        control, constants = self.control, self._constants
        source = Signal(signed(self._acc_bits), name="a_source")
        b = Signal(signed(max(self._acc_bits, 32)), name="b_source")
        m.d.comb += [
            source.eq(Mux(control.a_is_sum, self.a_sum, self.a_word)),
            b.eq(
                _select(
                    control.b_source.as_value(),
                    {
                        Source.WORD.value: self.b_word,
                        Source.SUM.value: self.b_sum,
                        Source.SCALAR.value: control.scalar,
                        Source.CONSTANT.value: constants["constant"],
                    },
                    0,
                )
            ),
        ]
        a = source - control.zero_a + Mux(control.use_bias, constants["bias"], 0)
        return (
            self._register(m, 1, "a", a[: self._acc_bits + 2].as_signed()),
            self._register(m, 1, "b", (b - control.zero_b)[: len(b) + 1].as_signed()),
        )

    def _factor(self, m: Module, a: Signal, b: Signal) -> tuple[Signal, Signal, Signal | None]:
        """What A may be multiplied by: B, or a derivative from the function value B."""
        factor = None
        if self._config.vector_multiply:
            bits = self._operand_bits
            fraction = bits - 1
            operand = Signal(signed(bits), name="b_operand")
            other = Signal(signed(bits + 2), name="b_other")
            product = Signal(signed(2 * bits + 2), name="b_product")
            is_sigmoid = self.control.factor_alu == Alu.DSIGMOID
            m.d.comb += [
                operand.eq(saturate(b, bits)),
                other.eq(Mux(is_sigmoid, (1 << fraction) - operand, operand)),
                product.eq(operand * other),
            ]
            sigmoid = saturate(round_half_even(product, fraction - 2), bits)
            tanh = saturate(round_half_even((1 << 2 * fraction) - product, fraction), bits)
            value = Signal(signed(bits), name="factor_value")
            cases = {Alu.DSIGMOID: sigmoid, Alu.DTANH: tanh}
            if self._config.training:
                cases[Alu.SCALED] = b[:bits].as_signed()
            m.d.comb += value.eq(_select(self.control.factor_alu, cases, operand))
            factor = self._register(m, 2, "factor", value)
        return self._register(m, 2, "a_delayed", a), self._register(m, 2, "b_delayed", b), factor

    def _operate(
        self, m: Module, a: Signal, b: Signal, factor: Signal | None
    ) -> tuple[Signal, Signal, Signal]:
        """The operation's result, B for a residual sum, and the shift when t is not negative."""
        value = self._alu(m, a, b, factor)
        residual = saturate(b, self._operand_bits + 1)
        if not self._scale_bits:
            total = saturated_sum(value, residual, self._alu_bits)
            value = Mux(self.control.residual, total, value)
        m.submodules.shift_sum = own = ShiftSum(
            acc_bits=self._acc_bits, exponents=self._config.training
        )
        chosen = Signal(signed(SHIFT_BITS), name="first_shift")
        own_shift, uses_own = self._constants["shift"], self.control.use_lane_shift
        if self._config.training:
            is_scaled = self.control.alu == Alu.SCALED
            m.d.comb += own.exponent.eq(self.control.exponent)
            scale = saturate(b[self._operand_bits :].as_signed(), len(own.shift))
            own_shift, uses_own = Mux(is_scaled, scale, own_shift), uses_own | is_scaled
        m.d.comb += [
            own.shift.eq(own_shift),
            chosen.eq(Mux(uses_own, own.total, self.control.shift)),
        ]
        return (
            self._register(m, 3, "value", value),
            self._register(m, 3, "residual_value", residual),
            self._register(m, 3, "shift_positive", chosen),
        )

    def _alu(self, m: Module, a: Signal, b: Signal, factor: Signal | None) -> Value:
        """The first operation, saturated; one adder serves all sums and comparisons."""
        alu = self.control.alu
        value = saturate(self._sum_or_choice(m, a, b), self._alu_bits)
        if factor is None:
            return value
        product = saturate(saturated_product(m, a, factor, "product"), self._alu_bits)
        is_product = (alu == Alu.MUL) | (alu == Alu.DSIGMOID) | (alu == Alu.DTANH)
        if self._config.training:
            is_product = is_product | (alu == Alu.SCALED)
        return Mux(is_product, product, value)

    def _sum_or_choice(self, m: Module, a: Signal, b: Signal) -> Value:
        """Everything but products: a sum of A and B or their opposites, one of them, or a bit."""
        alu, width = self.control.alu, max(len(a), len(b)) + 1
        total = Signal(signed(width), name="total")
        result = Signal(signed(width), name="result")
        less, equal, bit = Signal(name="less"), Signal(name="equal"), Signal(name="bit")
        minus_a, minus_b = Signal(name="minus_a"), Signal(name="minus_b")
        takes_b, takes_a, is_bit = (
            Signal(name="takes_b"),
            Signal(name="takes_a"),
            Signal(name="is_bit"),
        )
        operand_a, operand_b = Signal.like(a, name="operand_a"), Signal.like(b, name="operand_b")
        chosen = Mux(takes_b, b, Mux(takes_a, a, 0))
        is_sum = (alu == Alu.ADD) | (alu == Alu.SUB) | (alu == Alu.RSUB)
        m.d.comb += [
            minus_a.eq(alu == Alu.RSUB),
            minus_b.eq((alu != Alu.ADD) & (alu != Alu.RSUB)),
            operand_a.eq(a ^ minus_a.replicate(len(a))),
            operand_b.eq(b ^ minus_b.replicate(len(b))),
            total.eq(_sum_with_carry(operand_a, operand_b, minus_a | minus_b)),
            less.eq(total < 0),
            equal.eq(a == b),
            takes_b.eq(((alu == Alu.MAX) & less) | ((alu == Alu.MIN) & ~less)),
            takes_a.eq(
                (alu == Alu.PASS)
                | (alu == Alu.MAX)
                | (alu == Alu.MIN)
                | ((alu == Alu.GATE) & (b > 0))
            ),
            is_bit.eq((alu == Alu.EQUAL) | (alu == Alu.GREATER)),
            bit.eq(Mux(alu == Alu.EQUAL, equal, ~(less | equal)) & is_bit),
            result.eq(Mux(is_sum, total, chosen | bit)),
        ]
        return result

    def _choose_shift(self, value: Value, shift: Value) -> Value:
        return Mux(self.control.leaky & (value < 0), self.control.shift2, shift)

    def _scale(
        self, m: Module, value: Signal, residual: Signal, shift: Signal
    ) -> tuple[Signal, Signal]:
        """The product with the multiplier, and the second source's with its own."""
        control = self.control
        own = Mux(control.use_lane_multiplier, self._constants["multiplier"], control.multiplier)
        chosen = Signal(self._scale_bits, name="chosen_multiplier")
        product = Signal(signed(64), name="scaled")
        term = Signal((residual * control.multiplier2).shape(), name="residual_term")
        m.d.comb += [
            chosen.eq(Mux(control.leaky & (value < 0), control.multiplier2, own)),
            product.eq(value * chosen),
            term.eq(Mux(control.residual, residual * control.multiplier2, 0)),
        ]
        return (
            self._register(m, 4, "scaled_value", saturated_sum(product, term, 64)),
            self._register(m, 4, "chosen_shift", self._choose_shift(value, shift)),
        )

    def _rounding(self, m: Module, value: Signal, shift: Value) -> Signal:
        tflite = self.control.tflite if self._scale_bits == 31 else None
        amount = Signal(signed(7), name="amount_signed")
        m.d.comb += amount.eq(shift)
        rounded = requantize(m, value, amount, self._acc_bits, tflite)
        return self._register(m, self._round, "rounded", rounded)

    def _after(self, m: Module, value: Value, rounded: Signal) -> Signal:
        """The second source added after the rounding; what is noted for the scale controller."""
        control, cycle = self.control, self._round
        other: Value = Signal(signed(self._acc_bits), name="c_source")
        sources = {Source.WORD.value: self.b_word, Source.SUM.value: self.b_sum}
        m.d.comb += other.eq(_select(control.c_source.as_value(), sources, 0))
        for number in range(1, cycle + 1):
            other = self._register(m, number, f"c{number}", other)
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
        noted = self._register(m, cycle, "was_noted", self.noted)
        m.d.comb += [
            self.magnitude.eq(self._register(m, cycle, "noted_size", size)),
            self.near_limit.eq(self._register(m, cycle + 1, "noted_near", near & noted)),
        ]
        return total

    def _finish(self, m: Module, rounded: Signal) -> tuple[Value, Value]:
        """Activation, and the table in the cycle after."""
        cycle, bits, control = self._round + 1, self._operand_bits, self.control
        clamped, stepped = Signal(signed(bits), name="clamped"), Signal(signed(16), name="stepped")
        negative = Mux(rounded < 0, control.low, control.zero_target)
        is_step = control.activation == Activation.STEP
        m.d.comb += [
            clamped.eq(clamp(rounded + control.zero_target, control.low, control.high)),
            stepped.eq(Mux(rounded > 0, control.high, negative)),
        ]
        plain: Value = clamped
        if self._config.training:
            limit = (1 << (bits - 1)) - 1
            narrow = Signal(signed(bits), name="narrow")
            m.d.comb += narrow.eq(clamp(round_half_even(rounded, bits), -limit, limit))
            plain = Mux(control.activation == Activation.NARROW, narrow, clamped)
        code: Value = self._register(
            m, cycle, "plain_code", Mux(is_step, saturate(stepped, bits), plain)
        )
        total: Value = self._register(m, cycle, "plain_sum", Mux(is_step, stepped, rounded))
        if self._config.tables:
            code, total = self._look_up(m, rounded, clamped, code, total)
        if cycle + 1 < RESULT_CYCLE:
            code = self._register(m, cycle + 1, "last_code", code)
            total = self._register(m, cycle + 1, "last_sum", total)
        return code, total

    def _reduce(self, m: Module, code: Value, total: Value) -> None:
        """What the reduction gets from this lane, and what is written for it."""
        control = self.control
        reduced = control.is_max | control.is_sum
        for name, value, bits in (
            ("code", code, self._operand_bits),
            ("sum", total, self._acc_bits),
        ):
            own = Signal(signed(bits), name=f"own_{name}")
            lowest = C(-(1 << (len(self.term[name]) - 1)), self.term[name].shape())
            m.d.comb += [
                own.eq(value),
                self.term[name].eq(Mux(self.counted, own, Mux(control.is_sum, 0, lowest))),
                self.result[name].eq(Mux(self.counted, Mux(reduced, self.total[name], own), 0)),
            ]

    def _look_up(
        self, m: Module, rounded: Value, clamped: Value, code: Value, total: Value
    ) -> tuple[Value, Value]:
        cycle = self._round + 1
        control = self.control
        m.submodules.function_table = table = FunctionTable(self._config)
        argument, is_table = clamped, control.activation == Activation.TABLE
        result_code, result_sum = table.result, table.result
        if self._config.training:
            m.submodules.special = special = SpecialFunction(acc_bits=self._acc_bits)
            is_special = special.is_exponential | special.is_reciprocal
            m.d.comb += [
                special.enable.eq(control.valid[cycle]),
                special.is_exponential.eq(control.activation == Activation.EXP),
                special.is_reciprocal.eq(control.activation == Activation.RECIPROCAL),
                special.sum.eq(rounded),
                special.value.eq(table.result),
            ]
            argument, is_table = Mux(is_special, special.argument, clamped), is_table | is_special
            result_code, result_sum = special.code, special.total
        uses_table = self._register(m, cycle, "uses_table", is_table)
        m.d.comb += [
            table.enable.eq(control.valid[cycle] & is_table),
            table.table.eq(control.table),
            table.argument.eq(argument),
            table.write.eq(control.table_write),
            table.address.eq(control.table_address),
            table.data.eq(control.table_data),
        ]
        if self._operand_bits == 16:
            m.d.comb += table.shift.eq(control.table_shift)
        return Mux(uses_table, result_code, code), Mux(uses_table, result_sum, total)
