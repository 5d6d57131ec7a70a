"""Time of the array: tiles of weights and the passes that consume them.

WEIGHT emits tile i in cycles ``o .. o+D-1`` and STREAM starts the pass that uses it in ``v``; each
waits for the other (docs/machine.md, section 5). Inside a pair of instructions the recurrence has a
constant period, ``max(M, D)``, so a chunk of any number of passes costs one step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Passes", "StreamJob", "WeightJob"]

_LONG_AGO = -(1 << 40)


@dataclass(slots=True)
class WeightJob:
    """A WEIGHT that has started: its tiles not yet emitted.

    ``next_read`` is the first cycle in which the next tile may be read; ``end`` and ``complete``
    are the front's last cycle and the completion, once known.
    """

    index: int
    transposed: bool
    left: int
    next_read: int
    end: int = -1
    complete: int = -1


@dataclass(slots=True)
class StreamJob:
    """A STREAM that has started: its passes not yet placed.

    ``length`` is the words of a pass, ``delay`` D when transposed and else 0, ``keep`` whether
    passes use the active weights; ``first`` is the first word's cycle, ``end`` the last word's.
    """

    index: int
    length: int
    left: int
    delay: int
    keep: bool
    earliest: int
    first: int = -1
    end: int = -1


class Passes:
    """Pairs tiles with passes.

    Parameters
    ----------
    dim
        D.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._weights: deque[WeightJob] = deque()
        self._stream: StreamJob | None = None
        self._emitted = _LONG_AGO  # o of the last emitted tile
        self._released = _LONG_AGO  # when the last emitted tile left the shadow
        self._full = False  # a tile is in the shadow, not yet taken
        self._was_transposed = False  # the last emitted tile came through the transposer
        self._stream_end = _LONG_AGO
        self._stream_delay = 0

    def start_weight(self, job: WeightJob) -> None:
        """A WEIGHT starts."""
        self._weights.append(job)

    def start_stream(self, job: StreamJob) -> None:
        """A STREAM starts; the one before it has placed all its passes."""
        if not job.delay and self._stream_delay:
            job.earliest = max(job.earliest, self._stream_end + self._dim + 1)
        self._stream = job

    def advance(self) -> None:
        """Place every tile and pass whose time is determined, updating the jobs."""
        while True:
            if self._weights and (not self._full or self._reads_ahead()):
                self._emit()
            elif self._stream is not None and (self._full or self._stream.keep):
                self._place(self._stream)
            else:
                return

    def _reads_ahead(self) -> bool:
        """Whether the last tile of a transposed WEIGHT is to be read, whatever the shadow holds."""
        job = self._weights[0]
        return job.transposed and job.left == 1 and job.end < 0

    def _emit(self) -> None:
        """Emit one tile, or read one ahead."""
        job, dim = self._weights[0], self._dim
        if job.transposed:
            if self._reads_ahead():
                job.next_read = self._read_transposed(job)
                job.end = job.next_read + dim - 1
                return
            read = self._read_transposed(job)
            emitted = max(read + dim, self._emitted + dim, self._released)
        else:
            read = emitted = max(job.next_read, self._emitted + dim, self._released)
        self._note_tiles(job, 1, read, emitted)
        self._full = True

    def _read_transposed(self, job: WeightJob) -> int:
        return max(job.next_read, self._emitted) if self._was_transposed else job.next_read

    def _note_tiles(self, job: WeightJob, tiles: int, read: int, emitted: int) -> None:
        job.left -= tiles
        job.next_read = read + self._dim
        self._emitted, self._was_transposed = emitted, job.transposed
        if not job.left:
            job.end = read + self._dim - 1
            job.complete = emitted + self._dim
            self._weights.popleft()

    def _place(self, job: StreamJob) -> None:
        """Place the next pass or passes."""
        if job.keep:
            self._note_passes(job, job.left, job.earliest + (job.left - 1) * job.length)
            return
        start = max(job.earliest, self._emitted + (0 if job.delay else self._dim))
        self._full = False
        self._released = start + job.delay
        self._note_passes(job, 1, start)
        if job.left and self._weights and self._weights[0].left > 1:
            self._place_chunk(job, self._weights[0], start)

    def _place_chunk(self, job: StreamJob, weights: WeightJob, start: int) -> None:
        """Further passes of the same two instructions, each one period after the other.

        The first of them follows whatever tile was emitted for ``start``, so it is placed by the
        general rule; it and all after it have the constant period.
        """
        self._emit()
        first = max(job.earliest, self._emitted + (0 if job.delay else self._dim))
        period = max(job.length, self._dim)
        # One tile is always left to _emit, which knows how an instruction's last tile ends.
        more = min(job.left, weights.left) - 1
        if more < 1:
            self._full = False
            self._released = first + job.delay
            self._note_passes(job, 1, first)
            return
        last = first + more * period
        emitted = last - period + job.delay
        # A tile through the transposer is read while the one before it is emitted.
        before = self._emitted if more == 1 else emitted - period
        read = before if weights.transposed else emitted
        self._note_tiles(weights, more, read, emitted)
        self._full = False
        self._released = last + job.delay
        self._note_passes(job, more + 1, last)

    def _note_passes(self, job: StreamJob, passes: int, last: int) -> None:
        if job.first < 0:
            job.first = job.earliest if job.keep else last - (passes - 1) * job.length
        job.left -= passes
        job.earliest = last + job.length
        if not job.left:
            job.end = last + job.length - 1
            self._stream_end, self._stream_delay = job.end, job.delay
            self._stream = None
