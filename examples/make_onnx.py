"""Write a small ONNX network with random weights, samples to calibrate it, and inputs.

Usage: python examples/make_onnx.py FOLDER

Writes net.onnx (20-32-5: Gemm, Relu, Gemm, Softmax), samples.npz, and inputs.npz (8 rows).
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZES = (20, 32, 5)


def network() -> onnx.ModelProto:
    """The network."""
    rng = np.random.default_rng(1)
    constants = []
    for number, (k, n) in enumerate(pairwise(SIZES), 1):
        weight = rng.normal(0.0, k**-0.5, (k, n)).astype(np.float32)
        bias = rng.normal(0.0, 0.1, n).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"weight{number}"))
        constants.append(numpy_helper.from_array(bias, f"bias{number}"))
    nodes = [
        helper.make_node("Gemm", ["x", "weight1", "bias1"], ["h"], name="fc1"),
        helper.make_node("Relu", ["h"], ["r"], name="relu1"),
        helper.make_node("Gemm", ["r", "weight2", "bias2"], ["z"], name="fc2"),
        helper.make_node("Softmax", ["z"], ["y"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZES[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", SIZES[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Write both files."""
    folder = Path(sys.argv[1])
    onnx.save(network(), folder / "net.onnx")
    samples = np.random.default_rng(2).uniform(-1.0, 1.0, (64, SIZES[0])).astype(np.float32)
    np.savez(folder / "samples.npz", x=samples)
    np.savez(folder / "inputs.npz", x=samples[:8])
    print(f"wrote {folder}/net.onnx, samples.npz, inputs.npz")


if __name__ == "__main__":
    main()
