"""Decoders whose keys and values are inputs and outputs, kept from run to run, as ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

import pulsarray as pa
from pulsarray.compiler.interpreter import inputs_from_host
from pulsarray.compiler.reference.run import run_in_order
from pulsarray.errors import InputError

HEADS, ROWS, SIZE = 2, 4, 8
CACHES = {"present.key": "past.key", "present.value": "past.value"}


def decoder(path: Path, *, grows: bool = False) -> Path:
    """Attention of a new row to itself and those in the caches, which drop the oldest one."""
    rng, width = np.random.default_rng(0), HEADS * SIZE
    arrays = {f"w{part}": rng.normal(size=(width, width)) / 4 for part in "qkv"}
    constants = {name: array.astype(np.float32) for name, array in arrays.items()}
    constants |= {"heads": np.array([0, 1, HEADS, SIZE]), "flat": np.array([0, width])}
    constants |= {name: np.array([n]) for name, n in (("one", 1), ("end", ROWS), ("axis", 2))}
    calls = []
    for part in "qkv":
        calls.append(("MatMul", ["x", f"w{part}"], f"{part}0", {}))
        calls.append(("Reshape", [f"{part}0", "heads"], f"{part}1", {}))
        calls.append(("Transpose", [f"{part}1"], part, {"perm": [0, 2, 1, 3]}))
    for part, (present, past) in zip("kv", CACHES.items(), strict=True):
        calls.append(("Slice", [past, "one", "end", "axis"], f"{part} kept", {}))
        kept = past if grows else f"{part} kept"
        calls.append(("Concat", [kept, part], present, {"axis": 2}))
    calls += [
        ("Transpose", ["present.key"], "keys", {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["q", "keys"], "scores", {}),
        ("Softmax", ["scores"], "shares", {"axis": -1}),
        ("MatMul", ["shares", "present.value"], "mixed", {}),
        ("Transpose", ["mixed"], "turned", {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["turned", "flat"], "y", {}),
    ]
    nodes = [helper.make_node(kind, read, [o], name=o, **more) for kind, read, o, more in calls]
    rows = ROWS + grows
    inputs = [value("x", width), *(value(name, HEADS, ROWS, SIZE) for name in CACHES.values())]
    outputs = [value("y", width), *(value(name, HEADS, rows, SIZE) for name in CACHES)]
    named = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, named)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path / "decoder.onnx")
    return path / "decoder.onnx"


def value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", *shape))


def test_caches_of_keys_and_values(tmp_path: Path) -> None:
    path, rows = decoder(tmp_path), np.random.default_rng(1).normal(size=(9, HEADS * SIZE))
    session, wanted = InferenceSession(path), []
    held = dict.fromkeys(CACHES.values(), np.zeros((1, HEADS, ROWS, SIZE), np.float32))
    for row in rows.astype(np.float32):
        answer, *made = session.run(["y", *CACHES], {"x": row[None], **held})
        held = dict(zip(CACHES.values(), made, strict=True))
        wanted.append(answer)
    network = pa.load(path, states=CACHES)
    computed = run_in_order(network.graph, inputs_from_host(network.graph, rows))["y"]
    np.testing.assert_allclose(computed.reshape(9, -1), np.concatenate(wanted), atol=1e-5)
    program, run = network.quantize(rows).compile("base"), None
    for number, row in enumerate(rows):
        run = program.run(row[None], after=run)
        np.testing.assert_allclose(run.outputs["y"], wanted[number], atol=0.1)
    assert run is not None
    for name, past in held.items():
        np.testing.assert_allclose(run.states[name], past, atol=0.1)


def test_caches_that_grow(tmp_path: Path) -> None:
    path = decoder(tmp_path, grows=True)
    with pytest.raises(InputError, match=r"'past.key': has shape \(2, 4, 8\), but 'present.key'"):
        pa.load(path, states=CACHES)
