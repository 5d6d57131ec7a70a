"""One lane of the vector unit, from operands to the result before the reduction."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from pulsarray.hw.function_table import FunctionTable, write_members
from pulsarray.hw.rounding import (
    clamp,
    requantize,
    round_half_even,
    saturate,
    saturated_product,
    saturated_sum,
)
from pulsarray.hw.shared import Shared
from pulsarray.isa import Activation, Alu

__all__ = ["RESULT_CYCLE", "SHIFT_MAX", "Lane", "Source", "clamp_shift", "lane_controls"]

RESULT_CYCLE = 7
"""Cycles from the issue of a word to its result, which is written in the next one."""
SHIFT_MAX = 63
"""Largest right shift."""


class Source(enum.Enum, shape=3):
    """Where operand B comes from."""

    NONE = 0
    WORD = 1
    SUM = 2
    SCALAR = 3
    CONSTANT = 4


def clamp_shift(shift: Value, acc_bits: int) -> Value:
    """A shift cut to the range that matters: beyond it to the left every sum saturates."""
    return clamp(shift, -(acc_bits - 1), SHIFT_MAX)


def lane_controls(
    operand_bits: int, scale_bits: int, vector_multiply: bool, tables: int
) -> dict[int, data.StructLayout]:
    """What all lanes are told, by the cycle after the issue of a word in which they need it."""
    finish = _round_cycle(scale_bits) + 1
    scale: dict[str, Any] = {"residual": 1}
    if scale_bits:
        scale |= dict.fromkeys(("multiplier", "multiplier2"), scale_bits)
        scale["use_lane_multiplier"] = 1
    early, late = ({}, scale) if scale_bits else (scale, {})
    controls: dict[int, dict[str, Any]] = {
        1: {
            "a_is_sum": 1,
            "zero_a": signed(16),
            "use_bias": 1,
            "b_source": Source,
            "zero_b": signed(16),
            "scalar": signed(32),
        },
        2: {"factor_alu": Alu} if vector_multiply else {},
        3: {
            "alu": Alu,
            "exponent": signed(10),
            "use_lane_shift": 1,
            "shift": signed(7),
            **early,
        },
        4: {"shift2": signed(7), "leaky": 1, **late},
    }
    if scale_bits == 31:
        controls[5] = {"tflite": 1}
    controls[finish] = {
        **controls.get(finish, {}),
        "activation": Activation,
        "zero_target": signed(16),
        "low": signed(operand_bits),
        "high": signed(operand_bits),
        **({"table": 3} if tables else {}),
    }
    if tables and operand_bits == 16:
        controls[finish + 1] = {"table_shift": 6}
    return {cycle: data.StructLayout(inputs) for cycle, inputs in controls.items() if inputs}


def _round_cycle(scale_bits: int) -> int:
    """Cycle of the rounding: the multiply by a scale takes one of its own before it."""
    return 5 if scale_bits else 4


class Lane(Shared):
    """One lane's pipeline: operands, factor, operation, scale, rounding, activation, table.

    Nothing waits: a word enters every cycle. An input belongs to the word that was issued as many
    cycles before as :attr:`cycles` says, and the result leaves in :data:`RESULT_CYCLE`. With
    scale multipliers (8-bit operands) the multiply takes a cycle; without, interpolating in a
    table does.

    Parameters
    ----------
    operand_bits, acc_bits, scale_bits, vector_multiply, tables, table_segments
        As in the configuration.
    table_entries
        Entries of a table in one operand word.

    Members
    -------
    controls
        By cycle, what all lanes are told in it: members ``control1`` and so on.
    valid
        Bit i: the word issued i cycles before is one; otherwise its registers keep their values.
    a_word, a_sum, a_is_sum, zero_a, use_bias, bias
        A is the word or the sum, less its zero point, and the bias if used.
    b_word, b_sum, b_source, zero_b, scalar, constant
        B is what ``b_source`` says.
    factor_alu, alu
        The operation, in both cycles that need it.
    lane_shift, lane_multiplier, use_lane_shift, use_lane_multiplier
        Shift and multiplier of this lane, and whether they are used.
    exponent, shift, shift2, multiplier, multiplier2, leaky, residual
        Sum of exponent registers for ``lane_shift``; shifts that have it already, and are cut by
        :func:`clamp_shift`; multipliers.
    tflite
        Rounding (with 31 bits of scale).
    activation, zero_target, low, high
        The activation.
    table, table_shift
        Function table, and the shift of its results (16-bit operands).
    table_write, table_address, table_data
        One bit a plane, word within the plane of all tables, and the word.
    code, sum
        The result for the scratchpad and for the accumulator.
    """

    inline = False

    def __init__(
        self,
        *,
        operand_bits: int,
        acc_bits: int,
        scale_bits: int,
        vector_multiply: bool,
        tables: int,
        table_segments: int,
        table_entries: int,
    ) -> None:
        self._operand_bits, self._acc_bits, self._scale_bits = operand_bits, acc_bits, scale_bits
        self._alu_bits = 64 - scale_bits
        self._multiply = vector_multiply
        self._tables = (operand_bits, tables, table_segments, table_entries)
        self._round = _round_cycle(scale_bits)
        self.controls = lane_controls(operand_bits, scale_bits, vector_multiply, tables)
        members: dict[str, Any] = {
            **{f"{source}_word": In(signed(operand_bits)) for source in "ab"},
            **{f"{source}_sum": In(signed(acc_bits)) for source in "ab"},
            **{name: In(signed(acc_bits)) for name in ("bias", "constant")},
            "lane_shift": In(signed(8)),
        }
        if scale_bits:
            members["lane_multiplier"] = In(scale_bits)
        members |= {f"control{cycle}": In(layout) for cycle, layout in self.controls.items()}
        if tables:
            members |= {
                f"table_{name}": port for name, port in write_members(*self._tables).items()
            }
        super().__init__(
            members
            | {
                "valid": In(RESULT_CYCLE),
                "code": Out(signed(operand_bits)),
                "sum": Out(signed(acc_bits)),
            },
            operand_bits=operand_bits,
            acc_bits=acc_bits,
            scale_bits=scale_bits,
            vector_multiply=vector_multiply,
            tables=tables,
            table_segments=table_segments,
            table_entries=table_entries,
        )
        for cycle, layout in self.controls.items():
            for name in layout.members:
                setattr(self, name, getattr(self, f"control{cycle}")[name])

    def body(self, platform: Any) -> Elaboratable:
        """One step after the other, each ending in registers."""
        m = Module()
        a, b = self._operands(m)
        a, b, factor = self._factor(m, a, b)
        value, residual, first_shift = self._operate(m, a, b, factor)
        shift: Value
        if self._scale_bits:
            value, shift = self._scale(m, value, residual, first_shift)
        else:
            shift = self._choose_shift(value, first_shift)
        rounded = self._rounding(m, value, shift)
        self._finish(m, rounded)
        return m

    def _register(self, m: Module, cycle: int, name: str, value: Any) -> Signal:
        """A register loaded at the end of a cycle, if there is a word."""
        register = Signal.like(Value.cast(value), name=name, reset_less=True, init=0)
        with m.If(self.valid[cycle]):
            m.d.sync += register.eq(value)
        return register

    def _operands(self, m: Module) -> tuple[Signal, Signal]:
        source = Signal(signed(self._acc_bits), name="a_source")
        m.d.comb += source.eq(Mux(self.a_is_sum, self.a_sum, self.a_word))
        a = source - self.zero_a + Mux(self.use_bias, self.bias, 0)
        b = Signal(signed(max(self._acc_bits + 1, 32)), name="b_value")
        with m.Switch(self.b_source):
            with m.Case(Source.WORD):
                m.d.comb += b.eq(self.b_word - self.zero_b)
            with m.Case(Source.SUM):
                m.d.comb += b.eq(self.b_sum - self.zero_b)
            with m.Case(Source.SCALAR):
                m.d.comb += b.eq(self.scalar)
            with m.Case(Source.CONSTANT):
                m.d.comb += b.eq(self.constant)
        a_bits = self._acc_bits + 2
        return (
            self._register(m, 1, "a", a[:a_bits].as_signed()),
            self._register(m, 1, "b", b),
        )

    def _factor(self, m: Module, a: Signal, b: Signal) -> tuple[Signal, Signal, Signal | None]:
        """What A may be multiplied by: B, or a derivative from the function value B."""
        factor = None
        if self._multiply:
            bits = self._operand_bits
            fraction = bits - 1
            operand = Signal(signed(bits), name="b_operand")
            other = Signal(signed(bits + 2), name="b_other")
            product = Signal(signed(2 * bits + 2), name="b_product")
            is_sigmoid = self.factor_alu == Alu.DSIGMOID
            m.d.comb += [
                operand.eq(saturate(b, bits)),
                other.eq(Mux(is_sigmoid, (1 << fraction) - operand, operand)),
                product.eq(operand * other),
            ]
            sigmoid = saturate(round_half_even(product, fraction - 2), bits)
            tanh = saturate(round_half_even((1 << 2 * fraction) - product, fraction), bits)
            value = Signal(signed(bits), name="factor_value")
            with m.Switch(self.factor_alu):
                with m.Case(Alu.DSIGMOID):
                    m.d.comb += value.eq(sigmoid)
                with m.Case(Alu.DTANH):
                    m.d.comb += value.eq(tanh)
                with m.Default():
                    m.d.comb += value.eq(operand)
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
            value = Mux(self.residual, total, value)
        shift = clamp_shift(self.lane_shift + self.exponent, self._acc_bits)
        chosen = Signal(signed(7), name="first_shift")
        m.d.comb += chosen.eq(Mux(self.use_lane_shift, shift, self.shift))
        return (
            self._register(m, 3, "value", value),
            self._register(m, 3, "residual_value", residual),
            self._register(m, 3, "shift_positive", chosen),
        )

    def _alu(self, m: Module, a: Signal, b: Signal, factor: Signal | None) -> Value:
        total, difference = a + b, a - b
        result = Signal(signed(len(difference)), name="result")
        product = None
        less, equal = Signal(name="less"), Signal(name="equal")
        m.d.comb += [less.eq(difference < 0), equal.eq(difference == 0)]
        cases: dict[Alu, Any] = {
            Alu.PASS: a,
            Alu.ADD: total,
            Alu.SUB: difference,
            Alu.RSUB: b - a,
            Alu.MAX: Mux(less, b, a),
            Alu.MIN: Mux(less, a, b),
            Alu.GATE: Mux(b > 0, a, 0),
            Alu.EQUAL: equal,
            Alu.GREATER: ~(less | equal),
        }
        with m.Switch(self.alu):
            for operation, case in cases.items():
                with m.Case(operation):
                    m.d.comb += result.eq(case)
        value = saturate(result, self._alu_bits)
        if factor is None:
            return value
        product = saturate(saturated_product(m, a, factor, "product"), self._alu_bits)
        is_product = (self.alu == Alu.MUL) | (self.alu == Alu.DSIGMOID) | (self.alu == Alu.DTANH)
        return Mux(is_product, product, value)

    def _choose_shift(self, value: Value, shift: Value) -> Value:
        return Mux(self.leaky & (value < 0), self.shift2, shift)

    def _scale(
        self, m: Module, value: Signal, residual: Signal, shift: Signal
    ) -> tuple[Signal, Signal]:
        """The product with the multiplier, and the second source's with its own."""
        own = Mux(self.use_lane_multiplier, self.lane_multiplier, self.multiplier)
        chosen = Signal(self._scale_bits, name="chosen_multiplier")
        product = Signal(signed(64), name="scaled")
        term = Signal(signed(64), name="residual_term")
        m.d.comb += [
            chosen.eq(Mux(self.leaky & (value < 0), self.multiplier2, own)),
            product.eq(value * chosen),
            term.eq(Mux(self.residual, residual * self.multiplier2, 0)),
        ]
        return (
            self._register(m, 4, "scaled_value", saturated_sum(product, term, 64)),
            self._register(m, 4, "chosen_shift", self._choose_shift(value, shift)),
        )

    def _rounding(self, m: Module, value: Signal, shift: Value) -> Signal:
        tflite = self.tflite if self._scale_bits == 31 else None
        amount = Signal(signed(7), name="amount_signed")
        m.d.comb += amount.eq(shift)
        rounded = requantize(m, value, amount, self._acc_bits, tflite)
        return self._register(m, self._round, "rounded", rounded)

    def _finish(self, m: Module, rounded: Signal) -> None:
        """Activation, and the table in the cycle after."""
        cycle, bits = self._round + 1, self._operand_bits
        clamped = Signal(signed(bits), name="clamped")
        m.d.comb += clamped.eq(clamp(rounded + self.zero_target, self.low, self.high))
        stepped = Signal(signed(16), name="stepped")
        m.d.comb += stepped.eq(
            Mux(rounded > 0, self.high, Mux(rounded < 0, self.low, self.zero_target))
        )
        is_step = self.activation == Activation.STEP
        code = Mux(is_step, saturate(stepped, bits), clamped)
        code = self._register(m, cycle, "plain_code", code)
        total: Value = self._register(m, cycle, "plain_sum", Mux(is_step, stepped, rounded))
        if self._tables[1]:
            code, total = self._look_up(m, clamped, code, total)
        if cycle + 1 < RESULT_CYCLE:
            code = self._register(m, cycle + 1, "last_code", code)
            total = self._register(m, cycle + 1, "last_sum", total)
        m.d.comb += [self.code.eq(code), self.sum.eq(total)]

    def _look_up(
        self, m: Module, argument: Value, code: Value, total: Value
    ) -> tuple[Value, Value]:
        cycle = self._round + 1
        operand_bits, tables, segments, entries = self._tables
        m.submodules.function_table = table = FunctionTable(
            operand_bits=operand_bits, tables=tables, segments=segments, entries=entries
        )
        is_table = self.activation == Activation.TABLE
        uses_table = self._register(m, cycle, "uses_table", is_table)
        m.d.comb += [
            table.enable.eq(self.valid[cycle] & is_table),
            table.table.eq(self.table),
            table.argument.eq(argument),
            table.write.eq(self.table_write),
            table.address.eq(self.table_address),
            table.data.eq(self.table_data),
        ]
        if self._operand_bits == 16:
            m.d.comb += table.shift.eq(self.table_shift)
        return Mux(uses_table, table.result, code), Mux(uses_table, table.result, total)
