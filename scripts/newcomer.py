"""How long a newcomer waits: from clone to an exact estimate, XOR trained on RTL, an own ONNX.

Usage: python3 scripts/newcomer.py [FOLDER]

Clones this repository into a new folder with a cache of its own, runs what README says, and prints
seconds since the start of the clone, with the seconds of processor time in brackets.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "installed": ["make --silent setup"],
    "first exact estimate": ["{bin}/pulsarray estimate mnist-mlp --batch 64"],
    "XOR trained on RTL (Verilator), every step compared": [
        "{bin}/pulsarray train xor --on verilator --until 1"
    ],
    "own ONNX file: exact cycles, int8 answers": [
        "{bin}/python examples/make_onnx.py .",
        "{bin}/pulsarray compile net.onnx --calibrate samples.npz --batch 8 -o net.pulse",
        "{bin}/pulsarray simulate net.pulse --inputs inputs.npz --outputs answers.npz",
    ],
}


def main() -> None:
    """Clone, run, and print a line for each figure."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        clone, begin = Path(name) / "pulsarray", time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {**os.environ, "PULSARRAY_CACHE": str(Path(name) / "cache")}
        environment.pop("VENV", None)
        for what, commands in STEPS.items():
            for command in commands:
                line = command.format(bin=clone / ".venv" / "bin").split()
                subprocess.run(
                    line, cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL
                )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = used.ru_utime + used.ru_stime
            print(f"{what}: {time.monotonic() - begin:.0f} s ({cpu:.0f} s)", flush=True)
    print(f"{date.today()}, {os.cpu_count()} processors, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
