"""The file of a sweep: what is done is in it, whatever happens next."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pulsarray.api.sweeps.rows import COLUMNS, key_of
from pulsarray.errors import InputError, ToolMissing

__all__ = ["Store"]

_ENDINGS = (".csv", ".parquet")


class Store:
    """Rows of a sweep, and the file that they go to as they come.

    A CSV file takes each row when it is there; a Parquet file, which takes none later, is written
    when the sweep ends, is interrupted or fails. Rows of the same release that a file has already
    are not made again; a row that was cut short is dropped.

    Parameters
    ----------
    path
        The file, ``.csv`` or ``.parquet``; None for none.

    Raises
    ------
    InputError
        If it cannot be read, or is no file of a sweep of this release.
    ToolMissing
        If it is Parquet and pyarrow is not installed.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.rows = path, list[dict[str, Any]]()
        self._file: io.FileIO | None = None
        if path is not None and path.suffix not in _ENDINGS:
            raise InputError(f"{path}: must end in {' or '.join(_ENDINGS)}")
        if path is not None and path.suffix == ".parquet":
            _require_pyarrow(path)
        if path is not None and path.exists() and path.stat().st_size:
            self._read(path)
        self.done = {key_of(row) for row in self.rows}

    def _read(self, path: Path) -> None:
        if path.suffix == ".parquet":
            columns, rows = _read_parquet(path)
        else:
            _drop_cut_row(path)
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                columns, rows = list(reader.fieldnames or ()), [_typed(row) for row in reader]
        if tuple(columns) != COLUMNS:
            raise InputError(
                f"{path}: is no sweep of this release (it has other columns); name another file"
            )
        self.rows = rows

    def __enter__(self) -> Self:
        if self.path is not None and self.path.suffix == ".csv":
            begins = not self.path.exists() or not self.path.stat().st_size
            self._file = io.FileIO(self.path, "a")
            if begins:
                self._write([COLUMNS])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        elif self.path is not None:
            _write_parquet(self.path, self.rows)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Keep rows.

        Raises
        ------
        InputError
            If the file cannot take them; it keeps what it has.
        """
        new = list(rows)
        if self._file is not None:
            self._write([[row[name] for name in COLUMNS] for row in new])
        self.rows += new
        self.done |= {key_of(row) for row in new}

    def _write(self, lines: Iterable[Iterable[Any]]) -> None:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(lines)
        assert self._file is not None
        data = memoryview(buffer.getvalue().encode())
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write: {error.strerror}; {len(self.rows):,} rows are kept, "
                "the same command goes on from there"
            ) from None


def _drop_cut_row(path: Path) -> None:
    """A last line without its end is of a row that was not written whole."""
    with path.open("rb+") as file:
        end = file.read().rfind(b"\n") + 1
        file.truncate(end)
        os.fsync(file.fileno())


_TEXTS = {"network", "digest", "version", "energy_table", "fingerprint", "refused", "target"}


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """Numbers and truth values of a row of text."""
    return {name: text if name in _TEXTS else _value(text) for name, text in row.items()}


def _value(text: str | None) -> Any:
    if not text:
        return ""
    if text in ("True", "False"):
        return text == "True"
    return float(text) if "." in text or "e" in text else int(text)


def _require_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ToolMissing(
            f"{path}: Parquet needs pyarrow: pip install 'pulsarray[sweep]', or write .csv"
        ) from None


def _read_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    from pyarrow import ArrowException, parquet

    try:
        whole = parquet.read_table(path)
    except ArrowException as error:
        raise InputError(f"{path}: cannot read: {error}") from None
    rows = [
        {name: "" if value is None else value for name, value in row.items()}
        for row in whole.to_pylist()
    ]
    return whole.column_names, rows


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        name: [None if row[name] == "" and name not in _TEXTS else row[name] for row in rows]
        for name in COLUMNS
    }
    part = path.with_name(f".{path.name}.part")
    try:
        parquet.write_table(pyarrow.table(columns), part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot write: {error.strerror}") from None
