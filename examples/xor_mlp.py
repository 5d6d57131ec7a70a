"""A network in Python: XOR with one hidden layer, compiled and run on the golden model.

Usage: python examples/xor_mlp.py [model|icarus|verilator]
"""

from __future__ import annotations

import sys

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.config import load_config
from pulsarray.sim.device import Device

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def main() -> None:
    """Compile, run, print the truth table."""
    graph = (
        Builder("xor", 2)
        .dense([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0])
        .relu()
        .dense([[8.0], [-16.0]], [-4.0])
        .sigmoid()
        .build()
    )
    config = load_config("tiny")
    program = compiler.compile(graph, config, batch=len(INPUTS), calibration=INPUTS)
    source, result = program.tensor("input"), program.tensor("output")

    device = Device(sys.argv[1] if len(sys.argv) > 1 else "model")
    device.load(program)
    device.write("input", np.rint(INPUTS / source.scale) + source.zero_point)
    cycles = device.run().cycles
    answers = (device.read("output") - result.zero_point) * result.scale
    for (a, b), (answer,) in zip(INPUTS, answers, strict=True):
        print(f"{a:.0f} xor {b:.0f} = {answer:.2f}")
    print(f"{cycles} cycles")


if __name__ == "__main__":
    main()
