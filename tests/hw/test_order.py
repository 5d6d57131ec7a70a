"""What orders the units: each unit's sequencer, and the semaphores between them."""

from __future__ import annotations

import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.sim import Simulator, SimulatorContext

from pulsarray.config import SEMAPHORES
from pulsarray.encoding import Format
from pulsarray.hw.blocks.fields import fields, packed, packed_parts, packed_place, unpacked
from pulsarray.hw.control.semaphores import Semaphores
from pulsarray.hw.control.sequencer import Sequencer
from pulsarray.isa import FORMATS, Unit
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "parts", "wait", "depth"),
    [
        ("icarus", [64], 16, 1),
        ("icarus", [200, 50], 0, 3),
        ("icarus", [24], 8, 4),
        ("verilator", [90, 100, 60], 7, 3),
    ],
)
def test_sequencer(simulator: str, parts: list[int], wait: int, depth: int) -> None:
    parameters = {"wait": wait, "depth": depth}
    parameters |= {f"part{number}": bits for number, bits in enumerate([*parts, 0, 0][:3])}
    run_bench(
        Sequencer(parts, wait, depth, blocks=depth > 1), "sequencer_bench", simulator, parameters
    )


@pytest.mark.parametrize("form", [form for form in FORMATS.values() if form.unit is not None])
def test_queue_keeps_every_field(form: Format) -> None:
    unit = form.unit
    assert unit is not None
    highest = [(1 << field.bits) - 1 << 8 * field.offset for field in form.fields]
    raw = Signal(8 * form.bytes, init=sum(highest))
    kept = Signal(sum(packed_parts(unit)))
    back = Signal(max(8 * other.bytes for other in FORMATS.values() if other.unit is unit))
    m = Module()
    m.d.comb += [
        kept.eq(packed(unit, Cat(raw, Const(0, len(back) - len(raw))))),
        back.eq(unpacked(unit, kept, len(back))),
    ]
    wait = kept[packed_place(unit, "wait") :][:SEMAPHORES]

    async def bench(simulation: SimulatorContext) -> None:
        assert simulation.get(wait) == (1 << SEMAPHORES) - 1
        dropped = {"units"} if unit is Unit.VECTOR else {"opcode", "units"}
        for name, value in fields(form, back).items():
            if name not in dropped:
                assert simulation.get(value) in (-1, (1 << len(value)) - 1), name

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_semaphores(simulator: str) -> None:
    run_bench(Semaphores(5), "semaphores_bench", simulator, {"units": 5})
