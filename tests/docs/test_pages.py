"""Every Python block and every shell command of README and docs runs, page by page.

A block that cannot (hardware, hours) has ``<!--- skip: next -->`` before it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "docs/python.md": "tests/api/test_documents.py",
    "docs/adding-an-operator.md": "tests/compiler/test_adding_an_operator.py",
    "docs/state.md": "tests/api/test_documents.py",
}
"""Pages whose blocks other tests run, with what they need."""
QUICK = {"docs/tutorials/pytorch.md", "docs/energy.md", "docs/machine.md", "docs/training.md"}
"""Pages that take a few seconds; the others are for ``make docs-test``."""


def pages() -> list[Path]:
    """All pages for readers, but those that other tests run."""
    written = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
    return [page for page in sorted(written) if _name(page) not in ELSEWHERE]


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run_commands(example: Example) -> None:
    """A block of shell commands, in the folder of its page; the first that fails ends it."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        env={**environment, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{example.parsed}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    sys.stdout.write(done.stdout)


def compare_text(example: Example) -> None:
    """A text after blocks that print is what the last of them printed."""
    printed = example.namespace.get("printed")
    if printed is not None:
        assert [line.rstrip() for line in example.parsed.splitlines()] == printed.splitlines()


def parsed(page: Path) -> Document:
    """A page with its blocks."""
    texts = CodeBlockParser("text", compare_text)
    blocks = [PythonCodeBlockParser(), CodeBlockParser("sh", run_commands), texts, SkipParser()]
    return Sybil(parsers=blocks).parse(page)


def cases() -> list[object]:
    return [
        pytest.param(page, id=_name(page), marks=[] if _name(page) in QUICK else pytest.mark.slow)
        for page in pages()
        if "```sh" in page.read_text("utf-8") or "```python" in page.read_text("utf-8")
    ]


@pytest.mark.parametrize("page", cases())
def test_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for example in parsed(page).examples():
        example.evaluate()
        if printed := capsys.readouterr().out:
            example.namespace["printed"] = printed


def test_blocks_say_what_they_are() -> None:
    """A block of commands without a language would run nowhere."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        fences = [line for line in page.read_text("utf-8").splitlines() if line.startswith("```")]
        for line, start in zip(fences[::2], _first_lines(page), strict=True):
            assert line != "```" or "pulsarray " not in start, f"{_name(page)}: {start}"


def _first_lines(page: Path) -> list[str]:
    lines = page.read_text("utf-8").splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("```")]
    return [lines[number + 1] for number in places[::2]]


def test_other_tests_are_there() -> None:
    for page, test in ELSEWHERE.items():
        assert (ROOT / page).exists()
        assert Path(page).stem in (ROOT / test).read_text("utf-8").replace("_", "-")
