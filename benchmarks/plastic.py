"""Digits without labels by plasticity: int8 beside float64, and runs of the RTL.

``python benchmarks/plastic.py --seeds 4 --verilator 200``: for each seed both learn from 1,400
digits with the same spikes, int8 by the integer definition; labels then say which class each neuron
spikes for, and 397 others, which go on in the same way, are told apart. ``--verilator N`` compares
N runs of RTL, model and integer definition. Exit 1 if any differ, or if int8 is on average more
than two points worse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Array, Floats, Value
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import kept, run_outputs
from pulsarray.config import PRESETS, Config
from pulsarray.sim.device import Device
from pulsarray.zoo.plastic import RUNS, Shown, plastic_digits, recognized, shown
from pulsarray.zoo.workloads import digits_8x8

LEARNED, CALIBRATED = 1400, 200
WEIGHTS = "neurons.weights"
CONFIG = Config.from_dict({**PRESETS["base"].to_dict(), "vector_multiply": True})


def digits(seed: int) -> Shown:
    """Those to learn from in random order, then the others."""
    images, labels = digits_8x8()
    order = np.random.default_rng(seed).permutation(LEARNED)
    order = np.concatenate([order, np.arange(LEARNED, len(labels))])
    return shown(images[order], labels[order], seed)


def encoded(values: Iterable[Value], arrays: Mapping[str, Floats]) -> dict[str, Array]:
    """Real numbers as a network's inputs or states have them."""
    codes = {value.name: value.codes for value in values if value.name in arrays}
    return {name: codec.encode(arrays[name]).astype(np.int64) for name, codec in codes.items()}


def runs(
    graph: Graph, inputs: Mapping[str, Array], states: Mapping[str, Array]
) -> Iterator[dict[str, Array]]:
    """Outputs, and what states become, run by run of (runs, streams, 1, 1, K)."""
    for one in zip(*inputs.values(), strict=True):
        outputs = run_outputs(graph, {**dict(zip(inputs, one, strict=True)), **states})
        states = kept(graph, outputs)
        yield {"spikes": outputs["spikes"], **states}


def spikes(graph: Graph, inputs: Mapping[str, Array], states: Mapping[str, Array]) -> Floats:
    """Of all neurons, (runs, streams, N), whatever number stands for one."""
    rows = np.stack([row["spikes"][:, 0, 0] for row in runs(graph, inputs, states)])
    return np.asarray(rows > rows.min(), np.float64)


def differing(graph: Graph, inputs: Mapping[str, Array], count: int) -> int:
    """Runs of the first stream on Verilator that are not as the definition says."""
    wrong, few = 0, {name: array[:count, :1] for name, array in inputs.items()}
    with Device("verilator", check=True) as device:
        device.load(compiler.compile(graph, CONFIG))
        for number, wanted in enumerate(runs(graph, few, {})):
            for name, array in few.items():
                device.write(name, array[number].reshape(1, -1))
            cycles = device.run().cycles
            wrong += not all(
                np.array_equal(device.read(name).ravel(), array.ravel())
                for name, array in wanted.items()
            )
    print(f"{count} runs of {cycles:,} cycles on Verilator, {wrong} differ", flush=True)
    return wrong


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--verilator", type=int, default=0, help="runs on the RTL")
    options = parser.parse_args()
    seeds = range(options.seeds)
    streams, graph = [digits(seed) for seed in seeds], plastic_digits(0)
    inputs = {
        name: np.stack([stream.inputs[name] for stream in streams], axis=1)
        for name in streams[0].inputs
    }
    weights = [np.asarray(plastic_digits(seed).values[WEIGHTS].data) for seed in seeds]
    first = {WEIGHTS: np.stack(weights)}
    calibration = {name: x[: CALIBRATED * RUNS, 0] for name, x in inputs.items()}
    integers = quantize_graph(graph, calibration, CONFIG)
    codes = encoded(integers.inputs, inputs)
    wrong = differing(integers, codes, options.verilator) if options.verilator else 0
    states = encoded([integers.values[WEIGHTS]], first)
    both = spikes(graph, inputs, first), spikes(integers, codes, states)
    shares = np.array([
        [recognized(made[:, seed], streams[seed].labels, LEARNED) for made in both]
        for seed in seeds
    ])  # fmt: skip
    for seed, (real, coded) in enumerate(shares):
        print(f"seed {seed}: float64 {real:.1%}, int8 {coded:.1%}")
    real, coded = shares.mean(axis=0)
    print(f"mean of {len(shares)}: float64 {real:.1%}, int8 {coded:.1%}")
    return int(bool(wrong) or real - coded > 0.02)


if __name__ == "__main__":
    sys.exit(main())
