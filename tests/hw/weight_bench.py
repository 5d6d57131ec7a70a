"""WEIGHT against the equations of its tiles, with passes that take them at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Instruction, Opcode, WeightFlag
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, pack, parameters, unpack

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "loaded", "begun", "w", "w_row", "w_valid"),
    *("port__enable", "port__bank", "port__address", "port__hold"),
)


@dataclass
class Tile:
    """One tile: whose it is, its rows' addresses (None: zero), and when things happen."""

    index: int
    instruction: Instruction
    rows: list[int | None]
    last: bool
    read: int | None = None  # u
    emitted: int | None = None  # o
    released: int | None = None  # rel

    @property
    def turned(self) -> bool:
        """Whether it goes through the transposer."""
        return bool(self.instruction["flags"])

    def values(self, config: Config) -> list[list[int]]:
        """Rows as the array gets them."""
        bank = self.instruction["bank"]
        dim = config.dim
        read = [[0] * dim if row is None else lanes(bank, row, config) for row in self.rows]
        return [list(column) for column in zip(*read, strict=True)] if self.turned else read


def lanes(bank: int, address: int, config: Config) -> list[int]:
    """What a bank holds at an address."""
    generator = random.Random(bank << 16 | address)
    half = 1 << (config.operand_bits - 1)
    return [generator.randrange(-half, half) for _ in range(config.dim)]


def random_weight(generator: random.Random, config: Config) -> Instruction:
    """A legal instruction, many with rows outside, near or far."""
    most = generator.choice([5, 5, 4000])
    row_start = generator.randint(-most, most)
    near = max(0, row_start) + generator.randint(0, most)
    loops = {}
    for level in range(2):
        loops[f"count{level}"] = generator.choice([1, 1, 2, 3])
        loops[f"stride{level}"] = generator.randint(-1 << 15, (1 << 15) - 1)
        steps = [0, config.dim, generator.randint(-most, most)]
        loops[f"row_step{level}"] = generator.choice(steps)
    return Instruction.make(
        Opcode.WEIGHT,
        signal=generator.getrandbits(16),
        bank=generator.randrange(config.scratchpad_banks),
        flags=WeightFlag.TRANSPOSE * generator.randrange(1 + config.transposer),
        local=generator.randrange(1 << 16),
        row_stride=generator.choice([generator.randint(-9, 9), generator.randint(-9999, 9999)]),
        row_start=row_start,
        row_limit=generator.choice([0xFFFF, near, near, 1 << generator.randrange(16), 0]),
        **loops,
    )


def tiles(index: int, instruction: Instruction, dim: int) -> list[Tile]:
    """The tiles of an instruction."""
    emitted = [Tile(index, instruction, rows, last=False) for rows in tile_rows(instruction, dim)]
    emitted[-1].last = True
    return emitted


def tile_rows(instruction: Instruction, dim: int) -> Iterator[list[int | None]]:
    """The addresses of each tile's rows."""
    get = instruction.__getitem__
    limit = get("row_limit") if get("row_limit") != 0xFFFF else 1 << 20
    for i0 in range(get("count0")):
        for i1 in range(get("count1")):
            base = get("local") + i0 * get("stride0") + i1 * get("stride1")
            row = get("row_start") + i0 * get("row_step0") + i1 * get("row_step1")
            yield [
                (base + r * get("row_stride")) & 0xFFFF if 0 <= row + r < limit else None
                for r in range(dim)
            ]


