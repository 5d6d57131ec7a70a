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
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import load_config
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import NetworkSetup, prepare
from tests.compiler.onnx_files import model, node, write
from tests.compiler.training_cases import beside_model


def learned(path: Path, *middle: onnx.NodeProto, **constants: np.ndarray) -> Graph:
    """Two dense layers of vectors with something between ``a`` and ``b``."""
    random = np.random.default_rng(1)
    held = {
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
    arrays = {name: values.astype(np.float32) for name, values in held.items()}
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


def test_attention_learns(tmp_path: Path) -> None:
    """As frameworks write it: scores divided by a root, residual sums, and a mean over tokens."""
    random = np.random.default_rng(3)

    def weight(*shape: int) -> np.ndarray:
        return random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)

    names = {"wq": (6, 6), "wk": (6, 6), "wv": (6, 6), "w1": (6, 12), "w2": (12, 6), "wf": (6, 3)}
    constants = {name: weight(*shape) for name, shape in names.items()}
    constants |= {"scale": np.ones(6), "shift": np.zeros(6), "root": np.array(6.0**0.5)}
    arrays = {name: np.asarray(values, np.float32) for name, values in constants.items()}
    nodes = [
        node("LayerNormalization", ["x", "scale", "shift"], "n"),
        *(node("MatMul", ["n", f"w{name}"], name) for name in "qkv"),
        node("Transpose", ["k"], "kt", perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], "scores"),
        node("Div", ["scores", "root"], "scaled"),
        node("Softmax", ["scaled"], "p"),
        node("MatMul", ["p", "v"], "mixed"),
        node("Add", ["mixed", "x"], "a"),
        node("MatMul", ["a", "w1"], "hidden"),
        node("Gelu", ["hidden"], "gated"),
        node("MatMul", ["gated", "w2"], "back"),
        node("Add", ["back", "a"], "e"),
        node("ReduceMean", ["e", "axes"], "mean", keepdims=0),
        node("MatMul", ["mean", "wf"], "logits"),
        node("Softmax", ["logits"], "y"),
    ]
    made = model(nodes, arrays | {"axes": np.array([1])}, ("n", 5, 6), opset=20)
    graph = import_onnx(write(tmp_path, made), learns=True)
    x, t = random.normal(size=(4, 30)), np.eye(3)[[0, 2, 1, 2]]
    adam = Optimizer(momentum=0.9, squares=0.999)
    setup = NetworkSetup(graph=graph, loss=Loss("cross-entropy"), optimizer=adam, batch=4)
    assert check_gradients(setup.network(), x, t).passes
    assert not beside_model(prepare(setup, load_config("train-small", ["tables=5"]), 1))


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
