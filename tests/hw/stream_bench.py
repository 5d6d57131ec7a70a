"""STREAM and its array against the equations of passes, with tiles that come at random."""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, pack, parameters, unpack
from tests.hw.targets import target_fields

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "take", "release_now", "release_later"),
    *("port__enable", "port__bank", "port__address", "port__hold"),
    *("sums", "sums_valid", "target"),
)
LEVELS = 5


def lanes(bank: int, address: int, config: Config) -> list[int]:
    """What a bank holds at an address, extremes often among it."""
    generator = random.Random(bank << 16 | address)
    half = 1 << (config.operand_bits - 1)
    choices = [-half, half - 1, generator.randrange(-half, half)]
    return [generator.choice(choices) for _ in range(config.dim)]


@dataclass
class Word:
    """One word: where it is read (None: nowhere, every lane is ``pad``), and where its sums go."""

    source: tuple[int, int] | None
    target: dict[str, int]
    pad: int


def passes(index: int, instruction: Instruction) -> list[list[Word]]:
    """The words of every pass (docs/machine.md, STREAM)."""
    get = instruction.__getitem__
    counts = [get(f"count{level}") for level in range(LEVELS)]
    outer = LEVELS - get("inner")
    words: dict[tuple[int, ...], list[Word]] = {}
    for place in itertools.product(*map(range, counts)):
        words.setdefault(place[:outer], []).append(word_at(index, instruction, place))
    everything = list(words.values())
    everything[-1][-1].target["last"] = 1
    return everything


def word_at(index: int, instruction: Instruction, place: tuple[int, ...]) -> Word:
    """The word at these indices of the loops."""
    get, flags = instruction.__getitem__, StreamFlag(instruction["flags"])

    def along(name: str, base: str = "") -> int:
        steps = (get(f"{name}{level}") * i for level, i in enumerate(place))
        return int(get(base)) + sum(steps)

    inside = 0 <= along("row_step", "row_start") < get("row_limit")
    inside &= 0 <= along("column_step", "column_start") < get("column_limit")
    zero = all(i == 0 for level, i in enumerate(place) if get("fresh") >> level & 1)
    read = inside or not flags & StreamFlag.WINDOW_READ
    target = {
        "bank": get("target_bank"),
        "address": along("target_stride", "target") & 0xFFFF,
        "write": inside or not flags & StreamFlag.WINDOW_WRITE,
        "fresh": zero and not flags & StreamFlag.ACCUMULATE,
        "last": 0,
        "signal": get("signal"),
        "index": index,
    }
    source = get("source_bank"), along("source_stride", "source") & 0xFFFF
    return Word(
        source if read else None, {name: int(value) for name, value in target.items()}, get("pad")
    )


def random_stream(generator: random.Random, config: Config, keep: bool) -> Instruction:
    """A legal instruction of at most some tens of words, its window near or far."""
    pick, integer = generator.choice, generator.randint
    most = pick([3, 3, 900])
    step = min(most, 127)
    inner = integer(1, LEVELS)
    counts = [pick([1, 1, 2, 3]) for _ in range(LEVELS)]
    flags = StreamFlag(0)
    if config.transposer and generator.randrange(2):
        flags |= StreamFlag.TRANSPOSE
        counts[integer(LEVELS - inner, LEVELS - 1)] = config.dim
    elif generator.randrange(2):
        flags |= StreamFlag.WINDOW_WRITE
    for flag in (StreamFlag.ACCUMULATE, StreamFlag.WINDOW_READ):
        flags |= pick([StreamFlag(0), flag])
    if keep and generator.randrange(3) == 0:
        flags |= StreamFlag.KEEP
    loops = {}
    for level, count in enumerate(counts):
        steps = {f"{axis}_step": integer(1 - step, step) for axis in ("row", "column")}
        strides = ("source_stride", "target_stride")
        steps |= {name: integer(-1 << 15, (1 << 15) - 1) for name in strides}
        loops |= {f"{name}{level}": value for name, value in steps.items()}
        loops[f"count{level}"] = count
    return Instruction.make(
        Opcode.STREAM,
        signal=generator.getrandbits(16),
        source_bank=generator.randrange(config.scratchpad_banks),
        target_bank=Bank.ACCUMULATOR + generator.randrange(config.accumulator_banks),
        source=generator.randrange(1 << 16),
        target=generator.randrange(1 << 16),
        flags=flags,
        inner=inner,
        fresh=generator.randrange(1 << LEVELS),
        pad=generator.randrange(-128, 128),
        row_start=integer(-most, most),
        column_start=integer(-most, most),
        row_limit=pick([2, integer(0, 2 * most), 1 << integer(0, 15), 0xFFFF]),
        column_limit=pick([2, integer(0, 2 * most), 1 << integer(0, 15), 0xFFFF]),
        **loops,
    )


