"""Lines of code by folder, and how long functions are: ``make lint`` shows it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "pulsarray",
    "hw",
    "model",
    "compiler",
    "zoo",
    "sim",
    "trainer",
    "synth",
    "handoff",
    "driver",
)
SHOWN = 5
"""Longest functions that are named."""


def files(folder: str) -> Iterator[Path]:
    """Python files of a folder of the package, links not followed."""
    return (
        path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in str(path)
    )


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of each function without its docstring, and where it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def main() -> None:
    """Print the table."""
    print(
        f"{'folder':<12}{'files':>6}{'lines':>8}{'functions':>11}{'median':>8}{'p90':>5}{'longest':>9}"
    )
    everything: list[tuple[int, str]] = []
    for folder in FOLDERS:
        paths = list(files(folder))
        lines = sum(len(path.read_text().splitlines()) for path in paths)
        lengths = sorted(entry for path in paths for entry in functions(path))
        everything += lengths
        median, most = (lengths[int(share * (len(lengths) - 1))][0] for share in (0.5, 0.9))
        print(
            f"{folder:<12}{len(paths):>6}{lines:>8}{len(lengths):>11}{median:>8}{most:>5}"
            f"{lengths[-1][0]:>9}"
        )
    print("longest functions, in lines without docstring:")
    for length, place in sorted(everything, reverse=True)[:SHOWN]:
        print(f"{length:>5}  {place}")


if __name__ == "__main__":
    main()
