"""Everything that is proven, for all presets and for odd sizes."""

from __future__ import annotations

from collections.abc import Iterator

from proofs.blocks import (
    addressing,
    bursts,
    fifo,
    ports,
    read_arbiter,
    reading,
    registers,
    rounding,
    semaphores,
    store,
)
from proofs.prover import Proof
from pulsarray.config import PRESETS, Config
from pulsarray.hw.memory.bursts import run_bits
from pulsarray.isa import Unit

__all__ = ["all_proofs", "first_of_each"]

_ODD = {
    "odd": Config(
        dim=3,
        scratchpad_banks=5,
        scratchpad_depth=100,
        bus_bits=16,
        burst_beats=16,
        outstanding=3,
        queue_depth=3,
    ),
    "least": Config(
        dim=2, scratchpad_banks=4, bus_bits=8, burst_beats=32, outstanding=1, queue_depth=1
    ),
}
_UNITS = len(Unit)


def all_proofs() -> Iterator[Proof]:
    """Every proof; what two configurations have alike is there once."""
    configs = PRESETS | _ODD
    for bits, depth in fifo.SIZES:
        yield fifo.proof(bits, depth)
    for units in (_UNITS, 2):
        yield semaphores.count_proof(units)
        yield semaphores.joined_proof(units)
    for sizes in dict.fromkeys((c.burst_bytes, c.bus_bytes, run_bits(c)) for c in configs.values()):
        yield bursts.proof(*sizes)
    arbiters = {(c.bus_bits, c.outstanding): name for name, c in reversed(configs.items())}
    for name in reversed(arbiters.values()):
        yield read_arbiter.proof(name, configs[name])
    for name, config in configs.items():
        yield store.proof(name, config)
    yield from _traps(configs)
    for prove in (reading.load_proof, reading.fetch_proof, registers.proof):
        yield from (prove(name, config) for name, config in configs.items())
    yield registers.proof("tiny", PRESETS["tiny"], address_bits=64)
    yield from _addresses()
    yield from _arithmetic()


def _traps(configs: dict[str, Config]) -> Iterator[Proof]:
    """Collisions at banks of every depth, and how the errors of every kind of machine are kept."""
    for depth in dict.fromkeys(config.scratchpad_depth for config in configs.values()):
        yield ports.bank_proof("scratchpad", depth)
    for depth in dict.fromkeys(config.accumulator_depth for config in configs.values()):
        yield ports.bank_proof("accumulator", depth)
    for name, config in configs.items():
        yield ports.errors_proof(name, config)


def _addresses() -> Iterator[Proof]:
    """Those of LOAD, STORE and WEIGHT; of VECTOR; of STREAM."""
    yield addressing.proof(3, 1, 16, window=True)
    yield addressing.proof(3, 1, 16, window=False)
    yield addressing.proof(4, 4, 16, window=False)
    yield addressing.proof(5, 2, 16, window=True)
    yield addressing.proof(2, 1, 6, window=False, products=True)


def _arithmetic() -> Iterator[Proof]:
    for bits in (32, 48, 24):
        yield rounding.saturate_proof(64, bits)
    for widths in ((64, 64, 64), (64, 17, 64), (33, 9, 40)):
        yield rounding.sum_proof(*widths)
    for bits in (48, 33):
        yield rounding.near_sum_proof(bits)
    yield rounding.round_proof(34, 6)
    yield rounding.requantize_proof(32, tflite=False)
    yield rounding.requantize_proof(48, tflite=False)
    for bits, width in ((32, 65), (24, 65), (24, 64)):
        yield rounding.requantize_proof(bits, tflite=True, width=width)


def first_of_each() -> dict[str, Proof]:
    """One proof of every block, by its name: that with which faults are planted."""
    firsts: dict[str, Proof] = {}
    for proof in all_proofs():
        firsts.setdefault(proof.name, proof)
    return firsts