class Tiles:
    """Tiles of weights: one in the shadow at a time, emitted when it is free."""

    def __init__(self, generator: random.Random, config: Config) -> None:
        self.generator, self.config = generator, config
        self.emitted = -1000  # o of the last tile
        self.released: int | None = -1000  # when it left the shadow
        self.waiting = False  # it is there and no pass has taken it
        self.face: dict[int, dict[str, int]] = {}
        self.shadow: list[list[int]] = []
        self.active: list[list[int]] = []

    def emit(self, now: int, may: bool) -> None:
        """Perhaps begin the next tile's emission in this cycle."""
        free = self.released is not None and self.released <= now
        if may and free and now >= self.emitted + self.config.dim:
            self.emitted, self.released, self.waiting = now, None, True
            bank = self.generator.randrange(1 << 20)
            self.shadow = [lanes(bank, row, self.config) for row in range(self.config.dim)]
            for row, values in enumerate(self.shadow):
                word = pack(values, self.config.operand_bits)
                self.face[now + 1 + row] = {"w_valid": 1, "w_row": row, "w": word}

    def take(self, now: int, delay: int) -> None:
        """A pass takes the tile."""
        self.waiting, self.released, self.active = False, now + delay, self.shadow

    def inputs(self, now: int) -> dict[str, int]:
        """The array's top face."""
        noise = {"w": self.generator.getrandbits(self.config.operand_bits)}
        return self.face.pop(now, noise)


