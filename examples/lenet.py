"""LeNet-5 on digits: accuracy in floating point and in int8, and what an image costs.

Usage: python examples/lenet.py [preset or TOML file]

The int8 answers are those of the integer definitions, which the machine repeats to the bit: the
first images also run on the golden model.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from pulsarray import compiler
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import load_config
from pulsarray.images import to_matrix
from pulsarray.model.functional import execute
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program, pack, unpack
from pulsarray.zoo.networks import built_in, load_digits

BATCH = 10


def on_the_model(
    program: Program, codes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], int]:
    """Codes of the answers, and the cycles that they take."""
    source, result = program.tensor("image"), program.tensor("logits")
    data = pack(to_matrix(codes, source, "image"), source, program.config)
    memory = program.memory.copy()
    memory[source.address :][: data.size] = data
    answers = unpack(execute(program, memory), result, program.config)
    return answers, simulate_timing(program).cycles


def main() -> None:
    """Quantize, compare, print."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "small")
    graph, calibration = built_in("lenet")  # trains it the first time
    digits = load_digits()
    images = digits.test_images.reshape(-1, 28, 28, 1)
    network = quantize_graph(graph, calibration, config)
    codes = network.input.codes.encode(images)
    scores = run_outputs(network, codes)[network.output.name].reshape(len(images), -1)
    for name, answers in (("float", run_float(graph, images)), ("int8", scores)):
        right = np.mean(answers.argmax(axis=1) == digits.test_labels)
        print(f"{name:5s} {right:.1%} of {len(images):,} test images")
    for batch in (1, BATCH):
        program = compiler.compile(network, config, batch=batch)
        answers, cycles = on_the_model(program, codes[:batch])
        same = "identical" if np.array_equal(answers, scores[:batch]) else "DIFFERENT"
        each = cycles / batch
        print(f"batch {batch:2d}: {each:,.0f} cycles an image, on the golden model: {same}")


if __name__ == "__main__":
    main()
