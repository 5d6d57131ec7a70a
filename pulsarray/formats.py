"""Every instruction's format: the one table that all encoders and decoders derive from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pulsarray.encoding import Field, Format
from pulsarray.operations import (
    Activation,
    Alu,
    Bank,
    Opcode,
    Reduce,
    ScaleAction,
    Semaphore,
    StreamFlag,
    Unit,
    VectorFlag,
    WeightFlag,
)

__all__ = ["FORMATS"]


def _common() -> tuple[Field, ...]:
    return (
        Field("opcode", 0, "u8", "operation"),
        Field("units", 1, "u8", "length of the instruction in multiples of 32 bytes"),
        Field(
            "wait",
            2,
            "u16",
            "semaphores to take one from before starting, one bit each",
            symbols=Semaphore,
        ),
        Field(
            "signal",
            4,
            "u16",
            "semaphores to add one to on completion, one bit each",
            symbols=Semaphore,
        ),
    )


def _transfer() -> tuple[Field, ...]:
    return (
        *_common(),
        Field("bank", 6, "u8", "bank on chip", symbols=Bank),
        Field("local", 8, "u16", "first word in the bank"),
        Field("run", 10, "u16", "contiguous words a run (bank words)", 1),
        Field("address", 12, "u32", "byte address in memory, a multiple of the bank's word"),
        *(
            field
            for level, base in ((0, 16), (1, 24))
            for field in (
                Field(f"count{level}", base, "u16", f"iterations of level {level}", 1),
                Field(f"local_stride{level}", base + 2, "i16", "step in the bank, bank words"),
                Field(f"memory_stride{level}", base + 4, "i32", "step in memory, operand words"),
            )
        ),
    )


def _weight_loops() -> Iterator[Field]:
    for level, base in ((0, 16), (1, 24)):
        yield Field(f"count{level}", base, "u16", f"tiles of level {level}", 1)
        yield Field(f"stride{level}", base + 2, "i16", "step of the address, words")
        yield Field(f"row_step{level}", base + 4, "i16", "step of the row number")


def _stream_loops() -> Iterator[Field]:
    for level in range(5):
        base = 24 + 8 * level
        yield Field(f"count{level}", base, "u16", f"iterations of level {level}", 1)
        yield Field(f"source_stride{level}", base + 2, "i16", "step in the scratchpad bank, words")
        yield Field(f"target_stride{level}", base + 4, "i16", "step in the accumulator bank, words")
        yield Field(f"row_step{level}", base + 6, "i8", "step of the window's row")
        yield Field(f"column_step{level}", base + 7, "i8", "step of the window's column")


def _vector_loops() -> Iterator[Field]:
    for level in range(4):
        base = 64 + 8 * level
        yield Field(f"count{level}", base, "u16", f"iterations of level {level}", 1)
        yield Field(f"a_stride{level}", base + 2, "i16", "step of source 1, words")
        yield Field(f"b_stride{level}", base + 4, "i16", "step of source 2, words")
        yield Field(f"target_stride{level}", base + 6, "i16", "step of both destinations, words")


_ALL_FORMATS = (
    Format(Opcode.END, None, 1, 0, _common(), "End of the program; waits and signals nothing."),
    Format(
        Opcode.LOAD, Unit.LOAD, 1, 2, _transfer(), "Copy words from memory into a bank on chip."
    ),
    Format(Opcode.STORE, Unit.STORE, 1, 2, _transfer(), "Copy words of a bank to memory."),
    Format(
        Opcode.WEIGHT,
        Unit.WEIGHT,
        1,
        2,
        (
            *_common(),
            Field("bank", 6, "u8", "scratchpad bank", symbols=Bank),
            Field("flags", 7, "u8", "bits of WeightFlag", symbols=WeightFlag),
            Field("local", 8, "u16", "first word of the first tile"),
            Field("row_stride", 10, "i16", "step from one row of a tile to the next, words", 1),
            Field("row_start", 12, "i16", "row number of the first row of the first tile"),
            Field(
                "row_limit",
                14,
                "u16",
                "rows numbered 0 to this - 1 are read, others are zero",
                0xFFFF,
            ),
            *_weight_loops(),
        ),
        "Bring D x D weights to the array's shadow registers, tile after tile.",
    ),
    Format(
        Opcode.STREAM,
        Unit.STREAM,
        2,
        5,
        (
            *_common(),
            Field("source_bank", 6, "u8", "scratchpad bank that is streamed", symbols=Bank),
            Field("target_bank", 7, "u8", "accumulator bank that takes the sums", symbols=Bank),
            Field("source", 8, "u16", "first word in the scratchpad bank"),
            Field("target", 10, "u16", "first word in the accumulator bank"),
            Field("flags", 12, "u8", "bits of StreamFlag", symbols=StreamFlag),
            Field("inner", 13, "u8", "innermost levels that make one pass (1 to 5)", 1),
            Field(
                "fresh",
                14,
                "u8",
                "levels whose indices must all be 0 for a word to overwrite its sums",
            ),
            Field("pad", 15, "i8", "what every lane of a word outside a read window is"),
            Field("row_start", 16, "i16", "row of the first word, for the window"),
            Field("column_start", 18, "i16", "column of the first word, for the window"),
            Field("row_limit", 20, "u16", "rows 0 to this - 1 are inside the window"),
            Field("column_limit", 22, "u16", "columns 0 to this - 1 are inside the window"),
            *_stream_loops(),
        ),
        "Stream words through the array into an accumulator bank, pass after pass.",
    ),
    Format(
        Opcode.VECTOR,
        Unit.VECTOR,
        3,
        4,
        (
            *_common(),
            Field("alu", 6, "u8", "first operation, of Alu", symbols=Alu),
            Field("activation", 7, "u8", "last operation, of Activation", symbols=Activation),
            Field("a_bank", 8, "u8", "bank of source 1 (scratchpad or accumulator)", symbols=Bank),
            Field("b_bank", 9, "u8", "bank of source 2, or 255 for none", Bank.NONE, symbols=Bank),
            Field(
                "target_bank",
                10,
                "u8",
                "scratchpad bank written, or 255 for none",
                Bank.NONE,
                symbols=Bank,
            ),
            Field(
                "acc_bank",
                11,
                "u8",
                "accumulator bank written, or 255 for none",
                Bank.NONE,
                symbols=Bank,
            ),
            Field("a", 12, "u16", "first word of source 1"),
            Field("b", 14, "u16", "first word of source 2"),
            Field("target", 16, "u16", "first word written in the scratchpad bank"),
            Field("acc", 18, "u16", "first word written in the accumulator bank"),
            Field("flags", 20, "u16", "bits of VectorFlag", symbols=VectorFlag),
            Field("reduce", 22, "u8", "reduction over lanes, of Reduce", symbols=Reduce),
            Field("last_lanes", 23, "u8", "valid lanes in the last iteration of level 0", 0),
            Field("parameter", 24, "u16", "row of per-lane constants in the first iteration"),
            Field("parameter_step", 26, "u8", "rows to step in each iteration of level 0"),
            Field("table", 27, "u8", "function table"),
            Field("multiplier", 28, "u32", "scale multiplier", 1),
            Field(
                "multiplier2", 32, "u32", "multiplier of source 2 (RESIDUAL), of t < 0 (LEAKY)", 0
            ),
            Field("shift", 36, "i8", "right shift after the multiply"),
            Field("shift2", 37, "i8", "right shift where LEAKY chose multiplier2"),
            Field("x_target", 38, "u8", "exponent register added to the shift"),
            Field("x_a", 39, "u8", "exponent register subtracted from the shift"),
            Field("x_b", 40, "u8", "exponent register subtracted from the shift"),
            Field("zero_a", 42, "i16", "zero point of source 1"),
            Field("zero_b", 44, "i16", "zero point of source 2"),
            Field("zero_target", 46, "i16", "zero point added to the result"),
            Field("low", 48, "i16", "smallest result code"),
            Field("high", 50, "i16", "largest result code"),
            Field("scalar", 52, "i32", "source 2 where B_SCALAR is set"),
            *_vector_loops(),
        ),
        "One word a cycle through the vector unit: sums to codes, and everything between.",
    ),
    Format(
        Opcode.EXPONENT,
        Unit.VECTOR,
        1,
        0,
        (
            *_common(),
            Field("register", 6, "u8", "exponent register written (1 to 63)"),
            Field("value", 7, "i8", "its value, to which registers a and b are added"),
            Field("a", 8, "u8", "exponent register added"),
            Field("b", 9, "u8", "exponent register added"),
            Field("maximum", 10, "u8", "1: written only if the result is larger than the register"),
        ),
        "Set a register of the exponent file.",
    ),
    Format(
        Opcode.SCALE,
        Unit.VECTOR,
        1,
        0,
        (
            *_common(),
            Field(
                "action",
                6,
                "u8",
                "of ScaleAction: a word to registers, the reverse, or adapt",
                symbols=ScaleAction,
            ),
            Field("register", 7, "u8", "exponent register of lane 0"),
            Field("bank", 8, "u8", "accumulator bank", Bank.ACCUMULATOR, symbols=Bank),
            Field("word", 12, "u16", "word in the bank"),
        ),
        "Exponent registers from a word or to it, or adapted to what was measured.",
    ),
)

FORMATS: Mapping[Opcode, Format] = {f.opcode: f for f in _ALL_FORMATS}
"""Every instruction's format by opcode."""
