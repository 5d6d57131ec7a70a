"""Variables of TensorFlow Lite files against LiteRT's, run after run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pulsarray as pa
from pulsarray.compiler.importers.tflite.importer import import_tflite, resolved
from pulsarray.compiler.importers.tflite.reader import read_tflite
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError
from pulsarray.program import unpack
from tests.compiler.tflite_files import FileBuilder

litert = pytest.importorskip("ai_edge_litert.interpreter")

RUNS = 20


def stream(first: int = -3) -> FileBuilder:
    """The last three frames of a stream, each changed on the way, and their largest elements."""
    b = FileBuilder()
    x = b.tensor((1, 1, 4), 0.1, 5, name="frame")
    start = b.tensor((1, 3, 4), 0.1, 5, data=np.full((1, 3, 4), first, np.int8))
    handle = b.variable("past", start)
    old, late, whole, kept = (b.tensor((1, n, 4), 0.1, 5) for n in (3, 1, 4, 3))
    again = b.tensor((1, 3, 4), 0.1, 5)
    y = b.tensor((1, 3, 4), 0.1, -128, name="result")
    b.operator("READ_VARIABLE", [handle], old)
    b.operator("RELU6", [x], late)
    b.operator("CONCATENATION", [old, late], whole, Axis=1)
    places = [b.constant(np.array(n, np.int32)) for n in ([0, 1, 0], [1, 4, 4], [1, 1, 1])]
    b.operator("STRIDED_SLICE", [whole, *places], kept)
    b.operator("ASSIGN_VARIABLE", [handle, kept], [])
    b.operator("READ_VARIABLE", [handle], again)
    return b.operator("RELU", [again], y)


def test_state_equals_variables_run_after_run(tmp_path: Path) -> None:
    file = stream().save(tmp_path)
    graph, (state,) = import_tflite(file), resolved(read_tflite(file)).states
    assert [value.name for value in graph.inputs] == ["frame", "past"]
    assert graph.outputs == ("result", "next past")
    runner = litert.Interpreter(
        model_path=str(file), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    runner.allocate_tensors()
    (frame,), (result,) = runner.get_input_details(), runner.get_output_details()
    past, rng = state.first.constant().reshape(1, 1, 3, 4), np.random.default_rng(0)
    results = set()
    for _ in range(RUNS):
        codes = rng.integers(-128, 128, (1, 1, 1, 4))
        runner.set_tensor(frame["index"], codes.astype(np.int8).reshape(1, 1, 4))
        runner.invoke()
        made = run_outputs(machine_part(graph), {"frame": codes, "past": past})
        wanted = runner.get_tensor(result["index"])
        assert np.array_equal(made["result"].ravel(), wanted.ravel())
        past = made["next past"].reshape(1, 1, 3, 4)
        results |= {*wanted.ravel().tolist()}
    assert len(results) > RUNS


def test_variables_kept_in_memory(tmp_path: Path) -> None:
    """What an assignment leaves takes the variable's place, in the program itself."""
    file = stream().save(tmp_path)
    graph, past = machine_part(import_tflite(file)), np.full((1, 1, 3, 4), -3)
    compiled = pa.load(file, states={"next past": "past"}).compile("base")
    program, run, rng = compiled.program, None, np.random.default_rng(0)
    for _ in range(3):
        frame = rng.integers(-128, 128, (1, 1, 1, 4))
        wanted = run_outputs(graph, {"frame": frame, "past": past})
        first = {"past": past.reshape(1, -1)} if run is None else {}
        run = compiled.run({"frame": frame.reshape(1, -1), **first}, after=run)
        past = wanted["next past"].reshape(past.shape)
        assert run.result.memory is not None
        computed = unpack(run.result.memory, program.tensor("result"), program.config)
        assert np.array_equal(computed.ravel(), wanted["result"].ravel())


def test_a_variable_that_is_not_written_is_a_constant(tmp_path: Path) -> None:
    b = FileBuilder()
    x, old, y = (b.tensor((1, 4), 0.1) for _ in range(3))
    start = b.tensor((1, 4), 0.1, data=np.arange(4, dtype=np.int8)[None])
    handle = b.variable("offsets", start)
    b.operator("READ_VARIABLE", [handle], old).operator("ADD", [x, old], y)
    graph = import_tflite(b.save(tmp_path))
    assert [value.shape for value in graph.inputs] == [(1, 1, 4)]
    assert any(np.array_equal(v.data.ravel(), np.arange(4)) for v in graph.declared
               if v.data is not None)  # fmt: skip


def test_wrong_variables(tmp_path: Path) -> None:
    b = stream()
    b.once.clear()
    b.operators[0] = ("RELU", [0], [b.tensor((1, 1, 4), 0.1, 5)], {})
    text = r"operator 2 .*nothing puts anything in the variable 'past' before it is read"
    with pytest.raises(InputError, match=text):
        import_tflite(b.save(tmp_path))
    b = stream()
    b.operators[2] = ("READ_VARIABLE", [0], b.operators[2][2], {})
    with pytest.raises(InputError, match="reads or writes what is no variable"):
        import_tflite(b.save(tmp_path))
    b = stream()
    b.operators[0] = ("CALL_ONCE", [], [], {"InitSubgraphIndex": 7})
    with pytest.raises(InputError, match="CALL_ONCE names subgraph 7 of 2"):
        import_tflite(b.save(tmp_path))
    b = stream()
    b.tensors[1].shape, b.tensors[1].data = (1, 2, 4), np.zeros((1, 2, 4), np.int8)
    with pytest.raises(InputError, match=r"has shape \(1, 3, 4\), its first contents \(1, 2, 4\)"):
        import_tflite(b.save(tmp_path))
