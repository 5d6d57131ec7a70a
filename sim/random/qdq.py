"""Random quantized ONNX graphs: quantizers wherever a converter puts them.

Weights in four forms (codes per tensor or channel, of int8 or uint8; float numbers behind a
quantizer with or without an axis), biases in three, constants and normalizations between
quantizers, several readers with quantizers of their own, roundings right behind roundings, scales
that saturate and scales that meet exact halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pulsarray.sim.random.exact_onnx import ExactGraph, Judgement, Value

__all__ = ["QdqCase", "draw_qdq"]

Array = npt.NDArray[Any]

_SAMPLES = 4
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass(frozen=True, eq=False)
class QdqCase:
    """A graph and inputs for it.

    Parameters
    ----------
    seed
        What it was drawn with.
    model
        The graph.
    inputs
        Real values, (samples, *shape).
    exact
        Its constants, and its operators in exact arithmetic.
    """

    seed: int
    model: onnx.ModelProto
    inputs: npt.NDArray[np.float32]
    exact: ExactGraph

    @property
    def quantizers(self) -> list[onnx.NodeProto]:
        """Quantizers of values that depend on the input."""
        return [
            node
            for node in self.model.graph.node
            if node.op_type == "QuantizeLinear" and node.input[0] not in self.exact.constants
        ]

    @property
    def answer(self) -> str:
        """Name of the quantizer's result that is the network's; empty if another operator's is."""
        writers = {node.output[0]: node for node in self.model.graph.node}
        name = self.model.graph.output[0].name
        if writers[name].op_type == "DequantizeLinear":
            name = writers[name].input[0]
        return str(name) if writers[name].op_type == "QuantizeLinear" else ""


def draw_qdq(seed: int) -> QdqCase:
    """The case of a seed."""
    return _Builder(seed).draw()


