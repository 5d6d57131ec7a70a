"""Pages of docs/ that derive from definitions, links between pages, and what files may not hold."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKE_DOCS = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))


def test_generated_pages_are_what_the_definitions_give() -> None:
    assert MAKE_DOCS["stale"]() == []


def test_every_page_has_a_notice() -> None:
    assert all(MAKE_DOCS["NOTICE"] in text for text in MAKE_DOCS["pages"]().values())


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    assert len(pages) > 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert (
            set(re.findall(r"`?\bmake ([a-z]+(?:-[a-z]+)?)\b(?=`|$)", text, re.MULTILINE))
            <= targets
        )
