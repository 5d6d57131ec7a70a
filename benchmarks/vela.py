"""Arm's Vela: its own estimates of cycles for Ethos-U of 256 multipliers, all memory on chip."""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.environment import environment

__all__ = ["ACCELERATORS", "VERSION", "cycles"]

VERSION = "5.2.0"

ACCELERATORS = {
    "Ethos-U55": ("ethos-u55-256", "Ethos_U55_High_End_Embedded"),
    "Ethos-U65": ("ethos-u65-256", "Ethos_U65_High_End"),
    "Ethos-U85": ("ethos-u85-256", "Ethos_U85_SYS_DRAM_Mid"),
}
"""Accelerators by name, each with what Vela calls it and the system around it."""


def cycles(network: Path, accelerator: str) -> int:
    """What Vela estimates for a network.

    Parameters
    ----------
    network
        An int8 TensorFlow Lite file.
    accelerator
        A name of :data:`ACCELERATORS`.

    Raises
    ------
    subprocess.CalledProcessError
        If Vela cannot be had, or does not take the network.
    """
    name, system = ACCELERATORS[accelerator]
    with tempfile.TemporaryDirectory(prefix="pulsarray-vela-") as folder:
        line = [_program(), str(network), "--accelerator-config", name, "--config", "Arm/vela.ini"]
        line += ["--system-config", system, "--memory-mode", "Sram_Only", "--output-dir", folder]
        subprocess.run(line, check=True, capture_output=True, text=True)
        (summary,) = Path(folder).glob("*_summary_*.csv")
        with summary.open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
    return round(float(row["cycles_total"]))


def _program() -> str:
    """Vela of this environment, or else of one of its own."""
    package = f"ethos-u-vela=={VERSION}"
    return shutil.which("vela") or str(environment(f"vela-{VERSION}", [package]) / "vela")
