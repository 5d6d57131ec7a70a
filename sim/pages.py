"""Pages of memory in the binary files that ``memory.v`` reads and writes.

A page is its number in 32 bits and its bytes. ``$fread`` takes numbers and beats from the most
significant byte on; ``%u`` of ``$fwrite`` writes them from the least significant one, padded to
whole groups of 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["PAGE_BYTES", "all_pages", "apply_pages", "changed_pages", "pack_pages"]

PAGE_BYTES = 4096
"""Bytes of a page; a memory is a whole number of them."""

_NUMBER_BYTES = 4

Memory = npt.NDArray[np.uint8]


def all_pages(memory: Memory) -> Sequence[int]:
    """Numbers of the pages that a memory consists of."""
    return range(-(-memory.size // PAGE_BYTES))


def changed_pages(old: Memory, new: Memory) -> Sequence[int]:
    """Numbers of the pages in which two memories of one size differ."""
    differ = np.flatnonzero((old != new).reshape(-1, PAGE_BYTES).any(axis=1))
    return [int(page) for page in differ]


def pack_pages(memory: Memory, pages: Sequence[int], beat: int, first: int = 0) -> bytes:
    """The file for ``load``: some pages of a memory with beats of so many bytes.

    The simulator's page ``first`` is the memory's page 0.
    """
    whole = np.zeros(len(all_pages(memory)) * PAGE_BYTES, np.uint8)
    whole[: memory.size] = memory
    data = np.empty((len(pages), _NUMBER_BYTES + PAGE_BYTES), np.uint8)
    data[:, :_NUMBER_BYTES] = (
        (np.array(pages, ">u4") + first).astype(">u4").reshape(-1, 1).view(np.uint8)
    )
    chosen = whole.reshape(-1, PAGE_BYTES // beat, beat)[list(pages), :, ::-1]
    data[:, _NUMBER_BYTES:] = chosen.reshape(len(pages), PAGE_BYTES)
    return data.tobytes()


def apply_pages(data: bytes, memory: Memory, beat: int, first: int = 0) -> None:
    """Put the pages of a file from ``dump`` into a memory, which may end within the last page.

    The simulator's page ``first`` is the memory's page 0; what it wrote lies from there on.
    """
    stored = -(-beat // _NUMBER_BYTES) * _NUMBER_BYTES
    length = _NUMBER_BYTES + PAGE_BYTES // beat * stored
    for page in np.frombuffer(data, np.uint8).reshape(-1, length):
        place = (int(page[:_NUMBER_BYTES].view("<u4")[0]) - first) * PAGE_BYTES
        content = page[_NUMBER_BYTES:].reshape(-1, stored)[:, :beat].reshape(-1)
        room = memory[place : place + PAGE_BYTES]
        room[:] = content[: room.size]
