"""The blocks that are mutated, and the bench of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import wiring

from benchmarks.mutation import views
from benchmarks.mutation.equivalence import Views
from pulsarray.config import Config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.control.counters import Counters
from pulsarray.hw.control.errors import Errors
from pulsarray.hw.control.fetch import Fetch
from pulsarray.hw.control.registers import Registers
from pulsarray.hw.control.semaphores import Semaphores
from pulsarray.hw.control.sequencer import Sequencer
from pulsarray.hw.memory.banks import Banks
from pulsarray.hw.memory.read_arbiter import ReadArbiter
from pulsarray.hw.units.array import Array
from pulsarray.hw.units.load import LoadUnit
from pulsarray.hw.units.store import StoreUnit
from pulsarray.hw.units.stream import StreamUnit
from pulsarray.hw.units.transposer import Transposer
from pulsarray.hw.units.weight import WeightUnit
from pulsarray.hw.vector.unit import VectorUnit
from tests.hw.configs import CONFIGS, settings

__all__ = ["BLOCKS", "Block"]


@dataclass(frozen=True)
class Block:
    """A block of one size.

    Members
    -------
    component
        Makes it.
    bench
        Module of ``tests/hw`` with its tests.
    settings
        Numbers for the bench.
    views
        What of it is looked at.
    """

    component: Callable[[], wiring.Component[Any]]
    bench: str
    settings: Mapping[str, int]
    views: Views = field(default_factory=Views)


def _of_machine(
    component: Callable[[Config], wiring.Component[Any]],
    bench: str,
    name: str,
    seen: Views | None = None,
) -> Block:
    config = CONFIGS[name]
    return Block(lambda: component(config), bench, settings(config), seen or Views())


def _of_sizes(
    component: Callable[..., wiring.Component[Any]],
    bench: str,
    seen: Views | None = None,
    **sizes: int,
) -> Block:
    settings = {**sizes, "seed": 1}
    return Block(lambda: component(*sizes.values()), bench, settings, seen or Views())


_LANES = Config(dim=2, bus_bits=16, parameter_depth=8)
BLOCKS = {
    "address generator": Block(
        lambda: AddressGenerator(3, 1, window=True),
        "addressing_bench",
        {"levels": 3, "streams": 1, "window": 1, "seed": 3},
        views.ADDRESSES,
    ),
    "array": _of_sizes(Array, "array_bench", dim=3, operand_bits=8, psum_bits=18),
    "banks": _of_machine(Banks, "banks_bench", "d5-wide"),
    "counters": Block(Counters, "counters_bench", {}),
    "errors": _of_machine(Errors, "errors_bench", "d5-wide"),
    "fetch": _of_machine(Fetch, "fetch_bench", "d2-word", views.FETCH),
    "load": _of_machine(LoadUnit, "load_bench", "d3-half", views.LOAD),
    "memory": _of_sizes(Memory1R1W, "memory_bench", bits=8, depth=13),
    "read arbiter": _of_machine(ReadArbiter, "read_arbiter_bench", "d3-half"),
    "registers": _of_machine(Registers, "registers_bench", "d3-half", views.REGISTERS),
    "semaphores": _of_sizes(Semaphores, "semaphores_bench", units=5),
    "sequencer": Block(
        lambda: Sequencer([64, 40], 16, 2, blocks=True),
        "sequencer_bench",
        {"part0": 64, "part1": 40, "part2": 0, "wait": 16, "depth": 2},
    ),
    "store": _of_machine(StoreUnit, "store_bench", "d5-wide", views.STORE),
    "stream": _of_machine(StreamUnit, "stream_bench", "d5-wide"),
    "transposer": _of_sizes(
        Transposer, "transposer_bench", views.TRANSPOSER, dim=3, operand_bits=8
    ),
    "vector": Block(lambda: VectorUnit(_LANES), "vector_bench", {**settings(_LANES), "seed": 1}),
    "weight": _of_machine(WeightUnit, "weight_bench", "d4-quarter", views.WEIGHT),
}
"""By name."""
