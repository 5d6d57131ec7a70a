"""The record that says where sums go, as a port of STREAM and of the banks."""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.hw.blocks.ports import INDEX_BITS

__all__ = ["TARGET", "target_fields", "target_word"]

TARGET = {"bank": 8, "address": 16, "write": 1, "fresh": 1, "last": 1, "signal": 16}
TARGET |= {"index": INDEX_BITS}
"""Its parts and their widths, the first lowest."""


def target_fields(word: int) -> dict[str, int]:
    """The parts of a port's value."""
    values = {}
    for name, bits in TARGET.items():
        values[name] = word & ((1 << bits) - 1)
        word >>= bits
    return values


def target_word(parts: Mapping[str, int]) -> int:
    """The port's value; parts that are not given are 0."""
    word, place = 0, 0
    for name, bits in TARGET.items():
        word |= parts.get(name, 0) << place
        place += bits
    return word