class Weights:
    """Passes, the scratchpad, and what the unit must do in each cycle."""

    def __init__(self, generator: random.Random, config: Config, pace: float) -> None:
        self.generator, self.config, self.pace = generator, config, pace
        self.tiles: list[Tile] = []
        self.own = 0  # the next tile is not read before
        self.number = 0  # next tile to read
        self.taken = 0
        self.earliest = 0  # the next pass
        self.turned_pass = False
        self.words = 1
        self.started = self.completed = 0
        self.now = 0
        self.new_pass()

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def recent(self) -> list[Tile]:
        """The tiles that something may happen to now."""
        return self.tiles[max(0, self.taken - 3) : self.number + 1]

    def new_pass(self) -> None:
        """What the next pass is: plain or transposed, and its words."""
        dim, was_turned = self.config.dim, self.turned_pass
        self.turned_pass = bool(self.config.transposer and self.generator.randrange(2))
        self.words = self.generator.choice([1, dim, dim + 1, 2 * dim])
        if self.turned_pass:
            self.words = dim * self.generator.choice([1, 1, 2])
        elif was_turned:
            self.earliest += dim

    def place(self, tile: Tile, before: Tile | None) -> None:
        """Decide whether this tile is read or emitted in this cycle (docs/machine.md, WEIGHT)."""
        now, dim = self.now, self.config.dim
        free = before is None or (
            before.emitted is not None
            and before.emitted + dim <= now
            and before.released is not None
            and before.released <= now
        )
        if tile.turned:
            behind = before is None or not before.turned or before.emitted is not None
            if tile.read is None and self.own <= now and behind:
                tile.read = now
            if tile.emitted is None and tile.read is not None and tile.read + dim <= now and free:
                tile.emitted = now
        elif tile.read is None and self.own <= now and free:
            tile.read = tile.emitted = now

    def place_all(self) -> None:
        """Every tile that something may happen to in this cycle, in order."""
        for number in range(max(0, self.taken - 1), len(self.tiles)):
            if number > self.number:
                break
            tile = self.tiles[number]
            if tile.emitted is None:
                self.place(tile, self.tiles[number - 1] if number else None)
            if number == self.number and tile.read == self.now:
                self.number += 1
                self.own = self.now + self.config.dim
                break

    def cycle(self, following: Instruction | None) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle; ``following`` starts if it can and will."""
        now, dim = self.now, self.config.dim
        inputs: dict[str, int] = {}
        expected: dict[str, int] = {"error": 0}
        for tile in self.recent():
            if tile.released == now:
                inputs["release_later"] = 1
        self.place_all()
        self._take(inputs, expected)
        self.place_all()
        reading = self._rows(expected)
        active = reading is not None or self.number < len(self.tiles)
        expected |= {"active": active, "port__hold": active}
        expected["stall"] = active and reading is None
        self._completion(expected)
        last = self.tiles[-1] if self.tiles else None
        ready = last is None or (last.read is not None and now >= last.read + dim - 1)
        expected["ready"] = ready
        if following is not None and ready and self.chance():
            index = self.generator.getrandbits(INDEX_BITS)
            inputs |= {"start": 1, "instruction": encoded(following), "index": index}
            self.tiles += tiles(index, following, dim)
            self.own = now + 1
            self.started += 1
        self.now += 1
        return inputs, expected

    def _take(self, inputs: dict[str, int], expected: dict[str, int]) -> None:
        now, dim = self.now, self.config.dim
        tile = self.tiles[self.taken] if self.taken < len(self.tiles) else None
        emitted = tile.emitted if tile else None
        expected["begun"] = emitted is not None
        expected["loaded"] = emitted is not None and emitted + dim <= now
        may = expected["begun" if self.turned_pass else "loaded"] and now >= self.earliest
        inputs["release_now"] = not self.turned_pass
        if tile is None or not may or not self.chance():
            return
        inputs["take"] = 1
        tile.released = now + dim if self.turned_pass else now
        self.taken += 1
        self.earliest = now + self.words
        self.new_pass()

    def _rows(self, expected: dict[str, int]) -> int | None:
        """The row that is read now, and the row on the face; the row that is read."""
        now, dim, row = self.now, self.config.dim, None
        expected |= {"w_valid": 0, "port__enable": 0}
        for tile in self.recent():
            if tile.read is not None and tile.read <= now < tile.read + dim:
                row = now - tile.read
                address = tile.rows[row]
                if address is not None:
                    bank = tile.instruction["bank"]
                    expected |= {"port__enable": 1, "port__bank": bank, "port__address": address}
            if tile.emitted is not None and 0 <= now - 1 - tile.emitted < dim:
                place = now - 1 - tile.emitted
                values = pack(tile.values(self.config)[place], self.config.operand_bits)
                expected |= {"w_valid": 1, "w_row": place, "w": values}
        return row

    def _completion(self, expected: dict[str, int]) -> None:
        expected |= {"complete": 0, "busy": self.started > self.completed}
        for tile in self.recent():
            if (
                tile.last
                and tile.emitted is not None
                and self.now == tile.emitted + self.config.dim
            ):
                expected |= {"complete": 1, "complete_index": tile.index}
                expected["complete_signal"] = tile.instruction["signal"]
                self.completed += 1


def answer(generator: random.Random, config: Config, got: dict[str, int]) -> dict[str, int]:
    """What the scratchpad gives in the cycle after it was asked, or noise."""
    bits = config.operand_bits
    if not got.get("port__enable"):
        return {"port__word": generator.getrandbits(config.dim * bits)}
    return {"port__word": pack(lanes(got["port__bank"], got["port__address"], config), bits)}


@cocotb.test()
async def tiles_and_passes(dut: Any) -> None:
    """Random tiles, plain and transposed, taken by random passes as early as can be or later."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 1.0, 0.7, 0.2):
        await bench.cycle({"clear": 1})
        model, got = Weights(generator, config, pace), {}
        left = [random_weight(generator, config) for _ in range(20)]
        while left or model.taken < len(model.tiles):
            before = model.started
            inputs, expected = model.cycle(left[0] if left else None)
            got = await bench.cycle({**inputs, **answer(generator, config, got)}, OUTPUTS)
            for name, value in expected.items():
                text = f"cycle {model.now - 1}: {name} is {got[name]:x}, not {int(value):x}"
                assert got[name] == value, text
            if model.started > before:
                left.pop(0)


