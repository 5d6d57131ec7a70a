"""Scripts that change the system ask first whether they may."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def test_fresh_check_needs_root() -> None:
    with (ROOT / "scripts" / "fresh_check.sh").open() as script:
        done = subprocess.run(
            ["bash", "-s"],
            stdin=script,
            cwd="/",
            user=NOBODY if os.geteuid() == 0 else None,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("fresh-check: must run as root")
    assert len(done.stderr.splitlines()) == 1
