"""A network of maps as an ONNX file, so that other tools quantize what TensorFlow Lite files hold.

Maps (H, W, C) become (C, H, W); what has no ONNX operator of its own becomes products.
"""

from __future__ import annotations

from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.leaky_relu import LeakyRelu
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.power import Power
from pulsarray.compiler.ops.reciprocal_root import ReciprocalRoot
from pulsarray.compiler.ops.resize import Resize
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.transposed import TransposedConvolution

__all__ = ["export_onnx"]

_PLAIN = {
    "absolute": "Abs",
    "add": "Add",
    "erf": "Erf",
    "exp": "Exp",
    "gelu": "Gelu",
    "hard_swish": "HardSwish",
    "log": "Log",
    "mish": "Mish",
    "multiply": "Mul",
    "negate": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "root": "Sqrt",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "subtract": "Sub",
    "tanh": "Tanh",
}
_OPSET = 20
_TO_IMAGE, _TO_MAP = [0, 3, 1, 2], [0, 2, 3, 1]


def export_onnx(graph: Graph, path: Path) -> None:
    """Write a network all of whose values are maps, as folding leaves them.

    Raises
    ------
    NotImplementedError
        If an operator has no counterpart here.
    """
    made = _Export(graph)
    for node in graph.nodes:
        made.add(node.op, node)
    inputs = [_declared(value) for value in graph.inputs]
    outputs = [_declared(graph.values[name]) for name in graph.outputs]
    body = helper.make_graph(made.nodes, "network", inputs, outputs, list(made.tensors.values()))
    opset = [helper.make_opsetid("", _OPSET)]
    onnx.save(helper.make_model(body, opset_imports=opset, ir_version=9), path)


def _declared(value: Value) -> onnx.ValueInfoProto:
    height, width, channels = value.shape
    return helper.make_tensor_value_info(
        value.name, TensorProto.FLOAT, [1, channels, height, width]
    )


def _window(window: Window) -> dict[str, Any]:
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": list(window.padding),
    }


class _Export:
    """The operators of a file while it grows."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def put(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """An operator at the end; its result's name."""
        name = f"{kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def tensor(self, name: str, data: Array, kind: type = np.float32) -> str:
        """A constant; its name."""
        array: Array = np.ascontiguousarray(data, kind)
        self.tensors[name] = numpy_helper.from_array(array, name)
        return name

    def read(self, node: Node) -> list[str]:
        """What an operator of single elements reads, constants as images."""
        names = []
        for value in self.graph.inputs_of(node):
            if value.role.is_constant:
                self.tensor(value.name, value.array.transpose(2, 0, 1)[None])
            names.append(value.name)
        return names

    @singledispatchmethod
    def add(self, op: Operator, node: Node) -> None:
        """Put an operator at the end: one function a class, else by its title."""
        if op.title not in _PLAIN:
            raise NotImplementedError(op.title)
        self.put(_PLAIN[op.title], self.read(node), node.output)

    @add.register
    def _(self, op: Convolution, node: Node) -> None:
        self._product("Conv", node, (3, 2, 0, 1), op, dilations=list(op.window.dilation))

    @add.register
    def _(self, op: TransposedConvolution, node: Node) -> None:
        extra = {"output_padding": list(op.output_padding), "dilations": list(op.window.dilation)}
        self._product("ConvTranspose", node, (2, 3, 0, 1), op, **extra)

    def _product(
        self,
        kind: str,
        node: Node,
        order: tuple[int, ...],
        op: Convolution | TransposedConvolution,
        **attributes: Any,
    ) -> None:
        source, weight, bias = node.inputs
        self.tensor(f"{node.name}.w", self.graph.values[weight].array.transpose(order))
        self.tensor(f"{node.name}.b", self.graph.values[bias].array)
        inputs = [source, f"{node.name}.w", f"{node.name}.b"]
        self.put(kind, inputs, node.output, group=op.groups, **_window(op.window), **attributes)

    @add.register
    def _(self, op: MaxPool, node: Node) -> None:
        self.put("MaxPool", [*node.inputs], node.output, **_window(op.window))

    @add.register
    def _(self, op: AveragePool, node: Node) -> None:
        counted = int(op.include_padding)
        window = _window(op.window)
        self.put("AveragePool", [*node.inputs], node.output, count_include_pad=counted, **window)

    @add.register
    def _(self, op: Clip, node: Node) -> None:
        low = self.tensor(f"{node.name}.low", np.array(op.low))
        high = self.tensor(f"{node.name}.high", np.array(op.high))
        self.put("Clip", [*node.inputs, low, high], node.output)

    @add.register
    def _(self, op: LeakyRelu, node: Node) -> None:
        self.put("LeakyRelu", [*node.inputs], node.output, alpha=op.alpha)

    @add.register
    def _(self, op: Power, node: Node) -> None:
        exponent = self.tensor(f"{node.name}.exponent", np.array(op.exponent))
        self.put("Pow", [*node.inputs, exponent], node.output)

    @add.register
    def _(self, op: Silu, node: Node) -> None:
        gate = self.put("Sigmoid", [*node.inputs], f"{node.output}.gate")
        self.put("Mul", [*node.inputs, gate], node.output)

    @add.register
    def _(self, op: MatMul, node: Node) -> None:
        maps = [
            self.put("Transpose", [n], f"{node.output}.{k}", perm=_TO_MAP)
            for k, n in enumerate(self.read(node))
        ]
        if op.transpose_a:
            maps[0] = self.put("Transpose", [maps[0]], f"{node.output}.at", perm=[0, 1, 3, 2])
        if op.transpose_b:
            maps[1] = self.put("Transpose", [maps[1]], f"{node.output}.bt", perm=[0, 1, 3, 2])
        made = self.put("MatMul", maps, f"{node.output}.map")
        self.put("Transpose", [made], node.output, perm=_TO_IMAGE)

    @add.register
    def _(self, op: Square, node: Node) -> None:
        self.put("Mul", [*node.inputs, *node.inputs], node.output)

    @add.register
    def _(self, op: ReciprocalRoot, node: Node) -> None:
        epsilon = self.tensor(f"{node.name}.epsilon", np.array(op.epsilon))
        total = self.put("Add", [*node.inputs, epsilon], f"{node.output}.total")
        root = self.put("Sqrt", [total], f"{node.output}.root")
        self.put("Reciprocal", [root], node.output)

    @add.register
    def _(self, op: Concat, node: Node) -> None:
        self.put("Concat", [*node.inputs], node.output, axis=(2, 3, 1)[op.axis])

    @add.register
    def _(self, op: Shuffle, node: Node) -> None:
        places = self.tensor(f"{node.name}.order", np.array(op.order), np.int64)
        self.put("Gather", [*node.inputs, places], node.output, axis=1)

    @add.register
    def _(self, op: Reshape, node: Node) -> None:
        sizes = self.tensor(f"{node.name}.sizes", np.array([1, *op.sizes]), np.int64)
        first = self.put("Transpose", [*node.inputs], f"{node.output}.map", perm=_TO_MAP)
        second = self.put("Reshape", [first, sizes], f"{node.output}.sized")
        self.put("Transpose", [second], node.output, perm=_TO_IMAGE)

    @add.register
    def _(self, op: Resize, node: Node) -> None:
        rows = self.tensor(f"{node.name}.rows", op.rows.matrix)
        columns = self.tensor(f"{node.name}.columns", op.columns.matrix.T)
        tall = self.put("MatMul", [rows, *node.inputs], f"{node.output}.tall")
        self.put("MatMul", [tall, columns], node.output)
