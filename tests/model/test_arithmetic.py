"""VECTOR's arithmetic against plain integers: each function, then whole words at the extremes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import FORMATS, Activation, Alu, Instruction, Opcode, Reduce, VectorFlag
from pulsarray.model import arithmetic
from pulsarray.model.fields import wrong_fields
from pulsarray.model.state import State
from pulsarray.model.vector import run_vector
from tests.hw.vector_reference import Reference, Register, is_bad, rne, rounded, sat, signed

TOP = (1 << 63) - 1
AFTER = int(VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER)


def near_powers(bits: int) -> st.SearchStrategy[int]:
    """Signed numbers of so many bits, most of them small or beside a power of two."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    beside = st.builds(
        lambda sign, power, step: max(low, min(high, sign * (1 << power) + step)),
        st.sampled_from((-1, 1)), st.integers(0, bits - 1), st.integers(-2, 2),
    )  # fmt: skip
    return st.one_of(beside, st.integers(low, high))


def scales(bits: int) -> st.SearchStrategy[int]:
    """A factor of so many bits under a shift: what SCALED multiplies by."""
    shift, factor = st.integers(-12, 60), st.integers(0, (1 << bits) - 1)
    return st.builds(lambda s, m: s * (1 << bits) + m, shift, factor)


def lanes(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


VALUES = st.lists(near_powers(64), min_size=1, max_size=4)


@given(values=VALUES, shift=st.integers(0, 63))
def test_round_half_even(values: list[int], shift: int) -> None:
    got = arithmetic.round_half_even(lanes(*values), shift)
    assert got.tolist() == [rne(value, shift) for value in values]


@pytest.mark.parametrize(
    ("value", "shift", "want"),
    [(1, 1, 0), (3, 1, 2), (5, 1, 2), (-1, 1, 0), (-3, 1, -2), (7, 2, 2), (-7, 2, -2),
     (TOP, 63, 1), (1 << 62, 63, 0), (-TOP - 1, 63, -1), ((1 << 62) + 1, 63, 1)],
)  # fmt: skip
def test_halves_go_to_even(value: int, shift: int, want: int) -> None:
    assert arithmetic.round_half_even(lanes(value), shift).tolist() == [want]


@given(values=VALUES, shifts=st.lists(st.integers(-63, 63), min_size=4, max_size=4))
def test_round_shift(values: list[int], shifts: list[int]) -> None:
    shifts = shifts[: len(values)]
    got = arithmetic.round_shift(lanes(*values), lanes(*shifts))
    assert got.tolist() == [rounded(v, k, False) for v, k in zip(values, shifts, strict=True)]


@given(values=VALUES, shifts=st.lists(st.integers(-63, 63), min_size=4, max_size=4))
def test_round_tflite(values: list[int], shifts: list[int]) -> None:
    shifts = shifts[: len(values)]
    got = arithmetic.round_tflite(lanes(*values), lanes(*shifts))
    assert got.tolist() == [rounded(v, k, True) for v, k in zip(values, shifts, strict=True)]


@given(a=near_powers(64), b=near_powers(64))
def test_sums(a: int, b: int) -> None:
    assert arithmetic.add_saturated(lanes(a), lanes(b)).tolist() == [sat(a + b, 64)]
    assert arithmetic.add_exactly(lanes(a), lanes(b)).tolist() == [a + b]
    assert arithmetic.add_exactly(lanes(a), b).tolist() == [a + b]


@given(value=near_powers(64), bits=st.integers(2, 64))
def test_widths(value: int, bits: int) -> None:
    assert arithmetic.saturate(lanes(value), bits).tolist() == [sat(value, bits)]
    assert arithmetic.wrap(lanes(value), bits).tolist() == [signed(value, bits)]
    assert arithmetic.signed(value, bits) == signed(value, bits)


def draw_config(draw: Callable[..., Any], kind: str) -> Config:
    sixteen, training = kind != "eight", kind == "training"
    low, high = (40, 48 if training else 64) if sixteen else (24, 32)
    return Config(
        dim=3,
        operand_bits=16 if sixteen else 8,
        bus_bits=32,
        acc_bits=draw(st.one_of(st.sampled_from((low, high)), st.integers(low, high))),
        scale_bits=0 if sixteen else draw(st.sampled_from((16, 24, 31))),
        table_segments=draw(st.sampled_from((16, 64, 256))) if sixteen else 256,
        parameter_depth=4,
        tables=2,
        training=training,
    )


def draw_vector(draw: Callable[..., Any], config: Config) -> Instruction:
    """A VECTOR of up to 6 words, most often legal, from banks 0x40 and 1 to 2 and 0x41."""
    training = config.training
    flags = draw(st.integers(0, 1023 if training else 127))
    alu = draw(st.integers(0, Alu.SCALED if training else Alu.GREATER))
    last = Activation.RECIPROCAL if training else Activation.TABLE
    no_b = flags & (VectorFlag.B_SCALAR | VectorFlag.B_LANE) and not flags & AFTER
    banks = [0x41, 1] if flags & AFTER else [0xFF, 0x41, 1]
    register = st.one_of(st.just(0), st.integers(0, EXPONENTS - 1 if training else 0))
    fields: dict[str, int] = {
        "alu": Alu.PASS if flags & VectorFlag.RESIDUAL else alu,
        "activation": draw(st.integers(0, last)),
        "reduce": draw(st.sampled_from(Reduce)),
        "flags": flags & ~(0 if config.scale_bits == 31 else int(VectorFlag.TFLITE)),
        "a_bank": 0x40,
        "b_bank": 0xFF if no_b else draw(st.sampled_from(banks)),
        "last_lanes": draw(st.integers(0, 4)),
        "shift": draw(st.one_of(st.integers(-4, 24), st.integers(-70, 70))),
        "shift2": draw(st.integers(0, 63)),
        **{f"x_{name}": draw(register) for name in ("target", "a", "b")},
        **{f"zero_{name}": draw(near_powers(16)) for name in ("a", "b", "target")},
        **{name: draw(near_powers(16)) for name in ("low", "high")},
        **{name: draw(st.integers(0, (1 << 32) - 1)) for name in ("multiplier", "multiplier2")},
        "scalar": draw(st.one_of(near_powers(32), scales(16))),
        "parameter": draw(st.integers(0, 2)),
        "table": draw(st.integers(0, 1)),
        "parameter_step": 1,
        "count0": 2,
    }
    steps = {f"{s}_stride{n}": w for s in ("a", "b", "target") for n, w in ((0, 3), (3, 1))}
    everywhere = {"target_bank": 2, "acc_bank": 0x41, "target": 8, "acc": 8, "count3": 3}
    return Instruction.make(Opcode.VECTOR, **fields, **steps, **everywhere)


def fill(state: State, reference: Reference, draw: Callable[..., Any]) -> None:
    """The same constants, tables and registers on both sides."""
    config, raw = state.config, np.random.default_rng(draw(st.integers(0, 9999)))
    for row in range(4 * config.parameter_depth):
        slots = raw.integers(0, 256, (1, config.acc_word_bytes), np.uint8)
        state.write(0x80, np.array([row]), slots)
        data = slots.view(f"<u{config.acc_slot_bytes}")[0, :3]
        reference.parameters[row] = [int(v) for v in data]
    for row in range(len(state.tables)):
        word = raw.integers(0, 256, (1, config.word_bytes), np.uint8)
        state.write(0x81, np.array([row]), word)
        reference.table[row] = [int(v) for v in word.view(f"<u{config.operand_bytes}")[0]]
    registers = raw.integers(0, 1 << 24, 64)
    registers += raw.integers(-20, 21, 64) % 256 - registers % 256
    registers[0] = 0
    state.scales.read(0, registers)
    reference.registers = [Register.from_lane(int(lane)) for lane in registers]


@pytest.mark.parametrize("kind", ["eight", "sixteen", "training"])
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_vector(data: st.DataObject, kind: str) -> None:
    """Every operation and flag, on extreme words; what is noted beside the words."""
    config = draw_config(data.draw, kind)
    state = State(config, np.zeros(0, np.uint8))
    reference = Reference(config, lambda bank, row: state.bank(bank)[row].tolist())
    fill(state, reference, data.draw)
    instruction = draw_vector(data.draw, config)
    bad = is_bad(instruction, config)
    assert bool(list(wrong_fields(instruction, config))) == bad
    if bad:
        return
    any_word = st.one_of(near_powers(config.acc_bits), scales(config.operand_bits))
    words = st.lists(any_word, min_size=3, max_size=3)
    narrow = st.lists(near_powers(config.operand_bits), min_size=3, max_size=3)
    for row in range(6):
        state.bank(0x40)[row], state.bank(0x41)[row] = data.draw(words), data.draw(words)
        state.bank(1)[row] = data.draw(narrow)
    expected = list(reference.vector(instruction))
    run_vector(state, instruction)
    for row, word in enumerate(expected):
        assert state.bank(2)[8 + row].tolist() == word.codes
        assert state.bank(0x41)[8 + row].tolist() == word.sums
    assert state.scales.write(0, 64).tolist() == [r.lane for r in reference.registers]


@pytest.mark.parametrize("kind", ["eight", "sixteen", "training"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_refusals(data: st.DataObject, kind: str) -> None:
    """One field of an instruction of the vector unit is anything."""
    config = replace(draw_config(data.draw, kind), tables=data.draw(st.integers(1, 3)))
    op = data.draw(st.sampled_from((Opcode.VECTOR, Opcode.EXPONENT, Opcode.SCALE)))
    usual = {"register": 5}
    if op is Opcode.VECTOR:
        vector = draw_vector(data.draw, config)
        usual = {field.name: vector[field.name] for field in vector.format.fields}
    fields = [field for field in FORMATS[op].fields if field.name not in ("opcode", "units")]
    field = data.draw(st.sampled_from(fields))
    edges = [n for n in (2, 3, 6, 12, 13, 63, 64, 255) if n <= field.high]
    value = data.draw(st.one_of(st.sampled_from(edges), st.integers(field.low, field.high)))
    instruction = Instruction.make(op, **{**usual, field.name: value})
    assert bool(list(wrong_fields(instruction, config))) == is_bad(instruction, config)
