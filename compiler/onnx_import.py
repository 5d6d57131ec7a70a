"""ONNX files to graphs: float multi-layer perceptrons, whatever tool wrote them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from pulsarray.compiler.graph import Activate, Dense, Flatten, Floats, Graph, Node, Softmax, Value
from pulsarray.errors import InputError

__all__ = ["import_onnx"]

_BATCH_AXIS = 0


def import_onnx(path: Path) -> Graph:
    """Read a network.

    Raises
    ------
    InputError
        If the file cannot be read, is not a chain of supported operators, or its shapes do not
        fit. Every unsupported operator is named, with its node, in one message.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except Exception as error:  # of protobuf, the checker, or whatever a broken file provokes
        raise InputError(f"{path}: not a valid ONNX file: {_first_line(error)}") from None
    return _Importer(model, path).run()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


@dataclass
class _Chain:
    """The data path found so far: the value at its end, and operators up to it."""

    end: str
    shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)


class _Importer:
    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        self.graph, self.path = model.graph, path
        self.constants: dict[str, npt.NDArray[np.generic]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer
        }
        self.aliases: dict[str, str] = {}

    def run(self) -> Graph:
        """Import the whole graph."""
        self._refuse_unsupported()
        source = self._input()
        chain = _Chain(source.name, source.shape)
        for number, node in enumerate(self.graph.node):
            where = _where(node, number)
            try:
                _HANDLERS[node.op_type](self, node, chain, where)
            except InputError as error:
                raise InputError(f"{self.path}: {error}") from None
        if not chain.nodes:
            raise InputError(f"{self.path}: no operator to compile")
        return self._finish(source, chain)

    def _finish(self, source: Value, chain: _Chain) -> Graph:
        outputs = [output.name for output in self.graph.output]
        if len(outputs) != 1 or self._resolve(outputs[0]) != chain.end:
            raise InputError(
                f"{self.path}: needs one output, the last operator's; it has {', '.join(outputs)}"
            )
        last = chain.nodes[-1]
        if outputs[0] != last.output:
            object.__setattr__(last, "output", outputs[0])
        try:
            return Graph(self.graph.name or self.path.stem, source, chain.nodes)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _refuse_unsupported(self) -> None:
        unknown = [
            f"{node.op_type} ({_where(node, number)})"
            for number, node in enumerate(self.graph.node)
            if node.op_type not in _HANDLERS or node.domain not in ("", "ai.onnx")
        ]
        if unknown:
            supported = ", ".join(sorted(_HANDLERS))
            raise InputError(
                f"{self.path}: unsupported operators: {', '.join(unknown)}; supported: {supported}"
            )

    def _input(self) -> Value:
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise InputError(f"{self.path}: needs one input, not {names}")
        tensor = inputs[0].type.tensor_type
        if tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
            raise InputError(f"{self.path}: input {inputs[0].name} must be float, not {kind}")
        dims = tensor.shape.dim
        shape = tuple(d.dim_value for d in dims[_BATCH_AXIS + 1 :])
        if not shape or min(shape) < 1:
            given = [d.dim_value or d.dim_param or "?" for d in dims]
            raise InputError(
                f"{self.path}: input {inputs[0].name} needs a batch dimension (which may be "
                f"dynamic) and then fixed sizes, not {given}"
            )
        return Value(inputs[0].name, shape)

    def _resolve(self, name: str) -> str:
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def constant(self, name: str, where: str, what: str) -> Floats:
        """A constant operand as float64."""
        resolved = self._resolve(name)
        if resolved not in self.constants:
            raise InputError(f"{where}: {what} {name!r} must be a constant")
        return np.asarray(self.constants[resolved], np.float64)

    def is_constant(self, name: str) -> bool:
        """Whether a value is known at compile time."""
        return self._resolve(name) in self.constants

    def take(self, name: str, chain: _Chain, where: str) -> None:
        """Check that an operator reads the end of the chain."""
        if self._resolve(name) != chain.end:
            raise InputError(f"{where}: only chains are supported; it reads {name!r}")

    def append(self, chain: _Chain, node: Node) -> None:
        """Put an operator at the end of the chain."""
        chain.shape = node.shape(chain.shape)
        chain.nodes.append(node)
        chain.end = node.output


def _where(node: onnx.NodeProto, number: int) -> str:
    return f"node {node.name or f'#{number}'}"


def _attributes(node: onnx.NodeProto) -> Mapping[str, object]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _number(attributes: Mapping[str, object], name: str, default: float) -> float:
    value = attributes.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default


