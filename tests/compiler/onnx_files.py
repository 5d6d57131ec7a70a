"""Small ONNX files, written as tests need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, np.ndarray]


def node(op: str, inputs: list[str], output: str = "y", **attributes: object) -> onnx.NodeProto:
    """An operator with one result, named after both."""
    return helper.make_node(op, inputs, [output], name=f"{op}_{output}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Arrays,
    shape: tuple[int | str, ...],
    *,
    outputs: Sequence[str] = ("y",),
    element: int = TensorProto.FLOAT,
    opset: int = 17,
    result: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A network that reads ``x``."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info(name, result, ("p", "q")) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=domains)
    made.ir_version = 8
    return made


def write(path: Path, made: onnx.ModelProto) -> Path:
    """Write a network into a directory."""
    file = path / "net.onnx"
    onnx.save(made, file)
    return file


class Chain:
    """A network of operators in a row, with random weights."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.last = "x"

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def floats(self, *shape: int) -> str:
        """Random weights."""
        spread = np.sqrt(2.0 / max(1, np.prod(shape[1:])))
        return self.constant((spread * self.rng.normal(size=shape)).astype(np.float32))

    def positive(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def bools(self, *values: int) -> str:
        return self.constant(np.array(values, bool))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, *more: str, source: str = "", **attributes: object) -> str:
        """An operator on the last result, or on another."""
        output = f"v{len(self.nodes)}"
        inputs = [source or self.last, *more]
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"n_{output}", **attributes))
        self.last = output
        return output

    def model(self, opset: int = 17) -> onnx.ModelProto:
        outputs = (self.last,)
        return model(self.nodes, self.constants, self.shape, outputs=outputs, opset=opset)
