"""Tutorials are notebooks: each runs in Jupyter from the first cell to the last."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
import nbclient
import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
PAGES = sorted(page for page in TUTORIALS.glob("*.md") if page.stem != "index")


def test_every_tutorial_has_cells() -> None:
    assert len(PAGES) >= 5
    for page in PAGES:
        cells = [cell for cell in jupytext.read(page).cells if cell.cell_type == "code"]
        assert len(cells) >= 3, page.name
        assert not any(cell.source.startswith("pulsarray") for cell in cells), page.name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
@pytest.mark.filterwarnings("ignore")
def test_runs_as_a_notebook(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    notebook = jupytext.read(page)
    notebook.cells = [
        cell
        for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False)
        if before is None or "skip: next" not in before.source
    ]
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
