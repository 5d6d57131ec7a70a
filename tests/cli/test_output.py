"""Signs of life and tables, on a terminal and elsewhere."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from pulsarray.cli import output
from pulsarray.errors import InputError


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with output.working("thinking") as work:
        work.advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_what_takes_long_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0.02)
    monkeypatch.setattr(output, "BETWEEN_LINES", 0.02)
    with output.working("thinking") as work:
        time.sleep(0.1)
        work.advance(1, 4)
        work.advance(2, 4)
    assert capsys.readouterr().err.splitlines() == ["thinking ...", "thinking 25%"]


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(output, "Console", lambda **_: terminal)
    with output.working("thinking") as work:
        assert "━" not in screen.getvalue()
        work.advance(1, 2)
    assert "thinking" in screen.getvalue()
    assert "━" in screen.getvalue()


def test_lines_in_a_file_have_no_blanks_at_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a", "b", box=None)
    table.add_row("1", "wide text")
    table.add_row("2", "")
    output.show(table)
    assert all(line == line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_require_writable(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    output.require_writable(None, file, Path("other"), Path("/dev/null"), Path("/dev/null"))
    file.touch()
    link.symlink_to(file)
    output.require_writable(file, read=[None, tmp_path / "none", "mnist-mlp"])
    output.require_writable(Path("mnist-mlp"), read=["mnist-mlp"])  # a name that is no file
    for files, read, message in (
        ([tmp_path / "none" / "file"], [], r"none/file: cannot write: no folder .*none$"),
        ([tmp_path], [], "cannot write: is a folder"),
        ([file, link], [], "link: cannot write: is also the file of another option"),
        ([tmp_path / "new", tmp_path / "new"], [], "is also the file of another option"),
        ([file], [tmp_path / "none", file], "file: cannot write: is also the file that is read"),
        ([link], [file], "link: cannot write: is also the file that is read"),
    ):
        with pytest.raises(InputError, match=message):
            output.require_writable(*files, read=read)