class Streams:
    """Tiles, the scratchpad, and what the unit must do in each cycle."""

    def __init__(self, generator: random.Random, config: Config, pace: float) -> None:
        self.generator, self.config, self.pace = generator, config, pace
        self.tiles = Tiles(generator, config)
        self.flags = StreamFlag(0)
        self.passes: deque[list[Word]] = deque()
        self.words: deque[Word] = deque()  # left of the pass that has begun
        self.block: list[tuple[Word, list[int]]] = []
        self.earliest = self.last_read = 0
        self.events: dict[int, dict[str, int]] = {}
        self.sums: dict[int, tuple[list[int], dict[str, int]]] = {}
        self.started = self.completed = 0
        self.now = 0

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def at(self, cycle: int) -> dict[str, int]:
        """What is expected in a cycle."""
        quiet = ("take", "release_later", "complete", "error", "port__enable")
        return self.events.setdefault(cycle, dict.fromkeys(quiet, 0))

    def cycle(self, following: Instruction | None) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle; ``following`` starts if it can and will."""
        now, dim, expected, tiles = self.now, self.config.dim, self.at(self.now), self.tiles
        tiles.emit(now, self.chance())
        inputs = tiles.inputs(now)
        inputs["begun"] = tiles.waiting
        inputs["loaded"] = tiles.waiting and now >= tiles.emitted + dim
        expected["busy"] = self.started > self.completed
        self.completed += expected["complete"]
        active = bool(self.passes or self.words)
        if not self.words and self.passes and self._may_begin(inputs):
            self._begin(expected)
        step = bool(self.words)
        if step:
            self._read(self.words.popleft(), expected)
        expected |= {"active": active, "port__hold": active, "stall": active and not step}
        ready = not self.words and not self.passes
        expected |= {"ready": ready, "sums_valid": now in self.sums}
        if following is not None and ready and self.chance():
            index = self.generator.getrandbits(INDEX_BITS)
            inputs |= {"start": 1, "instruction": encoded(following), "index": index}
            self._start(index, following)
        tiles.emit(now, self.chance())
        self.now += 1
        return inputs, expected

    def _start(self, index: int, instruction: Instruction) -> None:
        was_turned = self.flags & StreamFlag.TRANSPOSE
        self.flags = StreamFlag(instruction["flags"])
        if was_turned and not self.flags & StreamFlag.TRANSPOSE:
            self.earliest = self.last_read + self.config.dim + 1
        self.passes.extend(passes(index, instruction))
        self.started += 1

    def _may_begin(self, inputs: dict[str, int]) -> bool:
        if self.now < self.earliest:
            return False
        if self.flags & StreamFlag.KEEP:
            return True
        return bool(inputs["begun" if self.flags & StreamFlag.TRANSPOSE else "loaded"])

    def _begin(self, expected: dict[str, int]) -> None:
        self.words.extend(self.passes.popleft())
        if self.flags & StreamFlag.KEEP:
            return
        turned = bool(self.flags & StreamFlag.TRANSPOSE)
        expected |= {"take": 1, "release_now": not turned}
        self.tiles.take(self.now, self.config.dim if turned else 0)
        if turned:
            self.at(self.now + self.config.dim)["release_later"] = 1

    def _read(self, word: Word, expected: dict[str, int]) -> None:
        now, dim = self.now, self.config.dim
        self.last_read = now
        values = [word.pad] * dim
        if word.source is not None:
            values = lanes(*word.source, self.config)
            bank, address = word.source
            expected |= {"port__enable": 1, "port__bank": bank, "port__address": address}
        latency = 2 * dim + 2
        if self.flags & StreamFlag.TRANSPOSE:
            self.block.append((word, values))
            if len(self.block) == dim:
                self._turn(now + 1 + latency)
            latency += dim
        else:
            self._leave(now + latency, word, values)
        if word.target["last"]:
            index, signal = word.target["index"], word.target["signal"]
            done = {"complete": 1, "complete_index": index, "complete_signal": signal}
            self.at(now + latency + 1 + 2 * self.config.fast_clock).update(done)

    def _turn(self, first: int) -> None:
        columns = zip(*(values for _, values in self.block), strict=True)
        for place, ((word, _), values) in enumerate(zip(self.block, columns, strict=True)):
            self._leave(first + place, word, list(values))
        self.block = []

    def _leave(self, cycle: int, word: Word, values: list[int]) -> None:
        columns = zip(*self.tiles.active, strict=True)
        sums = [sum(x * w for x, w in zip(values, column, strict=True)) for column in columns]
        self.sums[cycle] = (sums, word.target)


def answer(generator: random.Random, config: Config, got: dict[str, int]) -> dict[str, int]:
    """What the scratchpad gives in the cycle after it was asked, or noise."""
    bits = config.operand_bits
    if not got.get("port__enable"):
        return {"port__word": generator.getrandbits(config.dim * bits)}
    return {"port__word": pack(lanes(got["port__bank"], got["port__address"], config), bits)}


def check(model: Streams, got: dict[str, int], expected: dict[str, int]) -> None:
    """Everything in this cycle."""
    now, config = model.now - 1, model.config
    for name, value in expected.items():
        assert got[name] == value, f"cycle {now}: {name} is {got[name]:x}, not {int(value):x}"
    if got["sums_valid"]:
        sums, target = model.sums[now]
        assert unpack(got["sums"], config.psum_bits, config.dim) == sums, f"cycle {now}"
        assert target_fields(got["target"]) == target, f"cycle {now}"


@cocotb.test()
async def streams(dut: Any) -> None:
    """Random passes, plain, transposed and kept, with tiles that come early and late."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 1.0, 0.5, 0.1):
        await bench.cycle({"clear": 1})
        model, got = Streams(generator, config, pace), {}
        left = [random_stream(generator, config, keep=number > 0) for number in range(14)]
        while left or model.completed < model.started:
            before = model.started
            inputs, expected = model.cycle(left[0] if left else None)
            got = await bench.cycle({**inputs, **answer(generator, config, got)}, OUTPUTS)
            check(model, got, expected)
            if model.started > before:
                left.pop(0)


