"""Random float ONNX graphs: operators in any order, on tensors of any rank, with branches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

Shape = tuple[int, ...]

_LARGEST = 600
"""Elements of a tensor."""


class Draw:
    """A graph while it grows; every tensor is known with its shape without the batch."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.choice([11, 13, 17, 21]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.batch = int(self.rng.integers(1, 3))
        self.input = self._shape(int(self.rng.choice([1, 2, 3, 3, 3, 4])))
        self.tensors: dict[str, Shape] = {"x": self.input}
        self.last = "x"

    def _shape(self, rank: int) -> Shape:
        return tuple(int(size) for size in self.rng.integers(1, 7, rank))

    def pick(self, *values: object) -> object:
        """One of some values."""
        return values[int(self.rng.integers(len(values)))]

    def number(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def floats(self, *shape: int) -> str:
        """A constant of random numbers."""
        return self.constant(self.rng.normal(size=shape).astype(np.float32))

    def positive(self, *shape: int) -> str:
        """A constant of random numbers from 0.5 to 1.5."""
        return self.constant(self.rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def constant(self, values: object) -> str:
        """A constant."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name

    def ints(self, *values: int) -> str:
        """A constant of integers."""
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """An operator on tensors; its shape comes from ONNX's own inference."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=f"n_{name}", **attributes)
        )
        shape = self._inferred(name)
        if shape is None or not shape or min(shape) < 1 or np.prod(shape) > _LARGEST:
            self.nodes.pop()
            return self.last
        self.tensors[name] = shape
        self.last = name
        return name

    def _inferred(self, name: str) -> Shape | None:
        made = shape_inference.infer_shapes(self.model(name), data_prop=True)
        for value in (*made.graph.value_info, *made.graph.output):
            if value.name == name and value.type.tensor_type.HasField("shape"):
                dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
                return tuple(dims[1:]) if dims and dims[0] == self.batch else None
        return None

    def model(self, output: str = "") -> onnx.ModelProto:
        """The graph as a file, without operators that its result does not need."""
        result = output or self.last
        shape = (self.batch, *self.tensors[result]) if result in self.tensors else None
        wanted, kept = {result}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        kept.reverse()
        graph = helper.make_graph(
            kept,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (self.batch, *self.input))],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items() if k in wanted],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        made.ir_version = 8
        return made


def elementwise(draw: Draw, name: str) -> None:
    op = str(draw.pick("Relu", "Sigmoid", "Tanh", "Identity", "Dropout", "Clip"))
    limits = [draw.constant(np.float32(-0.7)), draw.constant(np.float32(0.9))]
    draw.add(op, name, *(limits if op == "Clip" else ()))


