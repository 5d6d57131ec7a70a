"""Instructions: known words, round trips, layout rules, errors."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.errors import InputError
from pulsarray.isa import (
    FORMATS,
    UNIT_BYTES,
    Bank,
    Field,
    Format,
    Instruction,
    Opcode,
    StreamFlag,
    Unit,
    VectorFlag,
    decode,
    decode_all,
    encode_all,
    parse,
)

make = Instruction.make


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    form = draw(st.sampled_from(list(FORMATS.values())))
    fields = {
        field.name: draw(st.integers(field.low, field.high))
        for field in form.fields
        if field.name not in ("opcode", "units")
    }
    return make(form.opcode, **fields)


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        (make(Opcode.END), " ".join(["01010000", *7 * ["00000000"]])),
        (
            make(
                Opcode.LOAD,
                wait=0x0102,
                signal=0x8000,
                bank=Bank.ACCUMULATOR + 1,
                local=0x1234,
                run=5,
                address=0xDEADBEE0,
                count0=2,
                local_stride0=-1,
                memory_stride0=-2,
                count1=3,
                local_stride1=7,
                memory_stride1=0x01020304,
            ),
            "10010201 00804100 34120500 e0beadde 0200ffff feffffff 03000700 04030201",
        ),
        (
            make(Opcode.WEIGHT, bank=3, flags=1, local=9, row_stride=-4, row_start=-2, row_limit=6,
                 count0=8, stride0=-16, row_step0=1, count1=2, stride1=3, row_step1=-1),
            "11010000 00000301 0900fcff feff0600 0800f0ff 01000000 02000300 ffff0000",
        ),
        (
            make(Opcode.EXPONENT, register=31, value=-17),
            "15010000 00001fef 00000000 00000000 00000000 00000000 00000000 00000000",
        ),
        (
            make(Opcode.EXPONENT, register=63, value=1, a=62, b=61, maximum=1),
            "15010000 00003f01 3e3d0100 00000000 00000000 00000000 00000000 00000000",
        ),
        (
            make(Opcode.SCALE, action=2, register=16, bank=65, word=258),
            "16010000 00000210 41000000 02010000 00000000 00000000 00000000 00000000",
        ),
    ],
)  # fmt: skip
def test_known_words(instruction: Instruction, words: str) -> None:
    assert instruction.encode().hex(" ", 4) == words
    assert decode(bytes.fromhex(words)) == instruction


def test_known_bytes_of_stream() -> None:
    flags = StreamFlag.TRANSPOSE | StreamFlag.WINDOW_READ
    data = make(
        Opcode.STREAM, flags=flags, inner=3, fresh=0b10010, row_start=-1, count4=258
    ).encode()
    assert len(data) == 64
    assert data[:2] == bytes([0x12, 2])
    assert data[12:16] == bytes([9, 3, 0b10010, 0])
    assert data[16:18] == b"\xff\xff"
    assert data[56:58] == bytes([2, 1])


def test_known_bytes_of_vector() -> None:
    flags = VectorFlag.BIAS | VectorFlag.B_LANE
    data = make(
        Opcode.VECTOR, flags=flags, multiplier=0x7FFFFFFF, shift=-3, target_stride3=-2
    ).encode()
    assert len(data) == 96
    assert data[9:12] == b"\xff\xff\xff"
    assert data[20:22] == bytes([0x41, 0])
    assert data[28:32] == b"\xff\xff\xff\x7f"
    assert data[36] == 0xFD
    assert data[94:96] == b"\xfe\xff"


@settings(max_examples=300)
@given(instructions())
def test_round_trip_of_bytes(instruction: Instruction) -> None:
    data = instruction.encode()
    assert len(data) == instruction.format.bytes
    assert decode(data) == instruction


@settings(max_examples=300)
@given(instructions())
def test_round_trip_of_text(instruction: Instruction) -> None:
    assert parse(instruction.text()) == instruction


@settings(max_examples=50)
@given(st.lists(instructions().filter(lambda i: i.op is not Opcode.END), max_size=6))
def test_round_trip_of_a_program(body: list[Instruction]) -> None:
    program = [*body, make(Opcode.END)]
    assert decode_all(encode_all(program) + b"\x99" * 40) == program


def test_every_format_is_whole_units_and_starts_alike() -> None:
    assert set(FORMATS) == set(Opcode)
    for form in FORMATS.values():
        assert form.bytes % UNIT_BYTES == 0
        names = [(field.name, field.offset) for field in form.fields[:4]]
        assert names == [("opcode", 0), ("units", 1), ("wait", 2), ("signal", 4)]
        assert len(form.index) == len(form.fields)


def test_every_unit_has_an_instruction() -> None:
    assert {form.unit for form in FORMATS.values() if form.unit is not None} == set(Unit)


def test_text_names_what_is_not_default() -> None:
    assert make(Opcode.LOAD, bank=2, run=1, address=64).text() == (
        "LOAD bank=SCRATCHPAD2 address=64"
    )
    assert make(Opcode.END).text() == "END"
    flags = make(Opcode.STREAM, wait=0x8001, flags=5, target_bank=0x43)
    assert flags.text() == (
        "STREAM wait=SEM0|SEM15 target_bank=ACCUMULATOR3 flags=TRANSPOSE|ACCUMULATE"
    )
    vector = make(Opcode.VECTOR, alu=4, activation=200, flags=1 << 15, b_bank=0)
    assert vector.text() == "VECTOR alu=MUL activation=200 b_bank=SCRATCHPAD0 flags=32768"


def test_text_is_read_by_number_too() -> None:
    named = parse("LOAD wait=SEM3 bank=ACCUMULATOR2 ; fc1.weight")
    assert named == parse("LOAD wait=8 bank=0x42") == make(Opcode.LOAD, wait=8, bank=0x42)
    with pytest.raises(InputError, match="expected field=number or =name, not 'bank=MAIN'"):
        parse("LOAD bank=MAIN")


def test_format_wrong() -> None:
    fields = (Field("a", 0, "u16", ""), Field("b", 1, "u8", ""))
    with pytest.raises(ValueError, match="END: field b overlaps"):
        Format(Opcode.END, None, 1, 0, fields, "")
    with pytest.raises(ValueError, match="END: fields end at byte 34 of 32"):
        Format(Opcode.END, None, 1, 0, (Field("a", 30, "u32", ""),), "")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run": 65536}, "LOAD: run must be 0 to 65535, not 65536"),
        ({"local_stride0": -32769}, "LOAD: local_stride0 must be -32768 to 32767, not -32769"),
        ({"address": -1}, "LOAD: address must be 0 to 4294967295, not -1"),
        ({"bnak": 1}, "LOAD: no field bnak"),
    ],
)
def test_make_wrong(fields: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        make(Opcode.LOAD, **fields)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "program: no instruction at byte 0"),
        (b"\x77" * 32, "program: no instruction at byte 0"),
        (b"\x01\x02" + bytes(62), "program: END at byte 0 has a wrong length"),
        (b"\x12\x02" + bytes(30), "program: STREAM at byte 0 has a wrong length"),
    ],
)
def test_decode_wrong(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        decode(data)


def test_decode_all_needs_an_end() -> None:
    with pytest.raises(InputError, match=r"^program: no END$"):
        decode_all(make(Opcode.LOAD).encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("JUMP", "assembler: unknown instruction 'JUMP'"),
        ("LOAD run", "assembler: expected field=number or =name, not 'run'"),
        ("LOAD run=x", "assembler: expected field=number or =name, not 'run=x'"),
        ("LOAD rum=1", "LOAD: no field rum"),
        ("", "assembler: unknown instruction ''"),
    ],
)
def test_parse_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse(text)
