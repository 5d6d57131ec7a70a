"""Saturation and rounding in logic against exact integers, at the limits above all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out, Signature
from amaranth.sim import Simulator

from pulsarray.hw.vector.exponents import ShiftSum
from pulsarray.hw.vector.rounding import (
    HALF,
    clamp,
    is_far,
    near_sum,
    requantize,
    round_half_even,
    saturate,
    saturated_product,
    saturated_sum,
)
from tests.hw.vector_cases import wild
from tests.hw.vector_reference import rne, rounded, sat, sym

Cases = Iterator[tuple[dict[str, int], int]]


class Probe(Component):
    """A function of signals as a component; every input but the shift is signed."""

    def __init__(self, inputs: dict[str, Any], bits: int, function: Callable[..., Any]) -> None:
        members = {name: In(shape) for name, shape in inputs.items()}
        super().__init__(Signature({**members, "result": Out(signed(bits))}))
        self._inputs, self._function = list(inputs), function

    def elaborate(self, platform: Any) -> Elaboratable:
        """The function's logic."""
        m = Module()
        values = {name: getattr(self, name) for name in self._inputs}
        result: Any = self.result  # type: ignore[attr-defined]
        m.d.comb += result.eq(self._function(m, **values))
        return m


def check(probe: Any, cases: Cases, output: str = "result") -> None:
    """Every case's inputs give its result."""

    async def bench(context: Any) -> None:
        for inputs, expected in cases:
            for name, value in inputs.items():
                context.set(getattr(probe, name), value)
            await context.delay(1e-9)
            assert context.get(getattr(probe, output)) == expected, inputs

    simulator = Simulator(probe)
    simulator.add_testbench(bench)
    simulator.run()


