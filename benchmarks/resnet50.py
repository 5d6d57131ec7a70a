"""ResNet-50, whole, on the RTL: every layer's output and every cycle against the model.

``python benchmarks/resnet50.py`` (``make bench-resnet50``) runs the network twice on Verilator:
layer by layer, where every layer's memory, cycles, counters and events must equal the model's and
its output the integer interpreter's; then as one program. What is done is kept in the cache
folder, so a run that was interrupted goes on with the layer it had reached; ``--again`` starts
anew. Exit 1 on a difference, or above the bar of 17.9 million cycles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pulsarray import compiler
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.lower.programs import compile_layers
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS
from pulsarray.errors import CheckFailed
from pulsarray.files import cache_folder
from pulsarray.program import Program, unpack
from pulsarray.report import build_report
from pulsarray.report.bound import bound_of_layer
from pulsarray.sim.compare import require_identical
from pulsarray.sim.device import Device, run_model, simulate
from pulsarray.sim.random.maps import with_inputs
from pulsarray.zoo.networks import built_in

CONFIG = PRESETS["base"]
BAR = 17_900_000
LOW = 0.8
SEED = 2026

Memory = npt.NDArray[np.uint8]
Maps = Mapping[str, npt.NDArray[np.int64]]


class Kept:
    """What has been done, in a folder that belongs to one network and one machine."""

    def __init__(self, programs: list[Program], whole: Program, *, again: bool) -> None:
        digest = hashlib.sha256(programs[0].memory.tobytes() + whole.memory.tobytes())
        digest.update(CONFIG.fingerprint.encode())
        self.folder = cache_folder() / f"bench-resnet50-{digest.hexdigest()[:16]}"
        if again:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        self._file = self.folder / "done.json"
        self.done: dict[str, Any] = {"layers": [], "whole": 0}
        if self._file.exists():
            self.done = json.loads(self._file.read_text(encoding="ascii"))

    @property
    def memory(self) -> Memory | None:
        """Memory after the last layer done."""
        count = len(self.done["layers"])
        return np.load(self._image(count)) if count else None

    def layer(self, cycles: int, memory: Memory) -> None:
        """Keep a layer's end."""
        self.done["layers"].append(cycles)
        count = len(self.done["layers"])
        np.save(self._image(count), memory)
        self._write()
        self._image(count - 1).unlink(missing_ok=True)

    def whole(self, cycles: int) -> None:
        """Keep that the whole program has run."""
        self.done["whole"] = cycles
        self._write()

    def _image(self, count: int) -> Path:
        return self.folder / f"memory{count}.npy"

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(self.done), encoding="ascii")
        part.replace(self._file)


def compare_maps(program: Program, memory: Memory, expected: Maps, names: list[str]) -> None:
    """The maps in memory against the integer interpreter's.

    Raises
    ------
    CheckFailed
        If an element differs.
    """
    for name in names:
        tensor = program.tensor(name)
        codes = unpack(memory, tensor, program.config)
        wrong = int(np.count_nonzero(codes != expected[name].reshape(codes.shape)))
        if wrong:
            raise CheckFailed(f"{name}: {wrong} of {codes.size} codes differ from the interpreter")


def by_layers(
    programs: list[Program], codes: npt.NDArray[np.int64], expected: Maps, kept: Kept, bar: Progress
) -> None:
    """Every layer that is not done yet, on Verilator and on the model."""
    done = len(kept.done["layers"])
    task = bar.add_task("layer by layer", total=len(programs), completed=done)
    if done == len(programs):
        return
    with Device("verilator", check=True) as device:
        device.load(programs[0])
        memory = kept.memory
        device.restore(with_inputs(programs[0], codes) if memory is None else memory)
        for program in programs[done:]:
            bar.update(task, description=program.layers[0].name[:28])
            result = device.run(program)
            assert result.memory is not None
            written = [t.name for t in program.tensors if _written(t.address, program)]
            compare_maps(program, result.memory, expected, written)
            kept.layer(result.cycles, result.memory)
            bar.advance(task)


