"""What orders the units: each unit's sequencer, and the semaphores between them."""

from __future__ import annotations

import pytest

from pulsarray.hw.semaphores import Semaphores
from pulsarray.hw.unit import Sequencer
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "bits", "wait", "depth"),
    [("icarus", 64, 16, 1), ("icarus", 250, 0, 3), ("icarus", 24, 8, 4), ("verilator", 250, 7, 3)],
)
def test_sequencer(simulator: str, bits: int, wait: int, depth: int) -> None:
    parameters = {"bits": bits, "wait": wait, "depth": depth}
    run_bench(Sequencer(bits, wait, depth), "sequencer_bench", simulator, parameters)


@pytest.mark.parametrize("form", [form for form in FORMATS.values() if form.unit is not None])
def test_queues_keep_every_field(form: Format) -> None:
    """An instruction of ones comes out of its unit's queue as it went in."""
    assert form.unit is not None
    ones = Const(sum(((1 << f.bits) - 1) << 8 * f.offset for f in form.fields), 8 * form.bytes)
    whole = Signal(8 * max(other.bytes for other in FORMATS.values()))
    kept = Signal(packed_width(form.unit))
    came = Signal(8 * max(f.bytes for f in FORMATS.values() if f.unit is form.unit))
    m = Module()
    m.d.comb += [
        whole.eq(ones),
        kept.eq(packed(form.unit, whole)),
        came.eq(unpacked(form.unit, kept, len(came))),
    ]

    async def bench(simulation: Any) -> None:
        got = simulation.get(came)
        for field, value in fields(form, Const(got, len(came))).items():
            assert Const.cast(value).value in (1, -1), field

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_semaphores(simulator: str) -> None:
    run_bench(Semaphores(5), "semaphores_bench", simulator, {"units": 5})