class _Builder:
    """A graph that grows; what it computes is known as it grows, so scales can suit it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.exact = ExactGraph()
        self.nodes: list[onnx.NodeProto] = []
        self.initial: dict[str, Array] = {}
        self.values: dict[str, Value] = {}
        self.rounded: list[str] = []

    def draw(self) -> QdqCase:
        """The whole graph."""
        sizes = self.random.integers(3, 8, 2)
        if self.chance(0.1):
            sizes[0] = 1
        shape = (int(self.random.integers(1, 7)), *map(int, sizes))
        if self.chance(0.2):
            shape = (int(self.random.integers(3, 24)),)
        inputs = self.random.normal(size=(_SAMPLES, *shape)).astype(np.float32)
        self.values["x"] = Value.known(inputs)
        name = self.quantized(self.op("Relu", ["x"]) if self.chance(0.1) else "x")
        for _ in range(int(self.random.integers(1, 5))):
            name = self.layer(name)
        output = self.ended(name)
        graph = helper.make_graph(
            self.nodes,
            f"qdq{self.seed}",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", *shape))],
            [self.result(output)],
            [numpy_helper.from_array(value, key) for key, value in self.initial.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return QdqCase(self.seed, model, inputs, self.exact)

    def result(self, name: str) -> onnx.ValueInfoProto:
        """Type and shape of the network's result."""
        kind = TensorProto.FLOAT
        last = self.nodes[-1]
        if last.op_type == "QuantizeLinear":
            kind = helper.np_dtype_to_tensor_dtype(self.initial[last.input[2]].dtype)
        return helper.make_tensor_value_info(name, kind, ("n", *self.shape(name)))

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a value without the batch."""
        return tuple(self.values[name].real.shape[1:])

    def constant(self, value: Array) -> str:
        name = f"k{len(self.initial)}"
        self.initial[name] = self.exact.constants[name] = value
        return name

    def floats(self, values: Any) -> str:
        return self.constant(np.asarray(values, np.float32))

    def op(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """An operator at the end; name of its result."""
        output = f"v{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [output], name=f"n_{output}", **attributes)
        self.nodes.append(node)
        self.exact.step(node, self.values, {}, Judgement())
        return output

    # Quantizers

    def quantized(self, name: str) -> str:
        """A value behind a quantizer whose scale suits it, more or less."""
        real = self.values[name].real
        low, high = min(float(real.min()), 0.0), max(float(real.max()), 1e-3)
        kind = self.pick("int8", "int8", "uint8")
        least, most = _LIMITS[kind]
        scale = (high - low) / 255 * self.pick(1.0, 1.0, 0.6, 1.3)
        if self.chance(0.3):
            scale = 2.0 ** np.round(np.log2(scale))
        elif self.chance(0.3):
            scale = float(f"{scale:.0e}")
        zero = int(np.clip(round(least - low / scale), least, most))
        if self.chance(0.2):
            zero = int(self.pick(0, least, (least + most + 1) // 2))
        return self.pair(name, scale, zero, kind)

    def pair(self, name: str, scale: float, zero: int, kind: str) -> str:
        """QuantizeLinear and DequantizeLinear; sometimes twice, or with other copies of both."""
        parameters = [self.floats(scale), self.constant(np.array(zero, kind))]
        codes = self.op("QuantizeLinear", [name, *parameters])
        made = self.op("DequantizeLinear", [codes, *parameters])
        self.rounded.append(made)
        if self.chance(0.1):  # A quantizer for another reader, of the same or another scale.
            other = [*parameters] if self.chance(0.5) or name == "x" else [
                self.floats(scale * 1.25), parameters[1],
            ]  # fmt: skip
            again = self.op("QuantizeLinear", [name, *other])
            self.rounded.append(self.op("DequantizeLinear", [again, *other]))
        if self.chance(0.05):
            return self.quantized(made)
        return made

    def weight(self, shape: tuple[int, ...], axis: int) -> tuple[str, npt.NDArray[np.float64]]:
        """A quantized weight; its name and its scale for each place along ``axis``."""
        form = self.pick("tensor", "channel", "channel", "float tensor", "float channel")
        count = shape[axis]
        spread = 1 / np.sqrt(np.prod(shape) / count)
        scales = np.full(count, spread / 60)
        if form.endswith("channel"):
            scales = spread / 60 * self.random.uniform(0.3, 1.5, count)
            if self.chance(0.15):  # A channel that has died in training.
                scales[0] *= self.pick(1e-6, 1e-8)
        scales = scales.astype(np.float32)
        kind = self.pick("int8", "int8", "int8", "uint8")
        zero = 128 if kind == "uint8" else 0
        per = {"axis": axis} if form.endswith("channel") else {}
        scale = self.floats(scales if per else scales[0])
        zeros = self.constant(np.full(count if per else (), zero, kind))
        if form.startswith("float"):
            source = self.floats(self.random.normal(size=shape) * spread)
            codes = self.op("QuantizeLinear", [source, scale, zeros], **per)
        else:
            drawn = self.random.integers(-127, 128, shape)
            codes = self.constant((drawn + zero).astype(kind))
        name = self.op("DequantizeLinear", [codes, scale, zeros], **per)
        if len(shape) == 2 and self.chance(0.2):
            name = self.op("Transpose", [self.op("Transpose", [name], perm=[1, 0])], perm=[1, 0])
        return name, scales.astype(np.float64)

    def bias(self, count: int, unit: npt.NDArray[np.float64]) -> list[str]:
        """No bias, one in int32, or one in float."""
        form = self.pick("none", "int32", "int32", "float")
        if form == "none":
            return []
        real = self.random.normal(size=count) * 0.3
        if form == "float":
            return [self.floats(real)]
        scales = unit.astype(np.float32)
        most = (1 << 31) - 1 - (1 << 24)
        codes = self.constant(np.clip(np.rint(real / scales), -most, most).astype(np.int32))
        zeros = self.constant(np.zeros(count, np.int32))
        return [self.op("DequantizeLinear", [codes, self.floats(scales), zeros], axis=0)]

    # Layers: each from a rounded value to a rounded value

    def layer(self, name: str) -> str:
        """A random layer behind a rounded value."""
        image = len(self.shape(name)) == 3
        kinds = ["dense", "affine", "function"]
        if image:
            kinds = ["convolution"] * 4 + [
                "transposed",
                "pool",
                "affine",
                "function",
                "pad",
                "join",
            ]
            kinds += ["line"] * 2 if self.shape(name)[1] == 1 else []
        kind = self.pick(*kinds)
        if self.chance(0.1):
            name = self.op(self.pick("Identity", "Dropout"), [name])
        made: str = getattr(self, f"layer_{kind}")(name)
        return made

    def layer_convolution(self, name: str) -> str:
        channels, height, width = self.shape(name)
        groups = int(self.pick(1, 1, 1, channels))
        count = groups * int(self.pick(1, 2, 3, 5)) if groups > 1 else int(self.pick(1, 3, 4, 7))
        kernel = [int(self.random.integers(1, min(4, side + 1))) for side in (height, width)]
        weight, scales = self.weight((count, channels // groups, *kernel), 0)
        inputs = [name, weight, *self.bias(count, scales * self.scale_of(name))]
        attributes = {
            "pads": [int(self.random.integers(0, k)) for k in (*kernel, *kernel)],
            "strides": [int(self.pick(1, 1, 2)) for _ in range(2)],
            "group": groups,
        }
        return self.after(self.op("Conv", inputs, **attributes))

    def layer_transposed(self, name: str) -> str:
        channels = self.shape(name)[0]
        weight, scales = self.weight((channels, int(self.pick(1, 2, 3)), 2, 2), 1)
        inputs = [name, weight, *self.bias(len(scales), scales * self.scale_of(name))]
        strides = [int(self.pick(1, 2)) for _ in range(2)]
        return self.after(self.op("ConvTranspose", inputs, strides=strides))

    def layer_dense(self, name: str) -> str:
        if len(self.shape(name)) == 3:
            name = self.op("Flatten", [name])
        depth, count = self.shape(name)[0], int(self.random.integers(1, 12))
        if self.chance(0.4):
            weight, _ = self.weight((depth, count), 1)
            return self.after(self.op("MatMul", [name, weight]))
        turned = int(self.pick(0, 1))
        shape = (count, depth) if turned else (depth, count)
        weight, scales = self.weight(shape, 1 - turned)
        inputs = [name, weight, *self.bias(count, scales * self.scale_of(name))]
        return self.after(self.op("Gemm", inputs, transB=turned))

    def layer_affine(self, name: str) -> str:
        return self.quantized(self.affine(name))

    def layer_function(self, name: str) -> str:
        return self.quantized(self.op(self.pick("Sigmoid", "Tanh", "Relu"), [name]))

    def layer_pool(self, name: str) -> str:
        _, height, width = self.shape(name)
        if self.chance(0.2):
            return self.quantized(self.op("GlobalAveragePool", [name]))
        if self.chance(0.1):
            return self.quantized(self.op("ReduceMean", [name], axes=[2, 3], keepdims=1))
        kernel = [int(self.random.integers(1, min(4, side + 1))) for side in (height, width)]
        attributes: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": [int(self.pick(1, 2)) for _ in range(2)],
        }
        attributes["pads"] = [int(self.random.integers(0, k)) for k in (*kernel, *kernel)]
        if self.chance(0.5):
            made = self.op("MaxPool", [name], **attributes)
            return made if self.chance(0.3) else self.quantized(made)
        include = int(self.chance(0.5))
        attributes["count_include_pad"] = include
        return self.quantized(self.op("AveragePool", [name], **attributes))

    def layer_line(self, name: str) -> str:
        """A convolution along one axis of an image of one row."""
        channels, height, width = self.shape(name)
        line = self.op("Reshape", [name, self.constant(np.array([0, channels, -1], np.int64))])
        weight, scales = self.weight((int(self.pick(1, 3)), channels, min(3, height * width)), 0)
        made = self.op(
            "Conv", [line, weight, *self.bias(len(scales), scales * self.scale_of(line))]
        )
        wanted = np.array([0, len(scales), 1, self.shape(made)[1]], np.int64)
        return self.after(self.op("Reshape", [made, self.constant(wanted)]))

    def layer_pad(self, name: str) -> str:
        sides = self.random.integers(0, 3, 4)
        pads = self.constant(np.array([0, 0, *sides[:2], 0, 0, *sides[2:]], np.int64))
        made = self.op("Pad", [name, pads])
        return made if self.chance(0.4) else self.quantized(made)

    def layer_join(self, name: str) -> str:
        """A sum, or values side by side, with a rounded value or a product."""
        shape = self.shape(name)
        alike = [other for other in self.rounded if self.shape(other)[1:] == shape[1:]]
        other = str(self.pick(name, *alike))
        if self.shape(other) == shape and self.chance(0.6):
            if self.chance(0.4):
                weight, scales = self.weight((shape[0], shape[0], 1, 1), 0)
                inputs = [other, weight, *self.bias(shape[0], scales * self.scale_of(other))]
                other = self.op("Conv", inputs)
            return self.after(self.op("Add", self.pick([name, other], [other, name])))
        joined = self.op("Concat", [name, other], axis=1)
        return self.quantized(joined)

    def scale_of(self, name: str) -> float:
        """Scale of a rounded value: that of the last DequantizeLinear before it."""
        while True:
            node = next(node for node in self.nodes if node.output[0] == name)
            if node.op_type == "DequantizeLinear":
                return float(self.initial[node.input[1]])
            name = node.input[0]

    def after(self, name: str) -> str:
        """What comes between a product and its quantizer, and that."""
        if self.chance(0.07):  # Two readers of what is not rounded.
            one = self.quantized(self.op("Relu", [name]))
            return self.quantized(self.op("Add", [one, self.quantized(self.affine(name))]))
        for _ in range(int(self.pick(0, 0, 1, 1, 2))):
            name = self.affine(name)
        function = self.pick("", "", "Relu", "Clip")
        if function == "Relu":
            name = self.op("Relu", [name])
        elif function == "Clip":
            name = self.op("Clip", [name, self.floats(self.pick(0, -1)), self.floats(6)])
        if len(self.shape(name)) == 3 and min(self.shape(name)[1:]) > 1 and self.chance(0.1):
            name = self.op("MaxPool", [name], kernel_shape=[2, 2])
        return self.quantized(name)

    def affine(self, name: str) -> str:
        """A normalization or a constant operand."""
        channels, rank = self.shape(name)[0], len(self.shape(name))
        kind = self.pick("BatchNormalization", "Add", "Sub", "Mul", "Div", "Mul by codes")
        shape = (1, channels, *(1,) * (rank - 1)) if self.chance(0.6) else ()
        if kind == "BatchNormalization":
            factor = self.random.uniform(0.3, 1.6, channels)
            factor *= self.random.choice([1, 1, 1, -1], channels)
            shift, mean = self.random.normal(size=(2, channels)) * 0.3
            variance = self.random.uniform(0.2, 2.0, channels)
            names = [self.floats(values) for values in (factor, shift, mean, variance)]
            return self.op("BatchNormalization", [name, *names])
        if kind in ("Add", "Sub"):
            operands = [name, self.floats(self.random.normal(size=shape))]
            return self.op(kind, operands[:: self.pick(1, -1)])
        if kind == "Mul by codes":
            codes = self.constant(self.random.integers(1, 128, shape).astype(np.int8))
            parameters = [self.floats(0.02), self.constant(np.array(0, np.int8))]
            return self.op("Mul", [name, self.op("DequantizeLinear", [codes, *parameters])])
        factor = self.random.uniform(0.02, 2.0, shape) * self.random.choice([1, 1, -1], shape)
        return self.op(kind, [name, self.floats(factor)])

    def turned(self, name: str) -> str:
        """A detection head: channels last, then perhaps flat, and a function behind a quantizer."""
        name = self.op("Transpose", [name], perm=[0, 2, 3, 1])
        if self.chance(0.5):
            wanted = self.pick([0, -1], [0, -1, self.shape(name)[2]])
            name = self.op("Reshape", [name, self.constant(np.array(wanted, np.int64))])
        if self.chance(0.6):
            name = self.quantized(self.op(self.pick("Sigmoid", "Relu"), [name]))
        return name

    def ended(self, name: str) -> str:
        """The result: rounded numbers, codes, or a softmax."""
        if len(self.shape(name)) == 3 and self.chance(0.15):
            return self.turned(name)
        if self.chance(0.15):
            if len(self.shape(name)) == 3 and self.chance(0.7):
                name = self.layer_dense(name)
            name = self.op("Softmax", [name], axis=1)
            return name if self.chance(0.5) else self.pair(name, 1 / 256, -128, "int8")
        last = self.nodes[-1]
        if last.op_type == "DequantizeLinear" and last.output[0] == name and self.chance(0.1):
            return str(self.nodes.pop().input[0])
        return name