def _written(address: int, program: Program) -> bool:
    """Whether a layer's program stores to the tensor at an address."""
    stores = (i for i in program.instructions if i.op.name == "STORE")
    tensors = sorted(t.address for t in program.tensors)
    following = next((a for a in tensors if a > address), program.code_address)
    return any(address <= i["address"] < following for i in stores)


def as_whole(
    program: Program, codes: npt.NDArray[np.int64], expected: Maps, kept: Kept, bar: Progress
) -> None:
    """The network as one program, on Verilator and on the model."""
    memory = with_inputs(program, codes)
    model = run_model(program, memory=memory)
    task = bar.add_task("as one program", total=model.cycles)
    if kept.done["whole"] != model.cycles:
        rtl = simulate(
            program,
            "verilator",
            memory=memory,
            progress=lambda cycles: bar.update(task, completed=cycles),
        )
        require_identical(model, rtl, program)
        assert rtl.memory is not None
        names = [t.name for t in program.tensors if t.role in ("intermediate", "output")]
        compare_maps(program, rtl.memory, expected, names)
        kept.whole(rtl.cycles)
    bar.update(task, completed=model.cycles)


def show(program: Program, console: Console) -> int:
    """The table of layers; the cycles."""
    result = run_model(program, memory=program.memory)
    report = build_report(program, result)
    table = Table(title="ResNet-50 on base, layers as parts of one program")
    for name in ("layer", "M x K x N", "cycles", "bound", "of the array"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    low = []
    for layer, row in zip(program.layers, report["layers"], strict=True):
        bound = bound_of_layer(layer, program.config)
        useful = layer.macs / (program.config.dim**2 * max(1, row["cycles"]))
        table.add_row(
            layer.name,
            f"{layer.m} x {layer.k} x {layer.n}" if layer.macs else layer.kind,
            f"{row['cycles']:,}",
            f"{bound.compute:,}",
            f"{100 * useful:.1f} %" if layer.macs else "",
        )
        if layer.macs and useful < LOW:
            why = (
                f"M = {layer.m} words against {program.config.dim} cycles for a tile of weights"
                if layer.m < program.config.dim
                else f"{row['cycles'] - bound.compute:,} cycles above its bound; K = {layer.k} and "
                f"N = {layer.n} fill {layer.macs / max(1, bound.words * 256):.0%} of the tiles"
            )
            low.append(f"{layer.name}: {100 * useful:.1f} %: {why}")
    console.print(table)
    bound = report["bound"]["compute"]
    console.print(f"below {LOW:.0%}:", *(low or ["none"]), sep="\n  ")
    console.print(
        f"cycles {result.cycles:,}, bound {bound:,} ({bound / result.cycles:.1%}); "
        f"bar {BAR:,}: {'met' if result.cycles <= BAR else 'MISSED'}"
    )
    return result.cycles


def network() -> tuple[Graph, npt.NDArray[np.int64]]:
    """ResNet-50 in int8, and an image."""
    graph, calibration = built_in("resnet50")
    image = np.random.default_rng(SEED).normal(0, 1, (1, *graph.input.shape))
    made = quantize_graph(graph, calibration, CONFIG)
    return made, made.input.codes.encode(image)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="forget what has been done")
    options = parser.parse_args()
    console = Console(width=120)
    begin = time.perf_counter()
    graph, codes = network()
    start = time.perf_counter()
    whole = compiler.compile(graph, CONFIG)
    seconds = time.perf_counter() - start
    console.print(f"compiled in {seconds:.1f} s: {len(whole.instructions):,} instructions")
    programs = compile_layers(graph, CONFIG)
    kept = Kept(programs, whole, again=options.again)
    expected = run(graph, codes)
    columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
            by_layers(programs, codes, expected, kept, bar)
            as_whole(whole, codes, expected, kept, bar)
    except CheckFailed as error:
        console.print(f"DIFFERENT: {error}")
        return 1
    cycles = show(whole, console)
    layers = kept.done["layers"]
    console.print(
        f"RTL = model: {len(layers)} layers one by one ({sum(layers):,} cycles), and the whole "
        f"network ({kept.done['whole']:,}): memory, cycles, counters, events; every map = the "
        f"interpreter's; {time.perf_counter() - begin:.0f} s"
    )
    return 0 if cycles <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
