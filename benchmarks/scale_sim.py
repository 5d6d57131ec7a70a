"""SCALE-Sim 3.0.0 on a matrix product, in a virtual environment of its own (it needs numpy < 2)."""

from __future__ import annotations

import csv
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import environment

VERSION = "3.0.0"
PACKAGES = (f"scalesim=={VERSION}", "numpy<2")

_CONFIG = """\
[general]
run_name = gemm
[architecture_presets]
ArrayHeight : {dim}
ArrayWidth : {dim}
IfmapSramSzkB : 256
FilterSramSzkB : 256
OfmapSramSzkB : 256
IfmapOffset : 0
FilterOffset : 10000000
OfmapOffset : 20000000
Bandwidth : 16
Dataflow : ws
ReadRequestBuffer : 64
WriteRequestBuffer : 64
[layout]
IfmapCustomLayout : False
IfmapSRAMBankBandwidth : 10
IfmapSRAMBankNum : 10
IfmapSRAMBankPort : 2
FilterCustomLayout : False
FilterSRAMBankBandwidth : 10
FilterSRAMBankNum : 10
FilterSRAMBankPort : 2
[sparsity]
SparsitySupport : false
[run_presets]
InterfaceBandwidth : CALC
UseRamulatorTrace : False
"""

_RUN = """\
from scalesim.scale_sim import scalesim
run = scalesim(save_disk_space=True, verbose=False, config="scale.cfg", topology="gemm.csv",
               layout="layout.csv", input_type_gemm=True)
run.run_scale(top_path="out")
"""


@dataclass(frozen=True)
class ScaleSim:
    """What SCALE-Sim says of a product: cycles, and what it took (CPU and wall seconds)."""

    cycles: int
    cpu_seconds: float
    seconds: float


def run(m: int, k: int, n: int, dim: int) -> ScaleSim:
    """A product on a weight-stationary ``dim`` x ``dim`` array with ideal memory.

    Raises
    ------
    subprocess.CalledProcessError
        If SCALE-Sim cannot be had, or fails.
    """
    python = environment(f"scalesim-{VERSION}", PACKAGES) / "python"
    with tempfile.TemporaryDirectory(prefix="pulsarray-scalesim-") as name:
        folder = Path(name)
        (folder / "scale.cfg").write_text(_CONFIG.format(dim=dim), encoding="utf-8")
        (folder / "gemm.csv").write_text(f"Layer,M,N,K,\ngemm,{m},{n},{k},\n", encoding="utf-8")
        (folder / "layout.csv").write_text("Layer,\n", encoding="utf-8")
        before, begin = _child_seconds(), time.perf_counter()
        subprocess.run([python, "-c", _RUN], cwd=folder, check=True, capture_output=True, text=True)
        seconds, cpu = time.perf_counter() - begin, _child_seconds() - before
        with (folder / "out" / "gemm" / "COMPUTE_REPORT.csv").open(encoding="utf-8") as file:
            row = list(csv.reader(file))[1]
    # The report counts from the first cycle to the last one's number.
    return ScaleSim(int(row[2]) + 1, cpu, seconds)


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
