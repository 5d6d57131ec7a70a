"""docs/adding-an-operator.md does what it says: its code runs and prints what stands behind it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-operator.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("adding_an_operator")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    printed = ""
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "text":
            assert printed.strip() == text.strip()
            printed = ""
            continue
        assert not printed, "something was printed that the page does not show"
        exec(compile(text, PAGE.name, "exec"), module.__dict__)
        printed = capsys.readouterr().out
    assert not printed
