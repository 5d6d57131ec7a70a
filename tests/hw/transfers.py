"""What the benches of LOAD and STORE share: random transfers, their bursts and their words."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode

__all__ = [
    "bad_transfers",
    "bank_words",
    "beats_per_word",
    "bursts",
    "endless_transfer",
    "memory_byte",
    "transfer",
]

_ADDRESSES = 1 << 32


def memory_byte(address: int) -> int:
    """The byte that memory holds at an address."""
    return (address * 0x9E3779B1 >> 13) & 0xFF


def is_wide(bank: int) -> bool:
    """Whether words of a bank are sums in memory."""
    return Bank.ACCUMULATOR <= bank < Bank.TABLE


def beats_per_word(bank: int, config: Config) -> int:
    """Beats of one word of a bank."""
    return config.beats_per_word * (4 if is_wide(bank) else 1)


def transfer(
    generator: random.Random,
    op: Opcode,
    config: Config,
    banks: list[int],
    sizes: tuple[int, int, int] | None = None,
) -> Instruction:
    """A random legal LOAD or STORE, some with several bursts a run, some across a page.

    ``sizes`` are its counts and its run, few words without them.
    """
    bank = generator.choice(banks)
    unit = 4 if is_wide(bank) else 1
    word = unit * config.word_bytes
    run = generator.choice([1, 1, 2, 5, generator.randint(1, 1 + 600 // word)])
    *counts, run = sizes or (*(generator.choice([1, 1, 2, 3]) for _ in range(2)), run)
    address = generator.randrange(0, _ADDRESSES, word)
    if generator.randrange(2):
        address = (address & ~0xFFF) + (0x1000 - word * generator.randint(1, 3)) % 0x1000
    loops = {}
    for level, count in enumerate(counts):
        most = generator.choice([90, (1 << 31) // unit - 1])
        stride = unit * generator.randint(-most, most)
        # The stride of a level with one iteration is not looked at.
        loops[f"memory_stride{level}"] = stride if count > 1 else generator.randint(-90, 90)
        loops[f"count{level}"] = count
        loops[f"local_stride{level}"] = generator.randint(-1 << 15, (1 << 15) - 1)
    return Instruction.make(
        op,
        signal=generator.getrandbits(16),
        bank=bank,
        local=generator.randrange(1 << 16),
        run=run,
        address=address,
        **loops,
    )


def endless_transfer(
    generator: random.Random, op: Opcode, config: Config, banks: list[int]
) -> Instruction:
    """One with far too many words to see the end of: sizes a little above powers of two."""
    sizes = [(1 << generator.randrange(2, 16)) + generator.randrange(3) for _ in range(3)]
    for level in generator.choice([(), (2,), (1, 2), (0,), (0, 1)]):
        sizes[level] = 1
    return transfer(generator, op, config, banks, (sizes[0], sizes[1], sizes[2]))


def runs(instruction: Instruction) -> Iterator[tuple[int, int]]:
    """Offsets of each run in memory (operand words) and in the bank."""
    for i0 in range(instruction["count0"]):
        for i1 in range(instruction["count1"]):
            yield (
                i0 * instruction["memory_stride0"] + i1 * instruction["memory_stride1"],
                i0 * instruction["local_stride0"] + i1 * instruction["local_stride1"],
            )


def bursts(instruction: Instruction, config: Config) -> Iterator[tuple[int, int]]:
    """Byte address and beats of each burst."""
    size = beats_per_word(instruction["bank"], config) * config.bus_bytes
    for offset, _ in runs(instruction):
        address = (instruction["address"] + config.word_bytes * offset) % _ADDRESSES
        left = instruction["run"] * size
        while left:
            part = min(left, config.burst_bytes, 4096 - address % 4096)
            yield address, part // config.bus_bytes
            address, left = (address + part) % _ADDRESSES, left - part


def bank_words(instruction: Instruction) -> Iterator[int]:
    """Address in the bank of every word in order."""
    for _, offset in runs(instruction):
        for number in range(instruction["run"]):
            yield (instruction["local"] + offset + number) & 0xFFFF


def bad_transfers(
    generator: random.Random, op: Opcode, config: Config, banks: list[int]
) -> list[Instruction]:
    """Transfers that break one rule each; what is not looked at is anything."""
    word = config.word_bytes
    sums = int(Bank.ACCUMULATOR)
    legal = set(range(config.scratchpad_banks))
    legal |= {sums + bank for bank in range(config.accumulator_banks)} | {*banks}
    wrong = [bank for bank in range(256) if bank not in legal]
    wrong = [bank for bank in wrong if bank - 1 in legal or bank.bit_count() in (1, 7)]
    pages = generator.randrange(1 << 20)
    changes: list[dict[str, int]] = [
        *({"bank": bank} for bank in wrong),
        *({name: 0} for name in ("run", "count0", "count1")),
        *({"address": pages << 12 | 1 << bit} for bit in range(word.bit_length() - 1)),
        *({"bank": sums, "address": pages << 12 | word << bit} for bit in range(2)),
    ]
    for level in range(2):
        for bit in range(1, 16):
            stride = generator.randrange(-1 << 20, 1 << 20) * 4 + generator.randrange(1, 4)
            loop = {f"count{level}": 1 << bit, f"memory_stride{level}": stride}
            changes.append({"bank": sums, **loop})
    return [Instruction.make(op, **{"bank": 0, "address": pages << 12, **c}) for c in changes]
