"""The scale controller with its registers, and what measures a word, against plain integers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib.wiring import Component, In, Signature
from amaranth.sim import Simulator

from pulsarray.config import EXPONENTS
from pulsarray.hw.vector.exponents import ExponentFile
from pulsarray.hw.vector.normalizer import Normalizer
from pulsarray.hw.vector.scale import SLOT_BITS, ScaleController, Statistic
from tests.hw.test_rounding import Cases, check
from tests.hw.vector_cases import wild
from tests.hw.vector_reference import Register, sat

EXTREMES = (-128, -127, -115, -114, -113, -15, -14, -1, 0, 1, 13, 14, 112, 113, 126, 127)


class Registers(Component):
    """The exponent file and the controller, as the vector unit connects them."""

    def __init__(self, dim: int) -> None:
        self.controller = ScaleController(dim=dim)
        self.file = ExponentFile()
        super().__init__(Signature({"clear": In(1)}))

    def elaborate(self, platform: Any) -> Elaboratable:
        """Both parts."""
        m = Module()
        m.submodules.controller, m.submodules.file = self.controller, self.file
        clear: Any = self.clear  # type: ignore[attr-defined]
        m.d.comb += [
            self.controller.values.eq(self.file.values),
            self.file.load.eq(self.controller.load),
            self.file.loaded.eq(self.controller.loaded),
            self.controller.clear.eq(clear),
            self.file.clear.eq(clear),
        ]
        return m


class Driver:
    """Does things to the controller and to plain registers."""

    def __init__(self, context: Any, parts: Registers, dim: int) -> None:
        self._context, self._parts, self._dim = context, parts, dim
        self.registers = [Register() for _ in range(EXPONENTS)]

    async def pulse(self, name: str, **inputs: int) -> None:
        """One cycle with an input set."""
        controller = self._parts.controller
        for other, value in {name: 1, **inputs}.items():
            self._context.set(getattr(controller, other), value)
        await self._context.tick()
        self._context.set(getattr(controller, name), 0)

    async def read(self, first: int, lanes: list[int]) -> None:
        """READ."""
        controller = self._parts.controller
        for lane, value in enumerate(lanes):
            self._context.set(controller.word[lane], value % (1 << SLOT_BITS))
            if 0 < first + lane < EXPONENTS:
                self.registers[first + lane] = Register.from_lane(value)
        await self.pulse("read", first=first)

    async def note(self, number: int, magnitude: int, offset: int) -> None:
        """The statistic of a word."""
        controller = self._parts.controller
        self._context.set(controller.magnitude, magnitude)
        self._context.set(controller.offset, offset)
        await self._context.tick().repeat(2)
        await self.pulse("note", note_register=number)
        if magnitude:
            self.registers[number].note(sat(magnitude.bit_length() + offset, 8))

    async def adapt(self) -> None:
        """ADAPT."""
        await self.pulse("adapt")
        for register in self.registers[1:]:
            register.adapt()

    async def check(self) -> None:
        """WRITE, of all registers."""
        controller = self._parts.controller
        for first in range(0, EXPONENTS, self._dim):
            self._context.set(controller.first, first)
            await self._context.delay(1e-9)
            got = [self._context.get(controller.written[lane]) for lane in range(self._dim)]
            want = [register.lane for register in self.registers[first:][: self._dim]]
            assert got[: len(want)] == want
            assert not any(got[len(want) :])


def simulate(dim: int, bench: Any) -> None:
    """Run a bench that gets a driver and randomness."""
    parts = Registers(dim)

    async def testbench(context: Any) -> None:
        await bench(Driver(context, parts, dim), random.Random(dim))

    simulator = Simulator(parts)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def register(generator: random.Random) -> Register:
    """Any register, at the edges of the rule more often than not."""
    exponent = generator.choice([*EXTREMES, generator.randrange(-128, 128)])
    near = sat(exponent + 14 + generator.randrange(-2, 4), 8)
    level = generator.choice([near, near, generator.choice(EXTREMES)])
    flags = [bool(generator.randrange(2)) for _ in range(2)]
    return Register(
        exponent, generator.choice([6, 7, 7, generator.randrange(8)]), *flags, True, level
    )


@pytest.mark.parametrize("dim", [5, 64])
def test_adapt(dim: int) -> None:
    """Every edge of the rule."""

    async def bench(driver: Driver, generator: random.Random) -> None:
        for _ in range(20 if dim == 64 else 3):
            for first in range(0, EXPONENTS, dim):
                await driver.read(first, [register(generator).lane for _ in range(dim)])
            await driver.check()
            for _ in range(2):
                await driver.adapt()
                await driver.check()

    simulate(dim, bench)


def test_read_anywhere() -> None:
    """Words that begin at any register, with noise in unused bits and before and behind."""

    async def bench(driver: Driver, generator: random.Random) -> None:
        for first in range(EXPONENTS):
            await driver.read(first, [generator.getrandbits(40) for _ in range(7)])
            await driver.check()

    simulate(7, bench)


def test_patience() -> None:
    """A register comes down after eight statistics with room, and then only after eight more."""

    async def bench(driver: Driver, _: random.Random) -> None:
        await driver.read(9, [Register(exponent=3).lane, 0])
        for number in range(1, 18):
            await driver.note(9, 1, -1)
            await driver.adapt()
            await driver.check()
            assert driver.registers[9].exponent == 3 - number // 8

    simulate(2, bench)


def test_zeros_say_nothing() -> None:
    """A word of zeros neither moves a register nor counts, and hides nothing that is noted."""

    async def bench(driver: Driver, _: random.Random) -> None:
        await driver.read(9, [Register(exponent=3).lane, 0])
        for _ in range(9):
            await driver.note(9, 0, 100)
            await driver.adapt()
            await driver.check()
        assert (driver.registers[9].exponent, driver.registers[9].count) == (3, 0)
        await driver.note(9, 1 << 19, 0)
        await driver.note(9, 0, 100)
        await driver.adapt()
        await driver.check()
        assert driver.registers[9].exponent == 6

    simulate(2, bench)


def test_statistic() -> None:
    generator = random.Random(0)

    def cases() -> Cases:
        for _ in range(1000):
            magnitude = generator.getrandbits(generator.randrange(1, 65))
            magnitude = generator.choice([magnitude, 1 << generator.randrange(64), 0])
            offset = wild(generator, 9)
            inputs = {"magnitude": magnitude, "offset": offset}
            yield inputs, sat(magnitude.bit_length() + offset, 8)

    check(Statistic(), cases(), "level")


def test_normalizer() -> None:
    generator = random.Random(0)

    def cases() -> Cases:
        for _ in range(1000):
            value = generator.getrandbits(generator.randrange(1, 65))
            yield {"value": value}, value << (64 - value.bit_length()) if value else 0

    check(Normalizer(), cases(), "shifted")
