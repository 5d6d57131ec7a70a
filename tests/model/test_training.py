"""What training needs of the vector unit: statistics, exponents, the controller, functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.numerics.tables import table
from pulsarray.config import Config
from pulsarray.isa import Activation, Alu, Instruction, Opcode, ScaleAction, VectorFlag, encode_all
from pulsarray.model.functional import execute
from pulsarray.model.scales import Scales
from pulsarray.model.state import State
from pulsarray.model.vector import run_vector
from pulsarray.program import Program

make = Instruction.make
CONFIG = Config(
    dim=3, operand_bits=16, acc_bits=48, scale_bits=0, bus_bits=64, scratchpad_banks=4, tables=2,
    training=True,
)  # fmt: skip
A, B = 0x40, 0x41
LIMIT = 1 << 11
OVERFLOW = 1 << 12
Words = npt.NDArray[np.int64]


def machine() -> State:
    return State(CONFIG, np.zeros(0, np.uint8))


def lane(state: State | Scales, register: int) -> int:
    """A register as SCALE writes it."""
    scales = state.scales if isinstance(state, State) else state
    return int(scales.write(register, 1)[0])


def statistic(state: State | Scales, register: int) -> int | None:
    """L, if one is noted."""
    value = lane(state, register)
    return ((value >> 16) + 128) % 256 - 128 if value >> 13 & 1 else None


def vector(state: State, a: list[list[int]], **fields: int) -> tuple[Words, Words]:
    """VECTOR over these words; its results."""
    state.bank(A)[: len(a)] = a
    steps = {"a_stride3": 1, "b_stride3": 1, "target_stride3": 1}
    banks = {"a_bank": A, "target_bank": 1, "acc_bank": B, "target": 50, "acc": 50}
    limits = {"low": -32768, "high": 32767}
    levels = {"count0": len(a)} | {f"{name}_stride0": 1 for name in ("a", "b", "target")}
    if "count3" in fields:
        levels = steps
    run_vector(state, make(Opcode.VECTOR, **{**banks, **limits, **levels, **fields}))
    return state.bank(1)[50 : 50 + len(a)].copy(), state.bank(B)[50 : 50 + len(a)].copy()


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ([[0, 0, 0]], None),
        ([[0, 0, 0], [1, 0, 0]], 1),
        ([[1, 0, 0]], 1),
        ([[127, -128, 3]], 8),
        ([[-127, 5, 3]], 7),
        ([[0, 0, -(1 << 47)]], 48),
        ([[1, 2, 3], [0, -1 << 20, 0], [0, 7, 0]], 21),
    ],
)
def test_statistic_is_the_length_of_the_largest(words: list[list[int]], want: int | None) -> None:
    state = machine()
    vector(state, words, flags=VectorFlag.STATISTIC, x_target=9)
    assert statistic(state, 9) == want


def test_statistic_has_the_exponents_and_the_field_shift() -> None:
    state = machine()
    state.scales.exponents[1:4] = [5, -20, 99]
    vector(state, [[1000, 0, 0]], flags=VectorFlag.STATISTIC, x_target=3, x_a=1, x_b=2, shift=-7)
    assert statistic(state, 3) == 10 + 5 - 20 + 7


def test_excluded_lanes_are_not_measured() -> None:
    state = machine()
    words = [[1, 1, 1 << 9], [1, 1 << 12, 1 << 30]]
    vector(state, words, flags=VectorFlag.STATISTIC, x_target=9, last_lanes=1)
    assert statistic(state, 9) == 10


def test_statistics_of_several_vectors_are_one_until_adapt() -> None:
    state = machine()
    for size, want in ((5, 6), (9, 10), (2, 10)):
        vector(state, [[1 << size, 0, 0]], flags=VectorFlag.STATISTIC, x_target=63)
        assert statistic(state, 63) == want
    state.scales.adapt()
    assert statistic(state, 63) is None
    vector(state, [[4, 0, 0]], flags=VectorFlag.STATISTIC, x_target=63)
    assert statistic(state, 63) == 3


def test_register_0_takes_no_note() -> None:
    state = machine()
    vector(state, [[1 << 30] * 3], flags=VectorFlag.STATISTIC)
    assert not state.scales.write(0, 64).any()
    assert (state.scales.noted[0], state.scales.statistics[0]) == (False, 0)


@pytest.mark.parametrize("flag", [VectorFlag.ADD_AFTER, VectorFlag.SUB_AFTER])
@pytest.mark.parametrize(
    ("total", "near"),
    [
        (0x7EFFFFFF, False), (0x7F000000, True), (0x7FFFFFFF, True), (1 << 40, True),
        (-0x7F000000, False), (-0x7F000001, True), (-(1 << 31), True), (0, False), (-1, False),
    ],
)  # fmt: skip
def test_sums_near_their_limits(flag: VectorFlag, total: int, near: bool) -> None:
    state = machine()
    state.bank(B)[:1] = [[total - 5 if flag is VectorFlag.ADD_AFTER else total + 5, 0, 0]]
    fields = {"flags": int(flag | VectorFlag.STATISTIC), "x_target": 9, "b_bank": B}
    _, sums = vector(state, [[5, 0, 0]], **fields)
    assert sums[0, 0] == max(-(1 << 31) + 1, min((1 << 31) - 1, total))
    assert lane(state, 9) == (LIMIT if near else 0)


def test_excluded_lanes_set_no_limit() -> None:
    state = machine()
    state.bank(B)[:1] = [[0, 0, 1 << 31]]
    flags = VectorFlag.ADD_AFTER | VectorFlag.STATISTIC
    vector(state, [[0, 0, 0]], flags=flags, x_target=9, b_bank=B, last_lanes=2)
    assert lane(state, 9) == 0


def steps(start: int, statistics: list[int]) -> tuple[list[int], Scales]:
    """Exponents of register 5 after each of a sequence of statistics, and the registers."""
    scales, exponents = Scales(), []
    scales.read(5, np.array([start & 0xFF]))
    for value in statistics:
        scales.note(5, 1, value - 1)
        scales.adapt()
        exponents.append(scales.exponents[5])
    return exponents, scales


@pytest.mark.parametrize(
    ("start", "statistics", "want"),
    [
        (0, [20, 14, 40], [6, 6, 26]),  # up at once
        (0, [13] * 17, [0] * 7 + [-1] * 8 + [-1] * 2),  # 13 is the peak once X is -1
        (0, [3] * 17, [0] * 7 + [-1] * 8 + [-2] * 2),  # down by one after eight
        (0, [3] * 7 + [14] + [3] * 8, [0] * 15 + [-1]),  # a full range starts over
        (-128, [-128] * 17, [-128] * 17),
        (126, [127] * 17, [126] * 7 + [125] * 8 + [124] * 2),
    ],
)
def test_controller(start: int, statistics: list[int], want: list[int]) -> None:
    assert steps(start, statistics)[0] == want


@pytest.mark.parametrize(("value", "overflow"), [(14, 0), (15, 0), (16, OVERFLOW), (127, OVERFLOW)])
def test_more_than_one_above_the_peak_is_an_overflow(value: int, overflow: int) -> None:
    scales = steps(0, [value])[1]
    assert lane(scales, 5) & OVERFLOW == overflow
    scales.note(5, 1, -1)
    scales.adapt()
    assert lane(scales, 5) & OVERFLOW == overflow


def test_only_what_was_noted_is_adapted() -> None:
    scales = Scales()
    for _ in range(8):
        scales.note(5, 1, 2)
        scales.note(6, 0, 2)
        scales.adapt()
    assert [scales.exponents[r] for r in (4, 5, 6)] == [0, -1, 0]


@pytest.mark.parametrize("dim", [3, 5, 64])
def test_registers_from_words_and_back(dim: int) -> None:
    """READ of all registers and WRITE of them, from register 0 to beyond the last."""
    word = 1 << (dim - 1).bit_length()
    config = Config(
        dim=dim, operand_bits=16, acc_bits=40, scale_bits=0, bus_bits=16 * word, tables=1,
        training=True,
    )  # fmt: skip
    count = -(-64 // dim)
    both = [(ScaleAction.READ, 0), (ScaleAction.WRITE, 50)]
    scales = [
        make(Opcode.SCALE, action=action, register=dim * i, word=first + i)
        for action, first in both
        for i in range(count)
    ]
    scales[0], scales[-1] = ends(scales[0], {"wait": 1}), ends(scales[-1], {"signal": 2})
    size, slots = 1 << 17, count * word
    code = encode_all([
        make(Opcode.LOAD, bank=A, run=count, signal=1), *scales,
        make(Opcode.STORE, bank=A, local=50, run=count, address=1 << 16, wait=2),
        make(Opcode.END),
    ])  # fmt: skip
    memory = np.random.default_rng(dim).integers(0, 256, size, np.uint8)
    memory[1 << 15 : (1 << 15) + len(code)] = np.frombuffer(code, np.uint8)
    program = Program(
        config=config, code=code, code_address=1 << 15, memory=memory, tensors=[], layers=[]
    )
    after = execute(program)[1 << 16 :].view(np.int64)[:slots].reshape(count, word)[:, :dim]
    words_written = memory.view(np.int64)[:slots].reshape(count, word)[:, :dim]
    want = words_written & ~np.int64(0xC000) & 0xFFFFFF
    want.reshape(-1)[0] = 0
    kept = np.arange(count * dim).reshape(count, dim) < 64
    assert np.array_equal(after, np.where(kept, want, 0))


def ends(instruction: Instruction, fields: dict[str, int]) -> Instruction:
    """The same instruction with other fields."""
    values = {field.name: instruction[field.name] for field in instruction.format.fields}
    return make(instruction.op, **{**values, **fields})


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({"value": 7}, 7),
        ({"value": 7, "a": 1, "b": 2}, 7 + 100 - 3),
        ({"value": 30, "a": 1}, 127),
        ({"value": -100, "a": 3, "b": 2}, -128),
        ({"value": 100, "a": 1, "b": 3}, 100),  # saturated once, after the sum
        ({"value": 49, "maximum": 1}, 50),
        ({"value": 51, "maximum": 1}, 51),
        ({"value": 1, "a": 9}, 51),
    ],
)
def test_exponent(fields: dict[str, int], want: int) -> None:
    scales = Scales()
    for register, value in ((1, 100), (2, -3), (3, -100), (9, 50)):
        scales.exponents[register] = value
    scales.set(make(Opcode.EXPONENT, register=9, **fields))
    assert scales.exponents[9] == want


@pytest.mark.parametrize(
    ("shift", "want"), [(0, 1200), (4, 75), (5, 38), (-3, 9600), (-200, (1 << 47) - 1)]
)
def test_scaled_by_the_upper_part(shift: int, want: int) -> None:
    """1200 = 300 x 4, divided by 2^shift; ties to even; a shift of -200 is -128, then -63."""
    _, sums = vector(machine(), [[300, 0, 0]], alu=Alu.SCALED, flags=32, scalar=shift * 65536 + 4)
    assert sums[0, 0] == want


def test_scaled_by_a_negative_factor() -> None:
    state = machine()
    state.bank(B)[:1] = [[(2 << 16) + 0xFFFD, -(1 << 16) + 1, 300 << 16 | 1]]
    _, sums = vector(state, [[8, 8, 8]], alu=Alu.SCALED, b_bank=B)
    assert sums[0].tolist() == [-6, 16, 0]


def function(name: str, activation: Activation, values: list[int]) -> tuple[Words, Words]:
    """An activation with its table, of any values."""
    state, entries = machine(), table(name, 256)
    size = CONFIG.table_planes * CONFIG.table_words
    words = entries.words(CONFIG).reshape(size, -1)
    state.write(0x81, np.arange(size, 2 * size), words)
    fields = {"activation": int(activation), "table": 1, "shift2": entries.shift}
    return vector(state, [[value] * 3 for value in values], **fields)


def test_power_of_two() -> None:
    arguments = [-5, 0, 1, 77, 16384, 32767, 32768, 100_000, 9 * 32768 + 5, 15 << 15]
    codes, sums = function("exp", Activation.EXP, arguments)
    for value, code, total in zip(arguments, codes[:, 0], sums[:, 0], strict=True):
        exact = 2.0 ** (30 - max(value, 0) / 32768)
        assert abs(total - exact) <= exact / (1 << 14) + 1
        assert code == min(total, 32767)


def test_power_ends() -> None:
    _, sums = function("exp", Activation.EXP, [29 << 15, 31 << 15, 40 << 15, 1 << 46])
    assert sums[:, 0].tolist() == [1, 0, 0, 0]


def test_reciprocal() -> None:
    arguments = [1, 2, 3, 1000, 32767, 32768, 65535, 65536, 123_456_789, 1 << 46, (1 << 47) - 1]
    codes, sums = function("reciprocal", Activation.RECIPROCAL, [-9, 0, *arguments])
    assert (sums[0] == sums[2]).all()
    assert (sums[1] == sums[2]).all()
    for value, code, total in zip(arguments, codes[2:, 0], sums[2:, 0], strict=True):
        assert code == total & 0xFFFF
        shift, exact = (int(total) >> 16), 2.0**30 / value
        assert abs(int(code) * 2.0**-shift - exact) <= exact / (1 << 14)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0x8000, 0), (0x18000, 2), (0x28000, 2), (-0x8000, 0), (-0x18000, -2), (0x8001, 1),
        (0x7FFF8000, 32767), (-0x7FFF8000, -32767), (-(1 << 31), -32767), (1 << 40, 32767),
    ],
)  # fmt: skip
def test_narrow(value: int, want: int) -> None:
    codes, sums = vector(machine(), [[value, 0, 0]], activation=Activation.NARROW)
    assert (codes[0, 0], sums[0, 0]) == (want, value)