@cocotb.test()
async def long_loops(dut: Any) -> None:
    """Hundreds of tiles, each taken at once: the first row of each, and the end."""
    config, generator = machine(), random.Random(parameters()["seed"])
    dim = config.dim
    bench = Bench(dut)
    await bench.start()
    for counts in ((300, 1), (1, 290), (2, 70), (3, 33)):
        await bench.cycle({"clear": 1})
        loops = {f"count{level}": count for level, count in enumerate(counts)}
        loops |= {f"stride{level}": generator.randrange(-1 << 15, 1 << 15) for level in range(2)}
        loops |= {f"row_step{level}": generator.randint(-7, 7) for level in range(2)}
        limit = generator.randrange(2000, 20000)
        loops |= {"row_limit": limit, "row_start": limit + generator.randint(-500, 500)}
        loops |= {"local": generator.randrange(1 << 16), "signal": generator.getrandbits(16)}
        weight = Instruction.make(Opcode.WEIGHT, **loops)
        await bench.cycle({"start": 1, "instruction": encoded(weight)})
        every = tiles(0, weight, dim)
        for number, tile in enumerate(every):
            take = {"take": int(number > 0), "release_now": int(number > 0)}
            got = await bench.cycle(take, OUTPUTS)
            assert got["port__enable"] == (tile.rows[0] is not None)
            assert tile.rows[0] is None or got["port__address"] == tile.rows[0]
            assert not got["complete"]
            await bench.skip(dim - 2, {})
            assert (await bench.cycle({}, ["ready"]))["ready"] == (tile is every[-1])
        got = await bench.cycle({"take": 1, "release_now": 1}, OUTPUTS)
        assert (got["active"], got["complete"]) == (0, 1)
        assert got["complete_signal"] == weight["signal"]


@cocotb.test()
async def endless(dut: Any) -> None:
    """WEIGHTs with far more tiles than are looked at."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for _ in range(25):
        counts = [(1 << generator.randrange(2, 16)) + generator.randrange(3) for _ in range(2)]
        counts[generator.randrange(2)] = generator.choice([1, counts[0]])
        loops = {f"count{level}": count for level, count in enumerate(counts)}
        loops |= {f"stride{level}": generator.randrange(-1 << 15, 1 << 15) for level in range(2)}
        weight = Instruction.make(Opcode.WEIGHT, **loops)
        await bench.cycle({"start": 1, "instruction": encoded(weight)})
        for number, tile in enumerate(islice(tile_rows(weight, config.dim), 5)):
            take = {"take": int(number > 0), "release_now": int(number > 0)}
            for row in tile:
                got = await bench.cycle(take, ["port__enable", "port__address", "active"])
                assert (got["port__enable"], got["port__address"], got["active"]) == (1, row, 1)
                take = {}
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def bad_fields(dut: Any) -> None:
    """Every broken rule is found in the cycle of the start."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    banks = [config.scratchpad_banks, *(1 << bit for bit in range(2, 8)), 0x81, 0xFF]
    changes = [
        *({"bank": bank} for bank in banks if bank >= config.scratchpad_banks),
        *({"flags": 1 << bit} for bit in range(config.transposer, 8)),
        *({f"count{level}": 0} for level in range(2)),
    ]
    for change in changes:
        bad, index = Instruction.make(Opcode.WEIGHT, **change), generator.getrandbits(INDEX_BITS)
        inputs = {"start": 1, "instruction": encoded(bad), "index": index}
        got = await bench.cycle(inputs, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, index), str(change)
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def halts(dut: Any) -> None:
    """A halted WEIGHT reads nothing; after a clear it works as after reset."""
    config, generator = machine(), random.Random(parameters()["seed"])
    dim = config.dim
    bench = Bench(dut)
    await bench.start()
    flags = [0, int(WeightFlag.TRANSPOSE)][: 1 + config.transposer]
    for flag in flags:
        weight = Instruction.make(Opcode.WEIGHT, count0=3, stride0=dim, flags=flag)
        start = {"start": 1, "instruction": encoded(weight)}
        for wait in (0, 1, dim, dim + 1, 3 * dim):
            await bench.cycle(start)
            for _ in range(wait):
                await bench.cycle()
            for _ in range(3):
                got = await bench.cycle({"halt": 1}, ["port__enable"])
                assert got["port__enable"] == 0
            await bench.cycle({"halt": 1, "clear": 1})
            await bench.cycle(start)
            got, rows = {}, []
            for _ in range(3 * dim + 2):
                got = await bench.cycle(answer(generator, config, got), OUTPUTS)
                if got["w_valid"]:
                    rows.append(unpack(got["w"], config.operand_bits, dim))
            assert rows == tiles(0, weight, dim)[0].values(config)
            await bench.cycle({"halt": 1, "clear": 1})
