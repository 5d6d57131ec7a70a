"""A program's memory image in the formats of simulators, programmers and C compilers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError
from pulsarray.handoff.text import rendered
from pulsarray.isa import UNIT_BYTES
from pulsarray.program import Program

__all__ = ["c_source", "hex_words"]

Memory = npt.NDArray[np.uint8]

_ROW_BYTES = 16


def hex_words(memory: Memory, word_bytes: int) -> bytes:
    """A memory for ``$readmemh``: one word a line, its last byte first."""
    words = memory.reshape(-1, word_bytes)[:, ::-1]
    return "".join(f"{bytes(word).hex()}\n" for word in words).encode()


def c_source(program: Program, memory: Memory, name: str) -> str:
    """A C file that defines a program for the driver of ``pulsarray.h``.

    Raises
    ------
    InputError
        If ``name`` is no name in C.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InputError(f"--name: must be a name in C (letters, digits, _), not {name!r}")
    config = program.config
    return rendered(
        "program.c",
        name=name,
        config=config,
        program=program,
        units=len(program.code) // UNIT_BYTES,
        memory_bytes=memory.size,
        rows=list(_rows(_without_last_zeros(memory))),
        element_bytes={"code": config.operand_bytes, "sum": config.acc_slot_bytes},
    )


def _without_last_zeros(memory: Memory) -> Memory:
    """The bytes up to the last that is not zero: the rest is cleared by whoever loads it."""
    places = np.flatnonzero(memory)
    return memory[: int(places[-1]) + 1 if places.size else 1]


def _rows(memory: Memory) -> Iterator[str]:
    for first in range(0, memory.size, _ROW_BYTES):
        yield " ".join(f"{byte}," for byte in memory[first : first + _ROW_BYTES].tolist())