@cocotb.test()
async def loops(dut: Any) -> None:
    """Words of loops too long to see the end of, and of the ends of long ones."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for number in range(16):
        sizes = [1, (1 << generator.randrange(2, 16)) + number % 3]
        counts = [generator.choice(sizes) for _ in range(LEVELS)]
        stream = walk(generator, counts)
        await bench.cycle({"start": 1, "instruction": encoded(stream), "index": number})
        first = itertools.islice(itertools.product(*map(range, counts)), 5)
        await check_words(bench, config, [word_at(number, stream, place) for place in first])
        await bench.cycle({"halt": 1, "clear": 1})
    for level, outer in enumerate((1, 2, 3, 2, 2)):
        counts = [1] * LEVELS
        counts[level - 1], counts[level] = outer, generator.randrange(150, 300)
        stream, index = walk(generator, counts), generator.getrandbits(INDEX_BITS)
        await bench.cycle({"start": 1, "instruction": encoded(stream), "index": index})
        await bench.skip(outer * counts[level] - 2, {})
        places = [[n - 1 for n in counts[:level]] + [counts[level] - back] for back in (2, 1)]
        last = [word_at(index, stream, (*place, *[0] * (4 - level))) for place in places]
        last[-1].target["last"] = 1
        await check_words(bench, config, last)
        await bench.skip(2 * config.fast_clock, {})
        got = await bench.cycle({}, OUTPUTS)
        assert (got["complete"], got["complete_index"], got["active"]) == (1, index, 0)


def walk(generator: random.Random, counts: list[int]) -> Instruction:
    """A pass through any words with the tile that is there."""
    loops = {f"count{level}": count for level, count in enumerate(counts)}
    for name, level in itertools.product(("source", "target"), range(LEVELS)):
        loops[name] = generator.randrange(1 << 16)
        loops[f"{name}_stride{level}"] = generator.randrange(-1 << 15, 1 << 15)
    fields = {"target_bank": Bank.ACCUMULATOR, "flags": int(StreamFlag.KEEP), "inner": LEVELS}
    return Instruction.make(
        Opcode.STREAM, **fields, fresh=generator.randrange(1 << LEVELS), **loops
    )


async def check_words(bench: Bench, config: Config, words: list[Word]) -> None:
    """These words are read now, one a cycle, and their targets follow."""
    delay = 2 * config.dim + 2
    for cycle in range(delay + len(words)):
        got = await bench.cycle({}, OUTPUTS)
        if cycle < len(words):
            assert got["port__enable"] == 1
            assert (got["port__bank"], got["port__address"]) == words[cycle].source
        if cycle >= delay:
            assert target_fields(got["target"]) == words[cycle - delay].target


def bad(config: Config) -> list[dict[str, int]]:
    """Changes that break one rule each."""
    after = Bank.ACCUMULATOR + config.accumulator_banks
    flags = [1 << bit for bit in range(5, 8)]
    both = StreamFlag.TRANSPOSE | StreamFlag.WINDOW_WRITE
    flags += [both] if config.transposer else [StreamFlag.TRANSPOSE]
    return [
        *({"source_bank": bank} for bank in (config.scratchpad_banks, 0x40, 0x80, 0xFF)),
        *({"target_bank": bank} for bank in (0, 0x3F, after, 0x80, 0x81, 0xFF)),
        *({"flags": flag} for flag in flags),
        *({"fresh": 1 << bit} for bit in range(LEVELS, 8)),
        *({"inner": inner} for inner in (0, 6, 8, 255)),
        *({f"count{level}": 0} for level in range(LEVELS)),
    ]


@cocotb.test()
async def bad_fields(dut: Any) -> None:
    """Every broken rule is found in the cycle of the start."""
    bench, generator = Bench(dut), random.Random(parameters()["seed"])
    await bench.start()
    for change in bad(machine()):
        index = generator.getrandbits(INDEX_BITS)
        given = Instruction.make(Opcode.STREAM, **{"target_bank": Bank.ACCUMULATOR, **change})
        inputs = {"start": 1, "instruction": encoded(given), "index": index}
        got = await bench.cycle(inputs, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, index), str(change)
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def uneven_passes(dut: Any) -> None:
    """A transposed pass of words that are no multiple of D stops when it ends."""
    config = machine()
    if not config.transposer:
        return
    bench = Bench(dut)
    await bench.start()
    for words, count in ((1, 3), (config.dim + 1, 1), (2 * config.dim - 1, 2)):
        shape = {"count3": count, "count4": words, "flags": StreamFlag.TRANSPOSE}
        given = Instruction.make(Opcode.STREAM, target_bank=Bank.ACCUMULATOR, **shape)
        await bench.cycle({"start": 1, "instruction": encoded(given), "index": 6})
        for cycle in range(words + 1):
            got = await bench.cycle({"begun": 1}, ["error", "error_index"])
            assert bool(got["error"]) == (cycle == words)
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, 6)
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def halts(dut: Any) -> None:
    """A halted STREAM reads nothing; after a clear nothing of it comes out any more."""
    config = machine()
    bench = Bench(dut)
    await bench.start()
    flags = [0, int(StreamFlag.TRANSPOSE)][: 1 + config.transposer]
    for flag, wait in itertools.product(flags, (0, 1, config.dim, 3 * config.dim)):
        shape = {"count4": 4 * config.dim, "flags": flag}
        given = Instruction.make(Opcode.STREAM, target_bank=Bank.ACCUMULATOR, **shape)
        await bench.cycle({"start": 1, "instruction": encoded(given)})
        for _ in range(wait):
            await bench.cycle({"begun": 1, "loaded": 1})
        got = await bench.cycle({"begun": 1, "loaded": 1, "halt": 1}, ["port__enable", "take"])
        assert (got["port__enable"], got["take"]) == (0, 0)
        await bench.cycle({"halt": 1, "clear": 1})
        for _ in range(4 * config.dim):
            got = await bench.cycle({"begun": 1, "loaded": 1}, OUTPUTS)
            names = ("active", "busy", "sums_valid", "complete", "release_later", "error")
            assert not any(got[name] for name in names)
