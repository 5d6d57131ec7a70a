"""ONNX files to graphs: float multi-layer perceptrons, whatever tool wrote them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from pulsarray.compiler.graph import Graph, Value
from pulsarray.compiler.onnx_chain import Chain
from pulsarray.compiler.onnx_operators import OPERATORS
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
        _refuse_unsupported(model.graph)
        _refuse_missing(model.graph)
        onnx.checker.check_model(model)
        constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # of protobuf, the checker, or whatever a broken file provokes
        raise InputError(f"{path}: not a valid ONNX file: {_one_line(error)}") from None
    try:
        return _import(model.graph, constants, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).partition("==> Context")[0].split())


def _refuse_unsupported(graph: onnx.GraphProto) -> None:
    unknown = [
        f"{node.op_type} ({_where(node, number)})"
        for number, node in enumerate(graph.node)
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx")
    ]
    if unknown:
        supported = ", ".join(sorted(OPERATORS))
        raise InputError(f"unsupported operators: {', '.join(unknown)}; supported: {supported}")


def _refuse_missing(graph: onnx.GraphProto) -> None:
    """Refuse operators that read what nothing before them provides."""
    known = {"", *(tensor.name for tensor in graph.initializer), *(v.name for v in graph.input)}
    for number, node in enumerate(graph.node):
        for name in node.input:
            if name not in known:
                raise InputError(
                    f"{_where(node, number)}: {node.op_type} reads {name!r}, which is missing: "
                    "no input, initializer or operator before it has that name"
                )
        known.update(node.output)


def _import(
    graph: onnx.GraphProto, constants: Mapping[str, npt.NDArray[np.generic]], name: str
) -> Graph:
    """The network in a graph that has passed the checks."""
    source = _input(graph, constants)
    chain = Chain(source, constants)
    for number, node in enumerate(graph.node):
        OPERATORS[node.op_type](chain, node, _where(node, number))
    if not chain.nodes:
        raise InputError("no operator to compile")
    outputs = [output.name for output in graph.output]
    if len(outputs) != 1 or chain.resolve(outputs[0]) != chain.end:
        raise InputError(f"needs one output, the last operator's; it has {', '.join(outputs)}")
    last = replace(chain.nodes[-1], output=outputs[0])
    return Graph(graph.name or name, source, [*chain.nodes[:-1], last])


def _input(graph: onnx.GraphProto, constants: Container[str]) -> Value:
    """The network's only input."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"needs one input, not {names}")
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise InputError(f"input {inputs[0].name} must be float, not {kind}")
    dims = tensor.shape.dim
    shape = tuple(d.dim_value for d in dims[_BATCH_AXIS + 1 :])
    if not shape or min(shape) < 1:
        given = [d.dim_value or d.dim_param or "?" for d in dims]
        raise InputError(
            f"input {inputs[0].name} needs a batch dimension (which may be "
            f"dynamic) and then fixed sizes, not {given}"
        )
    return Value(inputs[0].name, shape)


def _where(node: onnx.NodeProto, number: int) -> str:
    return f"node {node.name or f'#{number}'}"
