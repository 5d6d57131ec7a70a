"""Values of whole programs against the machine in plain integers, whatever order its units take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.config import Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Instruction, Opcode, StreamFlag, VectorFlag, WeightFlag, encode_all
from pulsarray.model.functional import execute
from pulsarray.model.run import run
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.sim.random.programs import random_config, random_program
from tests.model import reference

make = Instruction.make
SMALL = Config(dim=3, bus_bits=16, scratchpad_depth=64, accumulator_depth=32, scratchpad_banks=4)
SUMS, TABLE = 0x40, 0x81
CODE, RESULT, SIZE = 0x4000, 0x6000, 0x8000


def mask(*numbers: int) -> int:
    return sum(1 << n for n in numbers)


def assemble(*instructions: Instruction, config: Config = SMALL, seed: int = 0) -> Program:
    """These instructions over random data in bytes 0 to CODE - 1."""
    code = encode_all([*instructions, make(Opcode.END)])
    memory = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
    memory[CODE : CODE + len(code)] = np.frombuffer(code, np.uint8)
    return Program(
        config=config, code=code, code_address=CODE, memory=memory, tensors=[], layers=[]
    )


def codes(memory: npt.NDArray[np.uint8], address: int, words: int) -> npt.NDArray[np.int64]:
    """Operand words of SMALL, shape (words, 3)."""
    return memory[address : address + 4 * words].view(np.int8).reshape(-1, 4)[:, :3].astype(int)


def sums(memory: npt.NDArray[np.uint8], address: int, words: int) -> npt.NDArray[np.int64]:
    """Accumulator words of SMALL, shape (words, 3)."""
    data = memory[address : address + 16 * words].view(np.int32)
    return data.reshape(-1, 4)[:, :3].astype(np.int64)


def stream_program(stream: dict[str, int], tiles: int = 1, **weight: int) -> Program:
    """x in bank 0 (words 0..), weights in bank 1, one STREAM, and all sums stored to RESULT."""
    fields = {"source_bank": 0, "target_bank": SUMS, "source_stride4": 1, "target_stride4": 1}
    return assemble(
        make(Opcode.LOAD, bank=0, run=32, signal=mask(0)),
        make(Opcode.LOAD, bank=1, run=32, address=0x400, signal=mask(1)),
        make(Opcode.LOAD, bank=SUMS, run=32, address=0x800, signal=mask(2)),
        make(Opcode.WEIGHT, bank=1, count1=tiles, stride1=3, wait=mask(1), **weight),
        make(Opcode.STREAM, **{**fields, **stream}, wait=mask(0, 2), signal=mask(3)),
        make(Opcode.STORE, bank=SUMS, run=32, address=RESULT, wait=mask(3)),
    )


def streamed(program: Program) -> tuple[npt.NDArray[np.int64], ...]:
    """x, weights, sums before, sums after."""
    memory = program.memory
    after = sums(execute(program), RESULT, 32)
    return codes(memory, 0, 32), codes(memory, 0x400, 32), sums(memory, 0x800, 32), after


def test_tile_of_a_product() -> None:
    x, w, before, after = streamed(stream_program({"count4": 7}))
    assert np.array_equal(after[:7], x[:7] @ w[:3])
    assert np.array_equal(after[7:], before[7:])


def test_accumulate() -> None:
    x, w, before, after = streamed(stream_program({"count4": 5, "flags": StreamFlag.ACCUMULATE}))
    assert np.array_equal(after[:5], before[:5] + x[:5] @ w[:3])


def test_tiles_of_k_add_up() -> None:
    fields = {"count3": 4, "source_stride3": 6, "count4": 6, "fresh": mask(3)}
    x, w, _, after = streamed(stream_program(fields, tiles=4))
    want = sum(x[6 * k : 6 * k + 6] @ w[3 * k : 3 * k + 3] for k in range(4))
    assert np.array_equal(after[:6], want)


def test_always_overwritten_keeps_the_last() -> None:
    fields = {"count3": 4, "source_stride3": 6, "count4": 6}
    x, w, _, after = streamed(stream_program(fields, tiles=4))
    assert np.array_equal(after[:6], x[18:24] @ w[9:12])


def test_transposed_weights() -> None:
    x, w, _, after = streamed(stream_program({"count4": 7}, flags=WeightFlag.TRANSPOSE))
    assert np.array_equal(after[:7], x[:7] @ w[:3].T)


def test_transposed_words() -> None:
    x, w, _, after = streamed(stream_program({"count4": 6, "flags": StreamFlag.TRANSPOSE}))
    assert np.array_equal(after[:3], x[:3].T @ w[:3])
    assert np.array_equal(after[3:6], x[3:6].T @ w[:3])


def test_weight_rows_beyond_the_limit_are_zero() -> None:
    program = stream_program({"count4": 4}, row_start=-1, row_limit=1)
    x, w, _, after = streamed(program)
    assert np.array_equal(after[:4], np.outer(x[:4, 1], w[1]))


def test_window_reads_zero_outside() -> None:
    window = {"row_start": -1, "row_step4": 1, "row_limit": 3, "column_limit": 1}
    x, w, _, after = streamed(
        stream_program({"count4": 6, "flags": StreamFlag.WINDOW_READ, **window})
    )
    x[[0, 4, 5]] = 0
    assert np.array_equal(after[:6], x[:6] @ w[:3])


def test_window_leaves_targets_outside() -> None:
    window = {"column_start": -2, "column_step4": 1, "row_limit": 1, "column_limit": 2}
    x, w, before, after = streamed(
        stream_program({"count4": 6, "flags": StreamFlag.WINDOW_WRITE, **window})
    )
    want = before[:6].copy()
    want[2:4] = x[2:4] @ w[:3]
    assert np.array_equal(after[:6], want)


def test_keep_uses_the_same_tile_again() -> None:
    *start, stream, store, _ = stream_program({"count4": 2}).instructions
    first = {**dict(zip(stream.format.index, stream.values, strict=True)), "signal": 0}
    again = {**first, "flags": StreamFlag.KEEP, "source": 2, "target": 2, "count4": 3, "wait": 0}
    streams = (make(Opcode.STREAM, **fields) for fields in (first, {**again, "signal": mask(3)}))
    x, w, _, after = streamed(assemble(*start, *streams, store))
    assert np.array_equal(after[:5], x[:5] @ w[:3])


def test_sums_wrap() -> None:
    config = Config(dim=2, acc_bits=24, bus_bits=16)
    program = assemble(
        make(Opcode.LOAD, bank=0, run=16, signal=mask(0)),
        make(Opcode.WEIGHT, bank=0, wait=mask(0), count1=600, signal=mask(1)),
        make(
            Opcode.STREAM, source_bank=0, target_bank=SUMS, count3=600, inner=1, fresh=mask(3),
            wait=mask(1), signal=mask(2),
        ),
        make(Opcode.STORE, bank=SUMS, address=RESULT, wait=mask(2)),
        config=config,
    )  # fmt: skip
    program.memory[:4] = 0x80
    want = (600 * 2 * 128 * 128 + (1 << 23)) % (1 << 24) - (1 << 23)
    assert list(execute(program)[RESULT : RESULT + 8].view(np.int32)) == [want, want]


def test_a_table_reaches_the_vector_unit() -> None:
    program = assemble(
        make(Opcode.LOAD, bank=0, run=5),
        make(Opcode.LOAD, bank=TABLE, run=64, address=0x100, signal=mask(0)),
        make(
            Opcode.VECTOR, a_bank=0, target_bank=1, activation=2, count3=5, a_stride3=1,
            target_stride3=1, low=-128, high=127, wait=mask(0), signal=mask(2),
        ),
        make(Opcode.STORE, bank=1, run=5, address=RESULT, wait=mask(2)),
    )  # fmt: skip
    table = program.memory[0x100:0x200].view(np.int8)
    want = table[codes(program.memory, 0, 5) + 128]
    assert np.array_equal(codes(execute(program), RESULT, 5), want)


def test_requantized_with_rows_of_parameters() -> None:
    """Bias, scale and shift of each lane, one row for each half of the words."""
    program = assemble(
        make(Opcode.LOAD, bank=SUMS, run=6),
        make(Opcode.LOAD, bank=0x80, run=8, address=0x400, signal=mask(0)),
        make(
            Opcode.VECTOR, a_bank=SUMS, target_bank=1, count0=2, a_stride0=3, target_stride0=3,
            count3=3, a_stride3=1, target_stride3=1, low=-100, high=90, zero_target=5,
            flags=VectorFlag.BIAS | VectorFlag.LANE_SCALE, parameter_step=1,
            wait=mask(0), signal=mask(1),
        ),
        make(Opcode.STORE, bank=1, run=6, address=RESULT, wait=mask(1)),
    )  # fmt: skip
    rows = program.memory[0x400:0x480].view(np.int32).reshape(2, 4, 4)
    random = np.random.default_rng(3)
    program.memory[:96] = random.integers(-9999, 9999, 24).astype(np.int32).view(np.uint8)
    rows[:] = random.integers([[[-99], [1 << 29], [34], [0]]], [[[99], [1 << 30], [40], [1]]],
                              (2, 4, 4))  # fmt: skip
    before, got = sums(program.memory, 0, 6), codes(execute(program), RESULT, 6)
    for word, lane in np.ndindex(6, 3):
        bias, multiplier, shift, _ = map(int, rows[word // 3, :, lane])
        y = round(Fraction((int(before[word, lane]) + bias) * multiplier, 1 << shift))
        assert got[word, lane] == min(max(y + 5, -100), 90)


def test_lanes_are_reduced() -> None:
    program = assemble(
        make(Opcode.LOAD, bank=SUMS, run=4, signal=mask(0)),
        make(
            Opcode.VECTOR, a_bank=SUMS, acc_bank=SUMS + 1, count0=2, a_stride0=2,
            target_stride0=2, count3=2, a_stride3=1, target_stride3=1, reduce=1, last_lanes=2,
            wait=mask(0), signal=mask(1),
        ),
        make(Opcode.STORE, bank=SUMS + 1, run=4, address=RESULT, wait=mask(1)),
    )  # fmt: skip
    before, after = sums(program.memory, 0, 4), sums(execute(program), RESULT, 4)
    want = [[max(word)] * 3 for word in before[:2]] + [[*[max(w[:2])] * 2, 0] for w in before[2:]]
    assert after.tolist() == want


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int) -> None:
    """Every instruction and option, on random machines."""
    random = np.random.default_rng(seed)
    dim = int(random.choice((2, 3, 4, 5, 8)))
    config = random_config(random, dim, 16 if seed % 3 == 0 else 8)
    program = random_program(config, seed, length=30)
    expected = np.frombuffer(reference.run(program, Random(seed)), np.uint8)
    got = execute(program)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("seed", range(100, 120))
def test_random_programs_of_training(seed: int) -> None:
    """Statistics, adapted exponents and the rest, on machines that can train."""
    random = np.random.default_rng(seed)
    dim = int(random.choice((2, 3, 4, 5, 8, 16)))
    config = training_config(random_config(random, dim, 16), int(random.integers(40, 49)))
    program = random_program(config, seed, length=40)
    expected = np.frombuffer(reference.run(program, Random(seed)), np.uint8)
    assert np.array_equal(execute(program), expected)


def training_config(config: Config, acc_bits: int) -> Config:
    """The same machine with what training needs."""
    return replace(
        config, acc_bits=acc_bits, tables=max(1, config.tables), vector_multiply=True, training=True
    )


def test_memory_is_given_or_the_programs_own_and_kept() -> None:
    program = assemble(
        make(Opcode.LOAD, bank=0, run=4, signal=mask(0)),
        make(Opcode.STORE, bank=0, run=4, address=RESULT, wait=mask(0)),
    )
    programs_memory, passed_memory = program.memory.copy(), np.zeros(SIZE, np.uint8)
    passed_memory[:16] = 7
    after = execute(program, passed_memory)
    assert not passed_memory[RESULT:].any()
    padded = np.array([7, 7, 7, 0] * 4)  # three lanes a word; the fourth is written as zero
    assert np.array_equal(after[RESULT : RESULT + 16], padded)
    assert np.array_equal(codes(execute(program), RESULT, 4), codes(programs_memory, 0, 4))
    assert np.array_equal(program.memory, programs_memory)


def test_run_gives_values_and_time() -> None:
    program = stream_program({"count4": 7})
    result = run(program, memory_latency=10, memory_interval=2)
    assert result.memory is not None
    assert np.array_equal(result.memory, execute(program))
    assert (result.source, result.memory_latency, result.memory_interval) == ("model", 10, 2)
    assert len(result.events) == 6


def test_waiting_for_ever_names_the_first_stuck_instruction() -> None:
    program = assemble(
        make(Opcode.LOAD, bank=0, run=4),
        make(Opcode.STORE, bank=0, address=RESULT, wait=mask(5)),
    )
    with pytest.raises(ProgramError, match=r"instruction 1 \(STORE .*wait=SEM5") as caught:
        execute(program)
    assert (caught.value.code, caught.value.index) == (ErrorCode.CYCLE_LIMIT, -1)


def test_speed_is_reported(record_property: Callable[[str, object], None]) -> None:
    fields = {"count3": 10, "count4": 32, "inner": 1, "fresh": mask(3)}
    program = stream_program(fields, tiles=10)
    start = perf_counter()
    for _ in range(10):
        execute(program)
    record_property("milliseconds a run", 100 * (perf_counter() - start))
