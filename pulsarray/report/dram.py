"""A DRAM's times: rows that are open or not, banks, refresh, one data bus for both directions."""

from __future__ import annotations

import tomllib
from collections import deque
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

from pulsarray.errors import InputError

__all__ = ["DEFAULT_MEMORY", "MEMORIES", "Access", "Dram", "DramTable", "load_memory"]

_FOLDER = files("pulsarray.report").joinpath("memories")

MEMORIES = tuple(
    sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.is_file())
)
"""Names of the tables that come along."""

DEFAULT_MEMORY = "ddr3-1600"
"""The one that documentation speaks of."""

_LONG_AGO = -1e12
_ACTIVATES = 4


@dataclass(frozen=True, kw_only=True)
class DramTable:
    """Times of a DRAM in nanoseconds, as data sheets name them in brackets.

    Parameters
    ----------
    name, source
        What it is, and where its figures come from.
    transfers_per_us, bus_bits, burst_length
        Transfers a microsecond of the data bus, its width, and transfers of an access.
    banks, row_bytes
        Banks, and bytes of a row of one. An address is row, bank, byte from the top down.
    read_latency, write_latency
        From a command to its first data (CL, CWL).
    activate, precharge, row_active
        tRCD, tRP, tRAS.
    write_recovery, write_to_read, read_to_precharge
        tWR, tWTR, tRTP.
    activate_to_activate, four_activates
        tRRD, tFAW.
    refresh, refresh_interval
        tRFC, tREFI.
    """

    name: str
    source: str
    transfers_per_us: int
    bus_bits: int
    burst_length: int
    banks: int
    row_bytes: int
    read_latency: float
    write_latency: float
    activate: float
    precharge: float
    row_active: float
    write_recovery: float
    write_to_read: float
    read_to_precharge: float
    activate_to_activate: float
    four_activates: float
    refresh: float
    refresh_interval: float

    @property
    def access_bytes(self) -> int:
        """Bytes of an access."""
        return self.burst_length * self.bus_bits // 8

    @property
    def access_ns(self) -> float:
        """Time that an access takes on the data bus."""
        return self.burst_length * 1000.0 / self.transfers_per_us

    @property
    def bytes_per_ns(self) -> float:
        """What the data bus moves at most."""
        return self.access_bytes / self.access_ns


def load_memory(memory: str | Path) -> DramTable:
    """A table by its name (:data:`MEMORIES`), or from a TOML file of :class:`DramTable`'s fields.

    Raises
    ------
    InputError
        If it cannot be read, or a field is missing, unknown or not positive.
    """
    name = str(memory)
    try:
        known = name in MEMORIES
        place = _FOLDER.joinpath(f"{name}.toml") if known else Path(name)
        values = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{name}: neither a memory that comes along ({', '.join(MEMORIES)}) nor a readable "
            f"TOML file: {error}"
        ) from None
    kinds = {field.name: field.type for field in fields(DramTable)}
    if unknown := sorted(values.keys() - kinds.keys()):
        raise InputError(f"{name}: unknown entry {unknown[0]!r}; known: {', '.join(kinds)}")
    for entry, kind in kinds.items():
        _check(name, entry, str(kind), values.get(entry))
    return DramTable(**values)


def _check(where: str, entry: str, kind: str, value: object) -> None:
    """Check a field's kind; sizes of accesses and rows are powers of two."""
    if kind == "str":
        if not isinstance(value, str):
            raise InputError(f"{where}: {entry} must be a text, not {value!r}")
        return
    allowed = (int,) if kind == "int" else (int, float)
    if type(value) not in allowed or not 0 < value < 1e9:  # type: ignore[operator]
        raise InputError(f"{where}: {entry} must be a positive {kind}, not {value!r}")
    binary = entry in ("bus_bits", "burst_length", "banks", "row_bytes")
    if binary and (value & (value - 1) or (entry == "bus_bits" and value < 8)):  # type: ignore[operator]
        raise InputError(f"{where}: {entry} must be a power of two, not {value!r}")


