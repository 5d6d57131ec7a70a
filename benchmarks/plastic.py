"""Digits without labels by plasticity: int8 beside float64, and runs of the RTL.

``python benchmarks/plastic.py --seeds 3 --verilator 200``: for each seed both learn from 1,400
digits with the same spikes, int8 by the integer definition; labels then say which class each neuron
spikes for, and 397 others, which go on in the same way, are told apart. ``--verilator N`` compares
N runs of RTL, model and integer definition. Exit 1 if any differ, or if int8 is on average more
than two points worse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Array, Floats
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import kept, run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.sim.device import Device
from pulsarray.zoo.plastic import RUNS, Shown, plastic_digits, recognized, shown
from pulsarray.zoo.workloads import digits_8x8

LEARNED, CALIBRATED = 1400, 200
CONFIG = Config.from_dict({**PRESETS["base"].to_dict(), "vector_multiply": True})


def digits(seed: int) -> Shown:
    """Those to learn from in random order, then the others."""
    images, labels = digits_8x8()
    order = np.random.default_rng(seed).permutation(LEARNED)
    order = np.concatenate([order, np.arange(LEARNED, len(labels))])
    return shown(images[order], labels[order], seed)


def encoded(graph: Graph, inputs: Mapping[str, Floats]) -> dict[str, Array]:
    """Spikes as a network takes them: real numbers, or codes."""
    codes = {value.name: value.codes for value in graph.inputs}
    return {name: codes[name].encode(x).astype(np.int64) for name, x in inputs.items()}


def runs(graph: Graph, inputs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Outputs, and what states become, run by run."""
    states: dict[str, Array] = {}
    for number in range(len(next(iter(inputs.values())))):
        one = {name: array[number : number + 1] for name, array in inputs.items()}
        outputs = run_outputs(graph, {**one, **states})
        states = kept(graph, outputs)
        yield {"spikes": outputs["spikes"], **states}


def spikes(graph: Graph, inputs: Mapping[str, Array]) -> Floats:
    """Of all neurons in all runs, whatever number stands for one."""
    rows = np.concatenate([row["spikes"].reshape(1, -1) for row in runs(graph, inputs)])
    return np.asarray(rows > rows.min(), np.float64)


def differing(graph: Graph, inputs: Mapping[str, Array], count: int) -> int:
    """Runs on Verilator whose spikes or states are not those of the definition."""
    wrong, few = 0, {name: array[:count] for name, array in inputs.items()}
    with Device("verilator", check=True) as device:
        device.load(compiler.compile(graph, CONFIG))
        for number, wanted in enumerate(runs(graph, few)):
            for name, array in few.items():
                device.write(name, array[number].reshape(1, -1))
            cycles = device.run().cycles
            wrong += not all(
                np.array_equal(device.read(name).ravel(), array.ravel())
                for name, array in wanted.items()
            )
    print(f"{count} runs of {cycles:,} cycles on Verilator, {wrong} differ")
    return wrong


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--verilator", type=int, default=0, help="runs on the RTL")
    options = parser.parse_args()
    wrong, gaps = 0, []
    for seed in range(options.seeds):
        data, graph = digits(seed), plastic_digits(seed)
        first = {name: x[: CALIBRATED * RUNS] for name, x in data.inputs.items()}
        integers = quantize_graph(graph, first, CONFIG)
        codes = encoded(integers, data.inputs)
        if options.verilator and not seed:
            wrong = differing(integers, codes, options.verilator)
        real, coded = (
            recognized(spikes(*pair), data.labels, LEARNED)
            for pair in ((graph, data.inputs), (integers, codes))
        )
        print(f"seed {seed}: float64 {real:.1%}, int8 {coded:.1%}", flush=True)
        gaps.append(real - coded)
    if gaps:
        print(f"int8 less float64, mean of {len(gaps)}: {-100 * np.mean(gaps):+.1f} points")
    return int(bool(wrong) or (bool(gaps) and float(np.mean(gaps)) > 0.02))


if __name__ == "__main__":
    sys.exit(main())
