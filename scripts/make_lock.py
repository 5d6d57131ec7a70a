"""Write requirements.lock: exact versions, as installed, of all that Pulsarray needs.

Usage: .venv/bin/python scripts/make_lock.py
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Exact versions that are tested, for `pip install -r requirements.lock`.
# Written by scripts/make_lock.py from the dependencies in pyproject.toml.
"""


def declared() -> list[str]:
    """Requirements of pyproject.toml: build, run and development."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = data["project"]
    extras = project["optional-dependencies"]
    parts = [Requirement(text) for text in extras["dev"]]
    names = [name for part in parts if part.name == project["name"] for name in part.extras]
    ours = [str(part) for part in parts if part.name != project["name"]]
    theirs = [text for name in sorted(names) for text in extras[name]]
    return [*data["build-system"]["requires"], *project["dependencies"], *ours, *theirs]


def closure(requirements: list[str]) -> dict[str, str]:
    """Name and installed version of everything that the requirements bring."""
    versions: dict[str, str] = {}
    open_ = [Requirement(text) for text in requirements]
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if name in versions or not _applies(requirement):
            continue
        distribution = importlib.metadata.distribution(name)
        versions[name] = distribution.version
        open_ += [Requirement(text) for text in distribution.requires or ()]
    return versions


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}\n" for name, version in sorted(closure(declared()).items())]
    (ROOT / "requirements.lock").write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