@dataclass(slots=True)
class _Bank:
    row: int = -1
    activated: float = _LONG_AGO
    closable: float = _LONG_AGO
    """From when on the row may be closed, as far as data is concerned."""
    free: float = _LONG_AGO
    """From when on a row may be opened."""


@dataclass(frozen=True, slots=True)
class Access:
    """When the bytes of one row were on the data bus, in nanoseconds."""

    size: int
    begin: float
    end: float


class Dram:
    """A DRAM that serves requests in order and leaves rows open.

    Rows of later requests are opened while data of earlier ones is on the bus. A refresh that is
    due waits for what is on the bus, closes all rows, and holds every bank.

    Parameters
    ----------
    table
        Its times.

    Members
    -------
    hits, misses, conflicts
        Accesses to rows that were open, to banks with no open row, and with another one.
    refreshes
        How often it was refreshed.
    busy
        Nanoseconds of data on the bus.
    """

    def __init__(self, table: DramTable) -> None:
        self._table = table
        self._banks = [_Bank() for _ in range(table.banks)]
        self._activates = deque([_LONG_AGO] * _ACTIVATES, _ACTIVATES)
        self._bus_free = 0.0
        self._last_write = False
        self._refresh_due = table.refresh_interval
        self.hits = self.misses = self.conflicts = self.refreshes = 0
        self.busy = 0.0

    def request(self, arrival: float, address: int, size: int, *, write: bool) -> list[Access]:
        """Serve a request of contiguous bytes, row by row."""
        self._refresh(arrival)
        accesses = []
        while size:
            part = min(size, self._table.row_bytes - address % self._table.row_bytes)
            accesses.append(self._access(arrival, address, part, write))
            address += part
            size -= part
        return accesses

    def _access(self, arrival: float, address: int, size: int, write: bool) -> Access:
        table = self._table
        row, bank = divmod(address // table.row_bytes, table.banks)
        latency = table.write_latency if write else table.read_latency
        begin = self._open(arrival, self._banks[bank], row) + latency
        begin = max(begin, self._bus_free + self._turn(write))
        first = address // table.access_bytes
        count = -(-(address + size) // table.access_bytes) - first
        end = begin + count * table.access_ns
        state = self._banks[bank]
        last_command = end - table.access_ns - latency
        kept = end + table.write_recovery if write else last_command + table.read_to_precharge
        state.closable = max(state.closable, kept)
        self._bus_free, self._last_write = end, write
        self.busy += end - begin
        return Access(size, begin, end)

    def _turn(self, write: bool) -> float:
        """Time that the bus needs to turn around."""
        table = self._table
        if write == self._last_write:
            return 0.0
        return (
            4000.0 / table.transfers_per_us if write else table.write_to_read + table.read_latency
        )

    def _open(self, arrival: float, bank: _Bank, row: int) -> float:
        """When the row of a bank can be read and written."""
        table = self._table
        if bank.row == row:
            self.hits += 1
            return max(arrival, bank.activated + table.activate)
        if bank.row < 0:
            self.misses += 1
            start = max(arrival, bank.free)
        else:
            self.conflicts += 1
            start = max(arrival, bank.closable, bank.activated + table.row_active) + table.precharge
        start = max(start, self._activates[-1] + table.activate_to_activate)
        start = max(start, self._activates[0] + table.four_activates)
        self._activates.append(start)
        bank.row, bank.activated, bank.closable = row, start, start
        return start + table.activate

    def _refresh(self, arrival: float) -> None:
        """Do the refreshes that are due before a request."""
        table = self._table
        while self._refresh_due <= max(arrival, self._bus_free):
            begin = max(self._refresh_due, self._bus_free)
            opened = [bank for bank in self._banks if bank.row >= 0]
            for bank in opened:
                begin = max(begin, bank.closable, bank.activated + table.row_active)
            end = begin + (table.precharge if opened else 0.0) + table.refresh
            for bank in self._banks:
                bank.row, bank.free = -1, end
            self._refresh_due += table.refresh_interval
            self.refreshes += 1