def _gemm(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    attributes = _attributes(node)
    if attributes.get("transA"):
        raise InputError(f"{where}: Gemm with transA would mix the samples of a batch")
    importer.take(node.input[0], chain, where)
    weight = importer.constant(node.input[1], where, "weight")
    weight = weight.T if attributes.get("transB") else weight
    bias = np.zeros(weight.shape[-1])
    if len(node.input) > 2 and node.input[2]:
        given = importer.constant(node.input[2], where, "bias")
        bias = bias + _number(attributes, "beta", 1.0) * _row(given, weight.shape[-1], where)
    scaled = _number(attributes, "alpha", 1.0) * weight
    importer.append(
        chain, Dense(node.name or node.output[0], chain.end, node.output[0], scaled, bias)
    )


def _row(bias: Floats, columns: int, where: str) -> Floats:
    """A bias as one value a column, if it is the same for every sample."""
    if bias.size not in (1, columns) or (bias.ndim and bias.shape[-1] != bias.size):
        raise InputError(f"{where}: bias must be one value a column ({columns}), not {bias.shape}")
    return np.broadcast_to(bias.reshape(-1), (columns,))


def _matmul(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    importer.take(node.input[0], chain, where)
    weight = importer.constant(node.input[1], where, "right operand")
    bias = np.zeros(weight.shape[-1:] if weight.ndim == 2 else (1,))
    importer.append(
        chain, Dense(node.name or node.output[0], chain.end, node.output[0], weight, bias)
    )


def _add(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    data, other = node.input
    if importer.is_constant(data):
        data, other = other, data
    importer.take(data, chain, where)
    last = chain.nodes[-1] if chain.nodes else None
    addend = importer.constant(other, where, "one operand of Add")
    if isinstance(last, Dense):
        bias = last.bias + _row(addend, len(last.bias), where)
        chain.nodes.pop()
        chain.shape = (last.weight.shape[0],)
        importer.append(chain, Dense(last.name, last.input, node.output[0], last.weight, bias))
    elif len(chain.shape) == 1:
        size = chain.shape[0]
        bias = np.array(_row(addend, size, where))
        name = node.name or node.output[0]
        importer.append(chain, Dense(name, chain.end, node.output[0], np.eye(size), bias))
    else:
        raise InputError(f"{where}: Add needs a flat input, not shape {chain.shape}")


def _function(name: str) -> Callable[[_Importer, onnx.NodeProto, _Chain, str], None]:
    def handle(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
        importer.take(node.input[0], chain, where)
        label = node.name or node.output[0]
        importer.append(chain, Activate(label, chain.end, node.output[0], name))

    return handle


def _clip(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    importer.take(node.input[0], chain, where)
    attributes = _attributes(node)
    limits = [_number(attributes, "min", -inf), _number(attributes, "max", inf)]
    for place, name in enumerate(node.input[1:3]):
        if name:
            limits[place] = float(importer.constant(name, where, "limit").reshape(()))
    label = node.name or node.output[0]
    importer.append(chain, Activate(label, chain.end, node.output[0], "clip", *limits))


def _flatten(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    importer.take(node.input[0], chain, where)
    axis = _attributes(node).get("axis", 1)
    if axis != 1 and axis != -len(chain.shape):
        raise InputError(f"{where}: Flatten must keep the batch (axis 1), not axis {axis}")
    importer.append(chain, Flatten(node.name or node.output[0], chain.end, node.output[0]))


def _reshape(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    importer.take(node.input[0], chain, where)
    wanted = [int(size) for size in importer.constant(node.input[1], where, "shape").reshape(-1)]
    size = int(np.prod(chain.shape))
    # Zero copies a dimension; only (batch, everything) is a reshape that keeps samples apart.
    if len(wanted) != 2 or wanted[1] not in (size, -1) or wanted == [-1, -1]:
        raise InputError(f"{where}: Reshape must be to (batch, {size}), not {wanted}")
    importer.append(chain, Flatten(node.name or node.output[0], chain.end, node.output[0]))


def _softmax(importer: _Importer, node: onnx.NodeProto, chain: _Chain, where: str) -> None:
    importer.take(node.input[0], chain, where)
    axis = _attributes(node).get("axis", -1)
    if len(chain.shape) != 1 or axis not in (1, -1):
        raise InputError(f"{where}: Softmax must be over the last of two dimensions, not {axis}")
    importer.append(chain, Softmax(node.name or node.output[0], chain.end, node.output[0]))


def _identity(importer: _Importer, node: onnx.NodeProto, _chain: _Chain, _where: str) -> None:
    importer.aliases[node.output[0]] = node.input[0]


def _constant(importer: _Importer, node: onnx.NodeProto, _chain: _Chain, where: str) -> None:
    for name, value in _attributes(node).items():
        if name == "value" and isinstance(value, onnx.TensorProto):
            importer.constants[node.output[0]] = numpy_helper.to_array(value)
        elif name in ("value_float", "value_int", "value_floats", "value_ints"):
            importer.constants[node.output[0]] = np.asarray(value)
        else:
            raise InputError(f"{where}: Constant must be numbers, not {name}")


_HANDLERS: Mapping[str, Callable[[_Importer, onnx.NodeProto, _Chain, str], None]] = {
    "Add": _add,
    "Clip": _clip,
    "Constant": _constant,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": _identity,
    "MatMul": _matmul,
    "Relu": _function("relu"),
    "Reshape": _reshape,
    "Sigmoid": _function("sigmoid"),
    "Softmax": _softmax,
    "Tanh": _function("tanh"),
}