def arithmetic(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    sizes = [
        (),
        (1,),
        (shape[0], *[1] * (len(shape) - 1)),
        (1, shape[0], *[1] * (len(shape) - 1)),
        shape[-1:],
    ]
    other = draw.positive(*sizes[draw.number(0, len(sizes) - 1)])
    op = str(draw.pick("Add", "Sub", "Mul", "Div"))
    swapped = op != "Div" and draw.number(0, 2) == 0
    draw.add(op, *([other, name] if swapped else [name, other]))


def dense(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    count = draw.number(1, 6)
    if len(shape) > 1 or draw.number(0, 1):
        made = draw.add("MatMul", name, draw.floats(shape[-1], count))
        if draw.number(0, 1):
            draw.add("Add", made, draw.floats(count))
        return
    weight = draw.floats(count, shape[0])
    draw.add("Gemm", name, weight, draw.floats(count), transB=1, alpha=0.7, beta=1.3)


def convolution(draw: Draw, name: str) -> None:
    channels, *size = draw.tensors[name]
    groups = channels if draw.number(0, 3) == 0 else 1
    kernel = [draw.number(1, min(3, n)) for n in size]
    attributes = {"strides": [draw.number(1, 2) for _ in size], "group": groups}
    if draw.number(0, 1):
        attributes["pads"] = [draw.number(0, 1) for _ in size * 2]
    else:
        attributes["auto_pad"] = str(draw.pick("SAME_UPPER", "SAME_LOWER", "VALID"))
    count = draw.number(1, 3)
    if draw.number(0, 3):
        weight = draw.floats(groups * count, channels // groups, *kernel)
        draw.add("Conv", name, weight, draw.floats(groups * count), **attributes)
    else:
        weight = draw.floats(channels, count, *kernel)
        draw.add("ConvTranspose", name, weight, strides=attributes["strides"], group=groups)


def window(draw: Draw, name: str) -> None:
    size = draw.tensors[name][1:]
    op = str(draw.pick("MaxPool", "AveragePool"))
    kernel = [draw.number(1, min(3, n)) for n in size]
    attributes: dict[str, object] = {
        "kernel_shape": kernel,
        "strides": [draw.number(1, 2) for _ in size],
    }
    if draw.number(0, 1):
        attributes["pads"] = [draw.number(0, k - 1) for k in kernel * 2]
    if op == "AveragePool":
        attributes["count_include_pad"] = draw.number(0, 1)
    draw.add(op, name, **attributes)


def whole(draw: Draw, name: str) -> None:
    rank = len(draw.tensors[name]) + 1
    op = str(draw.pick("GlobalAveragePool", "GlobalMaxPool", "ReduceMean"))
    if op != "ReduceMean":
        draw.add(op, name)
    elif draw.opset < 18:
        kept = draw.number(1, rank - 1)
        axes = [axis for axis in range(1, rank) if axis != kept]
        draw.add(op, name, axes=axes, keepdims=draw.number(0, 1))


def normalization(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    channels = shape[0]
    if len(shape) == 3 and draw.number(0, 2) == 0:
        draw.add("LRN", name, size=3, alpha=0.3, bias=1.5)
        return
    learned = [draw.positive(channels), draw.floats(channels), draw.floats(channels)]
    draw.add("BatchNormalization", name, *learned, draw.positive(channels))


def padding(draw: Draw, name: str) -> None:
    size = draw.tensors[name][1:]
    first, last = ([draw.number(0, 2) for _ in size] for _ in range(2))
    draw.add("Pad", name, draw.ints(0, 0, *first, 0, 0, *last))


def reshape(draw: Draw, name: str) -> None:
    size, sizes = int(np.prod(draw.tensors[name])), []
    while len(sizes) < 3 and size > 1 and draw.number(0, 3):
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        sizes.append(int(draw.rng.choice(divisors)))
        size //= sizes[-1]
    sizes.append(size)
    draw.rng.shuffle(sizes)
    draw.add("Reshape", name, draw.ints(int(draw.pick(0, draw.batch)), *sizes))  # type: ignore[call-overload]


def transpose(draw: Draw, name: str) -> None:
    rank = len(draw.tensors[name])
    order = draw.rng.permutation(rank) + 1
    if rank > 1 and draw.number(0, 1):
        order = np.array([*range(2, rank + 1), 1] if draw.number(0, 1) else [rank, *range(1, rank)])
    draw.add("Transpose", name, perm=[0, *order.tolist()])


def flatten(draw: Draw, name: str) -> None:
    draw.add("Flatten", name)


def ones(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    if 1 in shape and len(shape) > 1 and draw.number(0, 1):
        axis = shape.index(1) + 1
        op = "Squeeze"
    else:
        axis = draw.number(1, len(shape) + 1)
        op = "Unsqueeze"
    if draw.opset < 13:
        draw.add(op, name, axes=[axis])
    else:
        draw.add(op, name, draw.ints(axis))


def joined(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    axis = draw.number(0, len(shape) - 1)

    def fits(other: Shape) -> bool:
        cut = [(*s[:axis], *s[axis + 1 :]) for s in (shape, other)]
        return len(other) == len(shape) and cut[0] == cut[1]

    others = [other for other, other_shape in draw.tensors.items() if fits(other_shape)]
    parts = [name, *(str(draw.pick(*others)) for _ in range(draw.number(0, 2)))]
    draw.add("Concat", *parts, axis=axis + 1)


def total(draw: Draw, name: str) -> None:
    others = [n for n, shape in draw.tensors.items() if shape == draw.tensors[name]]
    draw.add(str(draw.pick("Add", "Sum")), name, str(draw.pick(*others)))


def gated(draw: Draw, name: str) -> None:
    others = [n for n, shape in draw.tensors.items() if shape == draw.tensors[name]]
    gate = draw.add("Sigmoid", name) if draw.number(0, 1) else str(draw.pick(*others))
    if draw.tensors[gate] == draw.tensors[name]:
        draw.add("Mul", *([name, gate] if draw.number(0, 1) else [gate, name]))


def transformer(draw: Draw, name: str) -> None:
    shape = draw.tensors[name]
    size = shape[-1]
    if draw.opset >= 17 and draw.number(0, 1):
        learned = [draw.positive(size), *([draw.floats(size)] if draw.number(0, 1) else [])]
        draw.add("LayerNormalization", name, *learned, epsilon=0.01)
    elif len(shape) > 1:
        rank = len(shape) + 1
        turned = draw.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])
        draw.add("MatMul", *([name, turned] if draw.number(0, 1) else [turned, name]))


def softmax(draw: Draw, name: str) -> None:
    draw.add("Softmax", name, axis=draw.number(1, len(draw.tensors[name])))


_ANY: list[Callable[[Draw, str], None]] = [
    elementwise, elementwise, arithmetic, arithmetic, dense, reshape, transpose, flatten, ones,
    joined, total, normalization, gated, transformer,
]  # fmt: skip
_MAPS: list[Callable[[Draw, str], None]] = [
    convolution, convolution, convolution, window, whole, padding, joined, total, normalization,
    elementwise,
]  # fmt: skip


def random_graph(seed: int) -> Draw:
    """A graph of one to nine operators."""
    draw = Draw(seed)
    for _ in range(draw.number(1, 9)):
        name = draw.last if draw.number(0, 4) else str(draw.pick(*draw.tensors))
        maps = len(draw.tensors[name]) in (2, 3) and draw.number(0, 2)
        steps = _MAPS if maps else _ANY
        steps[draw.number(0, len(steps) - 1)](draw, name)
    if draw.number(0, 3) == 0:
        softmax(draw, draw.last)
    if draw.last == "x":
        draw.add("Relu", "x")
    return draw
