"""Rounding, saturation and requantization against whole numbers that no sum or shift leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Shape, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from proofs.prover import Fault, Proof
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.rounding import (
    HALF,
    is_far,
    near_sum,
    requantize,
    round_half_even,
    saturate,
    saturated_sum,
)

__all__ = ["near_sum_proof", "requantize_proof", "round_proof", "saturate_proof", "sum_proof"]


class _Function(Shared):
    """A function of signals as a module with a signed ``result``."""

    def __init__(self, inputs: dict[str, Shape], bits: int, function: Callable[..., Value]) -> None:
        members: dict[str, Any] = {name: In(shape) for name, shape in inputs.items()}
        super().__init__({**members, "result": Out(signed(bits))})
        self._inputs, self._function = list(inputs), function

    def body(self, platform: Any) -> Elaboratable:
        """The function alone."""
        m = Module()
        values = {name: getattr(self, name) for name in self._inputs}
        m.d.comb += self.result.eq(self._function(m, **values))
        return m


_ROUND = """
  // {of} / 2^{by}, half to even: the floor, and one more if the spec_rest says so.
  wire signed [{wide}-1:0] spec_whole = $signed({of}) >>> {by};
  wire [{wide}-1:0] spec_rest = {of} - (spec_whole <<< {by});
  wire [{wide}-1:0] spec_unit = {{{wide}{{1'b0}}}} + 1 << {by};
  wire spec_up = 2 * spec_rest > spec_unit || (2 * spec_rest == spec_unit && spec_whole[0]);
  wire signed [{wide}-1:0] spec_rounded = spec_whole + $signed({{1'b0, spec_up}});
"""
_WIDE = "  wire signed [95:0] spec_{of} = $signed({value});\n"
_LIMITS = """
  localparam signed [{wide}-1:0] LARGEST = ({{{wide}{{1'b0}}}} + 1 << ({bits} - 1)) - 1;
  localparam signed [{wide}-1:0] SMALLEST = -LARGEST - 1;
"""
_SATURATED = """
  wire signed [{wide}-1:0] expected = {of} > LARGEST ? LARGEST : {of} < {low} ? {low} : {of};
  wire signed [{bits}-1:0] is = result;
  always @* assert (is == expected);
"""


def _saturated(of: str, wide: int, bits: int, low: str = "SMALLEST") -> str:
    limits = _LIMITS.format(wide=wide, bits=bits)
    return limits + _SATURATED.format(of=of, wide=wide, bits=bits, low=low)


def saturate_proof(width: int, bits: int) -> Proof:
    """Of the nearest number of so many bits."""
    return Proof(
        name="saturate",
        variant=f"{width} to {bits} bits",
        claim="`saturate`: min(max(value, -2^(n-1)), 2^(n-1) - 1).",
        component=lambda: _Function(
            {"value": signed(width)}, bits, lambda _, value: saturate(value, bits)
        ),
        properties=_WIDE.format(of="x", value="value") + _saturated("spec_x", 96, bits),
        depth=0,
        faults=(Fault("a bit above is not looked at", r"\(&value\[63:31\]\)", "(&value[63:32])"),),
    )


def sum_proof(a_bits: int, b_bits: int, bits: int) -> Proof:
    """Of a saturated sum."""
    return Proof(
        name="saturated sum",
        variant=f"{a_bits} and {b_bits} to {bits} bits",
        claim="`saturated_sum`: the sum of both, saturated.",
        component=lambda: _Function(
            {"a": signed(a_bits), "b": signed(b_bits)},
            bits,
            lambda _, a, b: saturated_sum(a, b, bits),
        ),
        properties=_WIDE.format(of="x", value="a")
        + _WIDE.format(of="y", value="b")
        + "  wire signed [95:0] spec_total = spec_x + spec_y;\n"
        + _saturated("spec_total", 96, bits),
        depth=0,
        faults=(Fault("the signs' test is turned", r"a\[63\] == b\[63\]", "a[63] != b[63]"),),
    )


def near_sum_proof(bits: int) -> Proof:
    """Of a sum or difference between equal limits."""
    properties = f"""
  wire signed [95:0] spec_x = $signed(c);
  wire signed [95:0] spec_z = $signed(y);
  wire signed [95:0] spec_total = subtract ? spec_x - spec_z : spec_x + spec_z;
{_saturated("spec_total", 96, bits, "-LARGEST")}"""
    return Proof(
        name="sum after rounding",
        variant=f"{bits} bits",
        claim="`near_sum`: c + y or c - y, between -(2^(n-1) - 1) and 2^(n-1) - 1.",
        component=lambda: _Function(
            {"c": signed(bits), "y": signed(bits), "subtract": unsigned(1)},
            bits,
            lambda _, c, y, subtract: near_sum(c, y, subtract, bits),
        ),
        properties=properties,
        depth=0,
        faults=(Fault("a difference is a sum", r"y \^ \(subtract \? \S+ : \S+\)", "y"),),
    )


def round_proof(width: int, shift_bits: int) -> Proof:
    """Of a rounding shift by a number in a register."""
    text = "  wire signed [95:0] spec_x = $signed(value);\n" + _ROUND.format(
        of="spec_x", by="shift", wide=96
    )
    return Proof(
        name="round half to even",
        variant=f"{width} bits",
        claim="`round_half_even`: floor(v / 2^s), and one more where the rest is above half of "
        "2^s, or half of it and the floor is odd, for every number but the least of its width.",
        component=lambda: _Function(
            {"value": signed(width), "shift": unsigned(shift_bits)},
            width + 1,
            lambda _, value, shift: round_half_even(value, shift),
        ),
        properties=text
        + f"  always @* assume (spec_x > -(96'sd1 <<< {width - 1}));\n"
        + f"  wire signed [{width}:0] is = result;\n  always @* assert (is == spec_rounded);\n",
        depth=0,
        faults=(Fault("ties go to odd", r"= ~(_\d+_) & \(\|", r"= \1 & (|"),),
    )


_REQUANTIZE = """
  // docs/machine.md, VECTOR, step 4.
  localparam signed [159:0] MOST = (160'd1 << 63) - 1;
  wire signed [159:0] spec_given = $signed(value);
  wire signed [159:0] spec_x = spec_given > MOST ? MOST
    : spec_given < -MOST - 1 ? -MOST - 1 : spec_given;
  wire signed [159:0] spec_k = $signed(shift);
  always @* assume (spec_k >= 1 - {bits} && spec_k <= 63);
  wire [6:0] spec_right = spec_k < 0 ? 0 : spec_k;
  wire [6:0] spec_left = spec_k < 0 ? -spec_k : 0;
{round}
  wire signed [159:0] spec_even = spec_k < 0 ? spec_x <<< spec_left : spec_rounded;
{tflite}
{saturated}
"""
_TFLITE = """
  wire [7:0] spec_raise = spec_k < 31 ? 31 - spec_k : 0;
  wire [6:0] spec_e = spec_k > 31 ? spec_k - 31 : 0;
  wire signed [159:0] spec_raised = spec_x <<< spec_raise;
  wire signed [159:0] spec_held = spec_raised > MOST ? MOST
    : spec_raised < -MOST - 1 ? -MOST - 1 : spec_raised;
  wire signed [159:0] spec_h = (spec_held + (160'sd1 <<< 30)) >>> 31;
  wire signed [159:0] spec_half = spec_e == 0 ? 160'sd0 : 160'sd1 <<< (spec_e - 1);
  wire signed [159:0] spec_below = {159'd0, spec_h < 0};
  wire signed [159:0] spec_sum = spec_h + spec_half - spec_below;
  wire signed [159:0] spec_twice = spec_e == 0 ? spec_h : spec_sum >>> spec_e;
  wire signed [159:0] spec_y = mode ? spec_twice : spec_even;
"""


def requantize_proof(bits: int, *, tflite: bool, width: int = 64) -> Proof:
    """Of a product divided by a power of two, rounded and saturated."""
    text = _REQUANTIZE.format(
        bits=bits,
        round=_ROUND.format(of="spec_x", by="spec_right", wide=160),
        tflite=_TFLITE if tflite else "  wire signed [159:0] spec_y = spec_even;",
        saturated=_saturated("spec_y", 160, bits),
    )
    inputs = {"value": signed(width), "shift": signed(7)}
    inputs |= {"mode": unsigned(1)} if tflite else {}

    modes = (" -set mode 0", " -set mode 1") if tflite else ("",)

    def logic(m: Module, value: Value, shift: Value, mode: Value | None = None) -> Value:
        if mode is not None:
            value = value + Mux(is_far(mode, shift), HALF, 0)
        return requantize(m, value, shift, bits, mode)

    return Proof(
        name="requantize",
        variant=f"{bits} bits{' with TFLITE' if tflite else ''}"
        + (f" of {width}" if width != 64 else ""),
        claim="`requantize`: step 4 of VECTOR in docs/machine.md, for every number and "
        "every shift, half to even and by gemmlowp's two roundings.",
        component=lambda: _Function(inputs, bits, logic),
        properties=text,
        depth=0,
        cases=tuple(f"shift {k % 128}{mode}" for k in range(1 - bits, 64) for mode in modes),
        faults=(
            Fault("what falls off below is forgotten", r"lost0 = .*;", "lost0 = 1'h0;"),
            Fault("ties go down", r" \| moved0\[1\]\)", ")"),
        ),
    )
