"""The system's tools are judged by what they do, not by their names."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pulsarray.errors import ToolMissing
from pulsarray.sim import toolchain, tools

SCRIPT = Path(tools.__file__).resolve()
BY_NAME = {tool.name: tool for tool in tools.TOOLS}
PROGRAMS = ("iverilog", "vvp", "g++", "ar", "make")


def stand_ins(folder: Path, **scripts: str) -> None:
    """Commands in a folder: the shell's own, and scripts in the place of tools."""
    for name in ("sh", "cat", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def test_all_that_tests_need_works() -> None:
    lacking = [tool.name for tool in tools.TOOLS if not tool.optional and not tool.version()]
    assert lacking == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_of_that_name_is_not_enough(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says its version and that all went well, and does nothing."""
    tool = BY_NAME[name]
    assert tool.version()
    stand_ins(tmp_path, **{name: "echo version 1"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tool.version() == ""


def test_a_compiler_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("g++")
    stand_ins(tmp_path, **{"g++": f'exec {compiler} -nostdinc++ "$@"'})
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ToolMissing, match=r"^verilator: g\+\+ is missing or cannot build C\+\+20"):
        toolchain.require("verilator")


def test_libpython_is_this_one() -> None:
    library = ctypes.CDLL(tools.libpython())
    library.Py_GetVersion.restype = ctypes.c_char_p
    assert library.Py_GetVersion().decode() == sys.version


def test_what_setup_installs(tmp_path: Path) -> None:
    line = [sys.executable, "-I", str(SCRIPT)]
    done = subprocess.run(line, env={"PATH": str(tmp_path)}, capture_output=True, check=True)
    assert done.stdout.split() == [b"iverilog", b"g++", b"binutils", b"make"]
