"""The ImageNet networks of the onnx package, whole, on Verilator: RTL, model and definition.

``python benchmarks/onnx_rtl.py squeezenet alexnet`` runs these (all nine without names; VGG-19
takes 85 million cycles and 6 GB). Of each run memory, cycles, counters and events must equal the
model's, and every map in memory the integer interpreter's. Exit 1 on a difference.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS
from pulsarray.program import unpack
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
from pulsarray.sim.random.maps import with_inputs

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CONFIG = PRESETS["base"]
SEED = 2026


def check(path: Path, table: Table) -> list[str]:
    """Run one network; what differs."""
    random = np.random.default_rng(SEED)
    graph = import_onnx(path, random_weights=SEED)
    height, width, channels = graph.input.shape
    made = quantize_graph(graph, random.normal(0, 1, (1, channels, height, width)), CONFIG)
    program = compiler.compile(made, CONFIG)
    codes = random.integers(-128, 128, (1, *made.input.shape))
    expected = run(made, codes)
    memory = with_inputs(program, codes)
    model = run_model(program, memory=memory)
    begin = time.perf_counter()
    rtl = simulate(program, "verilator", memory=memory)
    seconds = time.perf_counter() - begin
    differences = compare(model, rtl, program)
    maps = wrong = 0
    assert rtl.memory is not None
    for tensor in program.tensors:
        if tensor.role in ("intermediate", "output") and tensor.name in expected:
            codes_found = unpack(rtl.memory, tensor, CONFIG)
            wanted = expected[tensor.name].reshape(codes_found.shape)
            maps, wrong = maps + 1, wrong + int(np.count_nonzero(codes_found != wanted))
    if wrong:
        differences.append(f"{wrong} codes other than the interpreter's")
    name = path.stem.removeprefix("light_")
    table.add_row(name, f"{rtl.cycles:,}", str(maps), str(len(differences)), f"{seconds:.0f}")
    return [f"{name}: {text}" for text in differences]


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help="part of a file's name; all if none")
    options = parser.parse_args()
    paths = [
        path
        for path in sorted(FOLDER.glob("*.onnx"))
        if not options.networks or any(name in path.stem for name in options.networks)
    ]
    console = Console(width=100)
    table = Table(title="RTL = model = interpreter, base, batch 1")
    for column in ("network", "cycles", "maps compared", "different", "seconds of Verilator"):
        table.add_column(column, justify="left" if column == "network" else "right")
    faults = []
    for path in paths:
        with console.status(f"{path.stem} ..."):
            faults += check(path, table)
    console.print(table)
    console.print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
