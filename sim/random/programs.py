"""Random programs of single instructions, legal by construction, for comparing RTL and model.

A program loads every bank, runs random instructions of all units with as little ordering as
legality allows, and stores every bank, so that whatever was computed is visible in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import Bank, Instruction, Opcode, ScaleAction, encode_all
from pulsarray.program import Program
from pulsarray.sim.random.instructions import Draw
from pulsarray.sim.random.machines import fewer_lanes
from pulsarray.sim.random.ordering import Ordering, Use

__all__ = ["random_config", "random_program"]

PAGE = 4096
_TRIES = 20


def random_config(random: np.random.Generator, dim: int, operand_bits: int = 8) -> Config:
    """A random small configuration for a D."""
    pick = random.choice
    word = (1 << (dim - 1).bit_length()) * operand_bits
    bus = int(pick([bits for bits in (word // 4, word // 2, word) if bits >= 8]))
    eight = operand_bits == 8
    training = not eight and bool(random.random() < 0.6)
    config = Config(
        dim=dim,
        operand_bits=operand_bits,
        acc_bits=int(
            random.integers(24, 33) if eight else random.integers(40, 49 if training else 65)
        ),
        scale_bits=int(pick((16, 24, 31, 31))) if eight else 0,
        scratchpad_banks=int(random.integers(4, 7)),
        scratchpad_depth=int(pick((32, 48, 64))),
        accumulator_banks=int(random.integers(2, 4)),
        accumulator_depth=int(pick((16, 32, 40))),
        parameter_depth=int(random.integers(1, 7)),
        tables=int(random.integers(int(training), 3)),
        table_segments=256 if eight else int(pick((16, 32, 64))),
        bus_bits=bus,
        burst_beats=int(pick([beats for beats in (16, 32, 64) if beats * bus >= 256])),
        outstanding=int(random.integers(1, 9)),
        queue_depth=int(random.integers(1, 5)),
        transposer=bool(random.random() < 0.8),
        vector_multiply=bool(training or random.random() < 0.8),
        training=training,
        fast_clock=bool(random.random() < 0.3),
        tflite=bool(random.random() < 0.8),
        residual=bool(random.random() < 0.8),
        leaky=bool(random.random() < 0.8),
    )
    return fewer_lanes(random, config)


def random_program(config: Config, seed: int, length: int = 40) -> Program:
    """A random program of about ``length`` instructions between its first loads and last stores."""
    random = np.random.default_rng(seed)
    data = _pages(_largest_bank(config)) + PAGE * int(random.integers(1, 4))
    draw = Draw(config, random, data)
    ordering = Ordering(random)
    banks = _banks(config)
    for bank in banks:
        span = draw.depth(bank) * _word(config, bank)
        first = draw.integer(0, (data - span) // config.acc_word_bytes) * config.acc_word_bytes
        _require(ordering.add(draw.whole_bank(Opcode.LOAD, bank, first)))
    while len(ordering) < len(banks) + length:
        _add_random(draw, ordering)
    if config.training:
        _add_registers(draw, ordering)
    end = _add_stores(draw, ordering, banks, data)
    return _assemble(config, ordering, random, data, end, seed)


def _require(added: bool) -> None:
    if not added:
        raise RuntimeError("a random program cannot be ordered with 16 semaphores")


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _banks(config: Config) -> list[int]:
    tables = [int(Bank.TABLE)] if config.tables else []
    accumulators = [Bank.ACCUMULATOR + i for i in range(config.accumulator_banks)]
    return [*range(config.scratchpad_banks), *accumulators, int(Bank.PARAMETER), *tables]


def _word(config: Config, bank: int) -> int:
    wide = Bank.ACCUMULATOR <= bank <= Bank.PARAMETER
    return config.acc_word_bytes if wide else config.word_bytes


def _largest_bank(config: Config) -> int:
    tables = config.tables * config.table_planes * config.table_words
    narrow = max(config.scratchpad_depth, tables) * config.word_bytes
    return max(
        narrow, max(config.accumulator_depth, 4 * config.parameter_depth) * config.acc_word_bytes
    )


def _add_random(draw: Draw, ordering: Ordering) -> None:
    """Add one instruction, or a WEIGHT and the STREAMs that use its tiles, if it can be ordered."""
    kind = draw.integer(0, 99)
    if kind < 35:
        _add_product(draw, ordering)
        return
    if kind < 53:
        use = _drawn(lambda: draw.transfer(Opcode.LOAD))
    elif kind < 65:
        use = _drawn(lambda: draw.transfer(Opcode.STORE))
    else:
        use = _drawn(draw.vector if kind < (87 if draw.config.training else 95) else draw.registers)
    if use is not None:
        ordering.add(use)


def _add_registers(draw: Draw, ordering: Ordering) -> None:
    """Write the exponent registers to words wherever that can be ordered, to be stored."""
    for first in range(0, EXPONENTS, draw.config.dim):
        for _ in range(_TRIES):
            if ordering.add(draw.scale(ScaleAction.WRITE, first)):
                break


def _drawn(draw: Callable[[], Use | None]) -> Use | None:
    """The first draw that fits, if one does in a few tries."""
    return next(filter(None, (draw() for _ in range(_TRIES))), None)


def _add_product(draw: Draw, ordering: Ordering) -> None:
    before = ordering.snapshot()
    drawn = draw.weight()
    if drawn is None or not ordering.add(drawn[0]):
        return
    feeding = len(ordering) - 1
    left = drawn[1]
    first = True
    while left:
        keep = not first and draw.chance(0.3)
        passes = draw.integer(1, 3) if keep else draw.integer(1, left)
        if not _add_stream(draw, ordering, passes, keep, feeding):
            ordering.restore(before)
            return
        left -= 0 if keep else passes
        first = False


def _add_stream(draw: Draw, ordering: Ordering, passes: int, keep: bool, feeding: int) -> bool:
    for _ in range(_TRIES):
        use = draw.stream(passes, keep, int(ordering.fields(feeding)["bank"]))
        if use is not None and ordering.add(use, feeding):
            return True
    return False


def _add_stores(draw: Draw, ordering: Ordering, banks: list[int], address: int) -> int:
    """Store every bank that can be stored; gives the first free page."""
    for bank in banks:
        if bank < Bank.PARAMETER:
            use = draw.whole_bank(Opcode.STORE, bank, address)
            _require(ordering.add(use))
            address = _pages(address + draw.depth(bank) * _word(draw.config, bank))
    return address


def _data(config: Config, random: np.random.Generator, size: int) -> npt.NDArray[np.uint8]:
    """Random memory: full-range bytes, small operands, and slots of 0..40 (shifts, small sums)."""
    memory = random.integers(0, 256, size, np.uint8)
    slot = config.acc_slot_bytes
    for start in range(0, size, 256):
        part = memory[start : start + 256]
        kind = random.integers(0, 4)
        if kind == 1:
            part[:] = random.integers(-6, 7, 256).astype(np.int8).view(np.uint8)
        elif kind == 2:
            part.reshape(-1, slot)[:, 1:] = 0
            part.reshape(-1, slot)[:, 0] %= 41
        elif kind == 3:
            part.reshape(-1, slot)[:, slot // 2 :] = 0
    return memory


def _assemble(
    config: Config, ordering: Ordering, random: np.random.Generator, data: int, end: int, seed: int
) -> Program:
    instructions = [*ordering.instructions(), Instruction.make(Opcode.END)]
    code = encode_all(instructions)
    memory = np.zeros(end + _pages(len(code)), np.uint8)
    memory[:data] = _data(config, random, data)
    memory[end : end + len(code)] = np.frombuffer(code, np.uint8)
    return Program(
        config=config, code=code, code_address=end, memory=memory, tensors=[], layers=[],
        network=f"random:{seed}",
    )  # fmt: skip