def ties(generator: random.Random, shift: int, bits: int) -> int:
    """A number that is, or nearly is, an odd multiple of half of 2^shift; or any other."""
    half = 1 << max(0, shift - 1)
    room = max(1, (1 << (bits - 1)) // half)
    near = (generator.randrange(-room, room) | 1) * half + generator.choice([-1, 0, 0, 1])
    limit = (1 << (bits - 1)) - 1
    edge = generator.choice([limit, -limit - 1]) + generator.choice([0, -1, 1]) * generator.choice(
        [0, 1, half]
    )
    return sat(generator.choice([near, near, edge, wild(generator, bits)]), bits)


@pytest.mark.parametrize(
    ("bits", "tflite", "width"),
    [(24, 1, 65), (32, 1, 65), (32, 1, 64), (29, 0, 65), (48, 0, 64), (64, 0, 64)],
)
def test_requantize(bits: int, tflite: int, width: int) -> None:
    """Any product or sum of two and any shift, cut first as the vector unit does."""
    generator = random.Random(bits)

    def logic(m: Module, value: Value, shift: Value, mode: Value) -> Value:
        if not tflite:
            return requantize(m, value, shift, bits, None)
        half = Mux(is_far(mode, shift), HALF, 0)
        return requantize(m, value + half, shift, bits, mode)

    def cases() -> Cases:
        for number in range(4000):
            k = number % 127 - 63
            x = ties(generator, k, width)
            if generator.randrange(3) == 0:  # left shifts that just fit or just do not
                x = ties(generator, 0, min(64, max(2, bits + k + generator.choice([0, 1]))))
            mode = generator.randrange(2) & tflite
            inputs = {"value": x, "shift": max(k, 1 - bits), "mode": mode}
            yield inputs, sat(rounded(sat(x, 64), k, bool(mode)), bits)

    check(Probe({"value": signed(width), "shift": signed(7), "mode": 1}, bits, logic), cases())


@pytest.mark.parametrize("bits", [24, 40, 64])
def test_shift_sum(bits: int) -> None:
    generator = random.Random(bits)

    def cases() -> Cases:
        for _ in range(1000):
            shift, exponent = wild(generator, 8), wild(generator, 10)
            yield {"shift": shift, "exponent": exponent}, max(1 - bits, min(shift + exponent, 63))

    check(ShiftSum(acc_bits=bits, exponents=True), cases(), "total")
    alone = [({"shift": s}, max(1 - bits, min(s, 63))) for s in range(-128, 128)]
    check(ShiftSum(acc_bits=bits, exponents=False), iter(alone), "total")


@pytest.mark.parametrize("shift", [5, 6, 13, 14])
def test_constant_shift(shift: int) -> None:
    generator = random.Random(shift)
    probe = Probe({"value": signed(34)}, 34, lambda _, value: round_half_even(value, shift))
    values = (ties(generator, shift, 34) for _ in range(1000))
    check(probe, (({"value": value}, rne(value, shift)) for value in values))


def test_shift_in_a_register() -> None:
    generator = random.Random(1)

    def cases() -> Cases:
        for _ in range(2000):
            shift = generator.randrange(41)
            value = ties(generator, shift, 34)
            yield {"value": value, "shift": shift}, rne(value, shift)

    logic = {"value": signed(34), "shift": 6}
    check(Probe(logic, 34, lambda _, value, shift: round_half_even(value, shift)), cases())


@pytest.mark.parametrize(
    ("a_bits", "b_bits", "bits"), [(64, 64, 64), (64, 17, 64), (64, 40, 64), (33, 9, 40)]
)
def test_saturated_sum(a_bits: int, b_bits: int, bits: int) -> None:
    generator = random.Random(b_bits)

    def cases() -> Cases:
        for _ in range(1000):
            a, b = wild(generator, a_bits), wild(generator, b_bits)
            yield {"a": a, "b": b}, sat(a + b, bits)

    inputs = {"a": signed(a_bits), "b": signed(b_bits)}
    check(Probe(inputs, bits, lambda _, a, b: saturated_sum(a, b, bits)), cases())


@pytest.mark.parametrize("bits", [33, 40, 48])
def test_near_sum(bits: int) -> None:
    generator = random.Random(bits)

    def cases() -> Cases:
        for _ in range(2000):
            c, y, subtract = wild(generator, bits), wild(generator, bits), generator.randrange(2)
            total = c - y if subtract else c + y
            yield {"c": c, "y": y, "subtract": subtract}, sym(total, 32)

    inputs = {"c": signed(bits), "y": signed(bits), "subtract": 1}
    logic = Probe(inputs, 32, lambda _, c, y, subtract: near_sum(c, y, subtract, 32))
    check(logic, cases())


@pytest.mark.parametrize(("a_bits", "b_bits"), [(34, 8), (50, 16), (66, 16)])
def test_saturated_product(a_bits: int, b_bits: int) -> None:
    generator = random.Random(a_bits)

    def cases() -> Cases:
        for _ in range(2000):
            a, b = wild(generator, a_bits), wild(generator, b_bits)
            yield {"a": a, "b": b}, sat(a * b, 64)

    inputs = {"a": signed(a_bits), "b": signed(b_bits)}
    check(Probe(inputs, 64, lambda m, a, b: saturated_product(m, a, b, "product")), cases())


@pytest.mark.parametrize(("width", "bits"), [(9, 8), (19, 8), (66, 64), (8, 9)])
def test_saturate(width: int, bits: int) -> None:
    generator = random.Random(width)
    values = [wild(generator, width) for _ in range(500)]
    probe = Probe({"value": signed(width)}, bits, lambda _, value: saturate(value, bits))
    check(probe, (({"value": value}, sat(value, bits)) for value in values))


def test_clamp() -> None:
    """The upper limit wins where the limits are the wrong way round."""
    generator = random.Random(0)

    def cases() -> Cases:
        for _ in range(1000):
            value, low, high = wild(generator, 33), wild(generator, 8), wild(generator, 8)
            yield {"value": value, "low": low, "high": high}, min(max(value, low), high)

    def logic(_: Module, value: Signal, low: Signal, high: Signal) -> Value:
        return clamp(value, low, high)

    check(Probe({"value": signed(33), "low": signed(8), "high": signed(8)}, 33, logic), cases())
