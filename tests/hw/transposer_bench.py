"""Transposer against NumPy, used as STREAM does and as WEIGHT does."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from tests.hw.bench import Bench, pack, parameters, unpack

OUTPUTS = ("out_data", "full", "valid")


class Block:
    """Random words, and the times of the block: first word in, first word out."""

    def __init__(self, generator: random.Random, first_in: int, first_out: int) -> None:
        dim, bits = parameters()["dim"], parameters()["operand_bits"]
        half = 1 << (bits - 1)
        values = [[generator.randrange(-half, half) for _ in range(dim)] for _ in range(dim)]
        self.words = np.array(values)
        self.first_in, self.first_out = first_in, first_out


def blocks(generator: random.Random, early: bool) -> list[Block]:
    """Blocks as close as may be and further; ``early``: each leaves as soon as it is whole."""
    dim, read = parameters()["dim"], []
    first_in, first_out = 0, 0
    for _ in range(20):
        gap = generator.choice([0, 0, 1, dim - 1, dim + 2])
        first_in = max(first_in + dim if read else 0, first_out) + gap
        wait = 0 if early else generator.choice([0, 1, dim])
        first_out = max(first_in + dim, first_out + dim) + wait
        read.append(Block(generator, first_in, first_out))
    return read


async def play(bench: Bench, generator: random.Random, plan: list[Block]) -> None:
    """Drive a plan and check each cycle of it."""
    dim, bits = parameters()["dim"], parameters()["operand_bits"]
    entering = {b.first_in + i: b.words[i] for b in plan for i in range(dim)}
    leaving = {b.first_out + i: b.words[:, i] for b in plan for i in range(dim)}
    whole = {t for b in plan for t in range(b.first_in + dim, b.first_out + 1)}
    for cycle in range(plan[-1].first_out + dim + 2):
        word = entering.get(cycle)
        noise = [generator.getrandbits(bits) for _ in range(dim)]
        inputs = {
            "in_valid": int(word is not None),
            "in_data": pack(noise if word is None else word, bits),
            "out_enable": int(cycle in leaving),
        }
        got = await bench.cycle(inputs, OUTPUTS)
        assert got["full"] == (cycle in whole), f"cycle {cycle}"
        assert got["valid"] == (cycle in whole or cycle in leaving), f"cycle {cycle}"
        if cycle in leaving:
            assert unpack(got["out_data"], bits, dim) == leaving[cycle].tolist(), f"cycle {cycle}"


@cocotb.test()
async def stream_path(dut: Any) -> None:
    """Word i of a block is out D cycles after word i went in."""
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    await play(bench, generator, blocks(generator, early=True))


@cocotb.test()
async def weight_path(dut: Any) -> None:
    """A block is held until it is wanted, and the next one follows it in."""
    generator = random.Random(parameters()["seed"] + 1)
    bench = Bench(dut)
    await bench.start()
    await play(bench, generator, blocks(generator, early=False))


@cocotb.test()
async def clear_forgets(dut: Any) -> None:
    """After ``clear`` in the middle of everything the next block is whole and right."""
    generator = random.Random(parameters()["seed"] + 2)
    bench, dim = Bench(dut), parameters()["dim"]
    await bench.start()
    for cycle in range(2 * dim - 1):
        await bench.cycle({"in_valid": 1, "out_enable": int(cycle == dim)})
    await bench.cycle({"clear": 1})
    await play(bench, generator, blocks(generator, early=True))


@cocotb.test()
async def nothing_to_take(dut: Any) -> None:
    """``out_enable`` without a word disturbs neither a block that enters nor its order."""
    generator = random.Random(parameters()["seed"] + 3)
    bench, dim, bits = Bench(dut), parameters()["dim"], parameters()["operand_bits"]
    await bench.start()
    words = Block(generator, 0, 0).words
    for word in words:
        await bench.cycle({"in_valid": 1, "in_data": pack(word, bits), "out_enable": 1})
    for lane in range(dim):
        got = await bench.cycle({"out_enable": 1}, OUTPUTS)
        assert unpack(got["out_data"], bits, dim) == words[:, lane].tolist()
