"""Virtual environments for other people's tools, whose packages would not go with ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pulsarray.files import cache_folder

__all__ = ["environment"]


def environment(name: str, packages: Sequence[str]) -> Path:
    """Folder of an environment's programs; it is made when it is first asked for.

    Parameters
    ----------
    name
        Of the environment, with the version of what it is for.
    packages
        What is installed, as pip takes it.

    Raises
    ------
    subprocess.CalledProcessError
        If the packages cannot be had.
    """
    folder = cache_folder() / name
    programs, stamp = folder / "bin", folder / "installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--quiet", *packages], check=True, stderr=subprocess.DEVNULL)
        stamp.touch()
    return programs
