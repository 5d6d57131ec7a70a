"""ONNX files that are trained: nothing in them is left out or folded away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import load_config
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write


def learned(path: Path, *middle: onnx.NodeProto, **constants: np.ndarray) -> Graph:
    """Two dense layers of vectors with something between ``a`` and ``b``."""
    random = np.random.default_rng(1)
    given = {
        "w": random.normal(0, 0.3, (12, 6)),
        "bias": random.normal(0, 0.1, 6),
        "v": random.normal(0, 0.3, (6, 4)),
    } | constants
    nodes = [
        node("Flatten", ["x"], "f"),
        node("MatMul", ["f", "w"], "m"),
        node("Add", ["m", "bias"], "a"),
        *middle,
        node("MatMul", ["b", "v"], "y"),
    ]
    arrays = {name: values.astype(np.float32) for name, values in given.items()}
    return import_onnx(write(path, model(nodes, arrays, ("n", 1, 3, 4))), learns=True)


def test_dropout_stays(tmp_path: Path) -> None:
    graph = learned(tmp_path, node("Dropout", ["a", "ratio"], "b"), ratio=np.array(0.25))
    (dropout,) = (n for n in graph.nodes if n.op.title == "dropout")
    assert dropout.op == Dropout(0.25)
    network = differentiate(graph, Loss("mse"), Optimizer())
    training = compile_training(network, load_config("train-small"), batch=4)
    assert list(training.tensors.drops) == [dropout.name]


def test_normalization_stays(tmp_path: Path) -> None:
    """Its statistics are those of the batch."""
    random = np.random.default_rng(2)
    norm = node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], "b")
    arrays = {name: random.uniform(0.5, 1.5, 6) for name in ("scale", "shift", "mean", "variance")}
    graph = learned(tmp_path, norm, **arrays)
    (made,) = (n for n in graph.nodes if isinstance(n.op, BatchNorm))
    network = differentiate(graph, Loss("mse"), Optimizer())
    names = [layer.name for layer in network.layers]
    assert names[1] == made.name
    assert len(names) == 3
    assert np.array_equal(network.layers[1].weight.reshape(-1), graph.arrays_of(made)[0])


def test_constant_factors_are_refused(tmp_path: Path) -> None:
    graph = learned(tmp_path, node("Mul", ["a", "factor"], "b"), factor=np.arange(1.0, 7.0))
    with pytest.raises(InputError, match=r"^Mul_b: .*are no normalization"):
        differentiate(graph, Loss("mse"), Optimizer())


def test_shared_weights_are_refused(tmp_path: Path) -> None:
    """Each layer would learn a copy of its own."""
    square = np.eye(6)
    with pytest.raises(InputError, match=r"node MatMul_b: s belongs to node MatMul_h, too"):
        learned(
            tmp_path,
            node("MatMul", ["a", "s"], "h"),
            node("Transpose", ["s"], "st", perm=[1, 0]),
            node("MatMul", ["h", "st"], "b"),
            s=square,
        )
