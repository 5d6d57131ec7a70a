"""How much a plain install and each extra take: the files of their packages as installed here.

Usage: .venv/bin/python scripts/install_sizes.py
"""

from __future__ import annotations

import importlib.metadata
import runpy
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CLOSURE = runpy.run_path(str(ROOT / "scripts" / "make_lock.py"))["closure"]
RUN = ("html", "onnx", "sim", "tflite", "train")
"""The extras without which all verbs would not work."""


def megabytes(requirements: list[str]) -> float:
    """Size of the files of the packages that requirements bring, in 10^6 bytes."""
    return sum(map(_bytes, CLOSURE(requirements))) / 1e6


def _bytes(name: str) -> int:
    files = importlib.metadata.distribution(name).files or []
    places = (Path(str(file.locate())) for file in files)
    return sum(place.stat().st_size for place in places if place.is_file())


def main() -> None:
    """Print a table in Markdown."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, plain = project["optional-dependencies"], project["dependencies"]
    every = [*plain, *(text for name in RUN for text in extras[name])]
    rows = {"plain": plain, **{f"`[{name}]`": [*plain, *extras[name]] for name in RUN}}
    print("| install | MB |\n|---|---|")
    for name, requirements in {**rows, "all of these": every}.items():
        print(f"| {name} | {megabytes(requirements):,.0f} |")


if __name__ == "__main__":
    main()
