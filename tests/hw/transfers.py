"""What the benches of LOAD and STORE share: random transfers, their bursts and their words."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode

__all__ = ["bad_transfers", "bank_words", "beats_per_word", "bursts", "memory_byte", "transfer"]


def memory_byte(address: int) -> int:
    """The byte that memory holds at an address."""
    return (address * 0x9E3779B1 >> 13) & 0xFF


def is_wide(bank: int) -> bool:
    """Whether words of a bank are sums in memory."""
    return Bank.ACCUMULATOR <= bank < Bank.TABLE


def beats_per_word(bank: int, config: Config) -> int:
    """Beats of one word of a bank."""
    return config.beats_per_word * (4 if is_wide(bank) else 1)


def transfer(generator: random.Random, op: Opcode, config: Config, banks: list[int]) -> Instruction:
    """A random legal LOAD or STORE, some with several bursts a run, some across a page."""
    bank = generator.choice(banks)
    unit = 4 if is_wide(bank) else 1
    word = unit * config.word_bytes
    run = generator.choice([1, 1, 2, 5, generator.randint(1, 1 + 600 // word)])
    counts = [generator.choice([1, 1, 2, 3]) for _ in range(2)]
    address = generator.randrange(1 << 17, 1 << 18, word)
    if generator.randrange(2):
        address = (address & ~0xFFF) + 0x1000 - word * generator.randint(1, 3)
    loops = {}
    for level, count in enumerate(counts):
        stride = unit * generator.randint(-90, 90)
        # The stride of a level with one iteration is not looked at.
        loops[f"memory_stride{level}"] = stride if count > 1 else generator.randint(-90, 90)
        loops[f"count{level}"] = count
        loops[f"local_stride{level}"] = generator.randint(-200, 200)
    return Instruction.make(
        op,
        signal=generator.getrandbits(16),
        bank=bank,
        local=generator.randrange(1 << 16),
        run=run,
        address=address,
        **loops,
    )


def runs(instruction: Instruction) -> Iterator[tuple[int, int]]:
    """Offsets of each run in memory (operand words) and in the bank."""
    for i0 in range(instruction["count0"]):
        for i1 in range(instruction["count1"]):
            yield (
                i0 * instruction["memory_stride0"] + i1 * instruction["memory_stride1"],
                i0 * instruction["local_stride0"] + i1 * instruction["local_stride1"],
            )


def bursts(instruction: Instruction, config: Config) -> list[tuple[int, int]]:
    """Byte address and beats of each burst."""
    drawn = []
    size = beats_per_word(instruction["bank"], config) * config.bus_bytes
    for offset, _ in runs(instruction):
        address = instruction["address"] + config.word_bytes * offset
        left = instruction["run"] * size
        while left:
            part = min(left, config.burst_bytes, 4096 - address % 4096)
            drawn.append((address, part // config.bus_bytes))
            address, left = address + part, left - part
    return drawn


def bank_words(instruction: Instruction) -> list[int]:
    """Address in the bank of every word in order."""
    return [
        (instruction["local"] + offset + i) & 0xFFFF
        for _, offset in runs(instruction)
        for i in range(instruction["run"])
    ]


def bad_transfers(op: Opcode, config: Config, banks: list[int]) -> list[Instruction]:
    """Transfers that break one rule each."""
    word = config.word_bytes
    sums = Bank.ACCUMULATOR
    wrong = [0x3F, 0x7F, 0x82, 0xFE, config.scratchpad_banks, sums + config.accumulator_banks]
    wrong += [bank for bank in (Bank.PARAMETER, Bank.TABLE) if bank not in banks]
    changes: list[dict[str, int]] = [
        *({"bank": bank} for bank in wrong),
        *({name: 0} for name in ("run", "count0", "count1")),
        {"address": 4096 + 1},
        {"address": 4096 + word // 2},
        {"bank": sums, "address": 4096 + word},
        {"bank": sums, "address": 4096 + 2 * word},
        {"bank": sums, "count0": 2, "memory_stride0": 6},
        {"bank": sums, "count1": 2, "memory_stride1": -3},
    ]
    return [Instruction.make(op, **{"bank": 0, "address": 4096, **c}) for c in changes]
