"""The onnx package's own tests as networks: each in the forms that exporters write.

A test of one operator has every operand as an input, and often no batch. What a file stores
(weights, shapes, limits) becomes a constant, a batch of one is put before all dimensions, several
activations become parts of one input, and the operator stands behind another as in a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests

from benchmarks.onnx_backend_batch import SEVERAL, with_batch

__all__ = ["Case", "cases"]

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Case:
    """A network with its input and the result that the test expects.

    Parameters
    ----------
    test, form, operator
        The test, its form, and the operator (of whole networks ``exported``).
    model, data, wanted
        The network, its input and its result.
    """

    test: str
    form: str
    operator: str
    model: onnx.ModelProto
    data: Array
    wanted: Array


def cases(operators: frozenset[str]) -> Iterator[Case]:
    """Every test of one of the operators, and every exported network."""
    for test in collect_testcases(None):
        assert test.model is not None
        assert test.data_sets
        graph = test.model.graph
        node = graph.node[0]
        if len(graph.node) != 1 or node.domain or node.op_type not in operators:
            continue
        inputs, outputs = test.data_sets[0]
        values = dict(zip((v.name for v in graph.input), inputs, strict=True))
        if _is_possible(node, values, outputs):
            arrays = {name: np.asarray(value) for name, value in values.items()}
            yield from _forms(test.name, test.model, arrays, np.asarray(outputs[0]))
    for kind in ("pytorch-operator", "pytorch-converted"):
        for test in load_model_tests(kind=kind):
            yield from _exported(test.name, Path(test.model_dir or ""))


def _is_possible(node: onnx.NodeProto, values: Mapping[str, Any], outputs: Any) -> bool:
    """Whether a test is of numbers that a network for inference could hold."""
    arrays = [*values.values(), outputs[0]]
    data = values.get(node.input[0]) if node.input else None
    if data is None or any(isinstance(value, list | type(None)) for value in arrays):
        return False
    if any(np.asarray(a).dtype.kind not in "fiub" or not np.size(a) for a in arrays):
        return False
    return np.asarray(data).dtype.kind == "f" or "Linear" in node.op_type


def _forms(test: str, model: onnx.ModelProto, values: Arrays, wanted: Array) -> Iterator[Case]:
    node = model.graph.node[0]
    several = node.op_type in SEVERAL
    for batch in (False, True):
        changed, made, result = model, dict(values), wanted
        if batch:
            changed, made = with_batch(model, made)
            result = wanted[None]
            if changed is None:
                continue
        names = dict.fromkeys(name for name in node.input if name)
        firsts = list(names) if several and len(names) <= 2 else list(names)[:1]
        for first in firsts:
            for behind in (False, True):
                form = f"{'batch ' * batch}{first}{' behind a product' * behind}"
                yield from _single(test, form, changed, made, first, behind, result)
        if several and len(names) > 1:
            form = f"{'batch ' * batch}parts"
            yield from _parts(test, form, changed, made, list(names), result)


def _single(
    test: str, form: str, model: onnx.ModelProto, values: Arrays, name: str, behind: bool,
    wanted: Array,
) -> Iterator[Case]:  # fmt: skip
    """The network of one activation, all else constant."""
    data = values[name]
    constants = {k: v for k, v in values.items() if k != name}
    before, source = [], name
    if behind:
        if data.ndim not in (2, 3, 4) or data.dtype.kind != "f":
            return
        source = "source"
        constants["eye"] = _eye(np.eye(data.shape[1], dtype=data.dtype), data.ndim)
        before = [_product(data.ndim, source, "eye", name)]
    yield _case(test, form, model, before, constants, source, data, wanted)


def _parts(
    test: str, form: str, model: onnx.ModelProto, values: Arrays, names: list[str], wanted: Array
) -> Iterator[Case]:
    """The network of several activations, which are parts of one input along its channels."""
    arrays = [values[name] for name in names]
    ranks, first = {a.ndim for a in arrays}, arrays[0]
    if len(ranks) > 1 or first.ndim not in (2, 3, 4):
        return
    if any((a.shape[0], *a.shape[2:]) != (first.shape[0], *first.shape[2:]) for a in arrays):
        return
    data, start = np.concatenate(arrays, axis=1), 0
    constants: Arrays = {k: v for k, v in values.items() if k not in names}
    before = []
    for name, array in zip(names, arrays, strict=True):
        count = array.shape[1]
        weight = np.zeros((count, data.shape[1]), data.dtype)
        weight[np.arange(count), start + np.arange(count)] = 1
        constants[f"{name} part"] = _eye(weight, data.ndim)
        before.append(_product(data.ndim, "source", f"{name} part", name))
        start += count
    yield _case(test, form, model, before, constants, "source", data, wanted)


def _eye(weight: Array, rank: int) -> Array:
    """A weight (results, channels) as that of a product of tensors with so many dimensions."""
    return weight.T.copy() if rank == 2 else weight.reshape(*weight.shape, *[1] * (rank - 2))


def _product(rank: int, source: str, weight: str, output: str) -> onnx.NodeProto:
    op = "MatMul" if rank == 2 else "Conv"
    return helper.make_node(op, [source, weight], [output], name=f"product of {output}")


def _case(
    test: str, form: str, model: onnx.ModelProto, before: list[onnx.NodeProto], constants: Arrays,
    source: str, data: Array, wanted: Array,
) -> Case:  # fmt: skip
    nodes = [*before, model.graph.node[0]]
    nodes[-1].name = nodes[-1].name or f"{nodes[-1].op_type} node"
    used = {name for node in nodes for name in node.input}
    output = next(name for name in nodes[-1].output if name)
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in (data, wanted)]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(source, kinds[0], data.shape)],
        [helper.make_tensor_value_info(output, kinds[1], wanted.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()
         if k in used],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=list(model.opset_import))
    made.ir_version = model.ir_version
    return Case(test, form, nodes[-1].op_type, made, data, wanted)


def _exported(test: str, folder: Path) -> Iterator[Case]:
    """A network that PyTorch exported, if it has one input."""
    model = onnx.load(folder / "model.onnx")
    files = sorted((folder / "test_data_set_0").glob("input_*.pb"))
    arrays = [_tensor(path) for path in (*files, folder / "test_data_set_0" / "output_0.pb")]
    if len(arrays) == 2 and all(a.dtype.kind == "f" and a.size for a in arrays):
        yield Case(test, "as exported", "exported", model, *arrays)


def _tensor(path: Path) -> Array:
    made = onnx.TensorProto()
    made.ParseFromString(path.read_bytes())
    return np.asarray(numpy_helper.to_array(made))
