"""Files with several inputs and outputs: as ONNX Runtime and LiteRT have them, output by output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx, import_onnx_any
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.interpreter import host_shape, run_all
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import split_host
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import Program, unpack
from pulsarray.sim.random.maps import with_inputs
from pulsarray.tensors import real_values, with_arrays
from tests.compiler.onnx_files import node, write
from tests.compiler.tflite_files import FileBuilder

Arrays = dict[str, np.ndarray]
CONFIG = PRESETS["base"]
ONES = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def onnx_model(
    nodes: list[onnx.NodeProto],
    constants: Arrays,
    inputs: dict[str, tuple[int | str, ...]],
    outputs: tuple[str, ...],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("p", "q")) for n in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def runtime(made: onnx.ModelProto, inputs: Arrays) -> Arrays:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    names = [output.name for output in made.graph.output]
    return dict(zip(names, session.run(names, inputs), strict=True))


def computed(program: Program, arrays: Arrays) -> Arrays:
    memory, config = execute(program, with_arrays(program, arrays)), program.config
    tensors = program.with_role("output")
    return {t.name: real_values(unpack(memory, t, config), t) for t in tensors}


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    spread = np.sqrt(2.0 / np.prod(shape[1:]))
    return (spread * rng.normal(size=shape)).astype(np.float32)


def two_stage(rng: np.random.Generator) -> onnx.ModelProto:
    """Images and a vector; NCHW maps, a transposed one, a reshaped one and probabilities."""
    constants = {
        "w": weights(rng, 8, 3, 3, 3),
        "v": weights(rng, 12, 8, 1, 1),
        "g": weights(rng, 8, 5).T.copy(),
        "h": weights(rng, 6, 8).T.copy(),
        "shape": np.array([0, -1, 4], np.int64),
    }
    nodes = [
        node("Conv", ["image", "w"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "body"),
        node("Conv", ["body", "v"], "heads"),
        node("Transpose", ["heads"], "last", perm=[0, 2, 3, 1]),
        node("Reshape", ["last", "shape"], "boxes"),
        node("GlobalAveragePool", ["body"], "mean"),
        node("Flatten", ["mean"], "flat"),
        node("MatMul", ["flags", "g"], "gate"),
        node("Add", ["flat", "gate"], "sum"),
        node("MatMul", ["sum", "h"], "logits"),
        node("Softmax", ["logits"], "kinds", axis=-1),
        node("Identity", ["body"], "same"),
    ]
    inputs = {"image": ("N", 3, 6, 5), "flags": ("N", 5)}
    return onnx_model(nodes, constants, inputs, ("boxes", "body", "kinds", "logits", "same"))


def test_onnx(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = two_stage(rng)
    graph = import_onnx(write(tmp_path, made))
    data = {"image": rng.normal(size=(20, 3, 6, 5)), "flags": rng.normal(size=(20, 5))}
    data = {name: array.astype(np.float32) for name, array in data.items()}
    wanted, reals = runtime(made, data), run_all(graph, data)
    program = compiler.compile(graph, CONFIG, batch=4, calibration=data)
    got = computed(program, {name: array[:4] for name, array in data.items()})
    assert [*wanted] == [*reals] == [*got]
    for name, values in wanted.items():
        np.testing.assert_allclose(reals[name], values, rtol=1e-4, atol=1e-4)
        assert got[name].shape == values[:4].shape
        error = np.sqrt(np.mean((got[name] - values[:4]) ** 2))
        assert error < 0.03 * np.sqrt(np.mean(values**2)), name


def test_onnx_wrong(tmp_path: Path) -> None:
    one = [node("Relu", ["x"]), node("Relu", ["z"], "w")]
    shapes: dict[str, tuple[int | str, ...]] = {"x": ("N", 3), "z": (2, 3), "v": (4, 3)}
    three = [*one, node("Relu", ["v"], "u")]
    file = write(tmp_path, onnx_model(three, {}, shapes, ("y", "w", "u")))
    with pytest.raises(InputError, match="one batch as their first size, not 2 of 'z', 4 of 'v'"):
        import_onnx(file)
    shapes = {"x": (1, 3), "z": (2, 3)}
    open_shapes: dict[str, tuple[int | str, ...]] = {"x": ("N", "a"), "z": ("N", 3)}
    file = write(tmp_path, onnx_model(one, {}, open_shapes, ("y", "w")))
    with pytest.raises(InputError, match="shape: must say of which input it is: x, z"):
        import_onnx(file, shape=(3,))
    with pytest.raises(InputError, match="shape: 'q' is no input; inputs: x, z"):
        import_onnx(file, shape={"q": (3,)})
    graph = import_onnx(file, shape={"x": (4,)})
    assert [value.shape for value in graph.inputs] == [(4,), (3,)]
    same = onnx_model([node("Relu", ["x"]), node("Identity", ["x"], "w")], {}, shapes, ("y", "w"))
    with pytest.raises(InputError, match="w: the network's result is its input"):
        import_onnx(write(tmp_path, same))


def test_onnx_without_a_batch(tmp_path: Path) -> None:
    """Inputs of several first sizes, none of them open, are each of one sample as a whole."""
    nodes = [node("Relu", ["x"]), node("Relu", ["z"], "w")]
    model = onnx_model(nodes, {}, {"x": (1, 3), "z": (2, 3)}, ("y", "w"))
    x, z = np.array([[-1.0, 2.0, 3.0]]), np.array([[[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]])
    reals = run_all(import_onnx(write(tmp_path, model)), {"x": x, "z": z})
    np.testing.assert_array_equal(reals["y"], np.maximum(x, 0))
    np.testing.assert_array_equal(reals["w"], np.maximum(z, 0))


def quantized(name: str, scale: str, zero: str, output: str) -> list[onnx.NodeProto]:
    """A rounding to codes, and the real numbers that they stand for."""
    return [
        node("QuantizeLinear", [name, scale, zero], f"{output} codes"),
        node("DequantizeLinear", [f"{output} codes", scale, zero], output),
    ]


def test_quantized_onnx(tmp_path: Path) -> None:
    """Two inputs of different scales; outputs one of which is read further."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.integers(-127, 128, (6, 4, 3, 3)).astype(np.int8),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        **{f"s{k}": np.float32(scale) for k, scale in enumerate((0.02, 0.05, 0.04, 0.0613))},
        **{f"z{k}": np.int8(zero) for k, zero in enumerate((3, -7, -128, 5))},
    }
    nodes = [
        *quantized("left", "s0", "z0", "a"),
        *quantized("right", "s1", "z1", "b"),
        node("DequantizeLinear", ["w", "ws", "wz"], "weight"),
        node("Conv", ["a", "weight"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        *quantized("r", "s2", "z2", "body"),
        node("Add", ["body", "b"], "t"),
        *quantized("t", "s3", "z3", "sum"),
        node("MaxPool", ["body"], "pooled", kernel_shape=[2, 2]),
    ]
    shapes: dict[str, tuple[int | str, ...]] = {"left": ("N", 4, 5, 5), "right": ("N", 6, 5, 5)}
    made = onnx_model(nodes, constants, shapes, ("sum", "body", "pooled"))
    graph = import_onnx_any(write(tmp_path, made))
    assert [value.codes.scale for value in graph.inputs] == pytest.approx([0.02, 0.05])
    data = {
        "left": rng.uniform(-2, 2, (3, 4, 5, 5)).astype(np.float32),
        "right": rng.uniform(-5, 5, (3, 6, 5, 5)).astype(np.float32),
    }
    got = computed(compiler.compile(graph, CONFIG, batch=3), data)
    for name, values in runtime(made, data).items():
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-6)


def random_file(rng: np.random.Generator) -> tuple[FileBuilder, list[int], list[int]]:
    """A file in int8 of one or two inputs, some of whose tensors are outputs."""
    b, codes = FileBuilder(), (float(rng.uniform(0.02, 0.2)), int(rng.integers(-128, 128)))
    height, width, channels = rng.integers(2, 6, 3).tolist()
    maps = [b.tensor((1, height, width, channels), *codes) for _ in range(int(rng.integers(1, 3)))]
    inputs, ends = [*maps], []
    for _ in range(int(rng.integers(3, 8))):
        source = int(rng.choice(maps))
        shape = b.tensors[source].shape
        kind = str(rng.choice(["RELU", "CONV_2D", "ADD", "CONCATENATION", "RESHAPE"]))
        alike = [t for t in maps if b.tensors[t].shape[:3] == shape[:3]]
        if kind == "RELU":
            made = b.tensor(shape, *codes)
            b.operator(kind, [source], made)
        elif kind == "CONV_2D":
            count = int(rng.integers(1, 9))
            weight = rng.integers(-127, 128, (count, 1, 1, shape[3])).astype(np.int8)
            w, c = b.constant(weight, 0.01), b.constant(np.zeros(count, np.int32), 1e-3)
            made = b.tensor((*shape[:3], count), *codes)
            b.operator(kind, [source, w, c], made, Padding=1, **ONES)
        elif kind == "ADD":
            other = int(rng.choice([t for t in alike if b.tensors[t].shape == shape]))
            made = b.tensor(shape, float(rng.uniform(0.05, 0.3)), 4)
            b.operator(kind, [source, other], made)
            ends.append(made)
            continue
        elif kind == "CONCATENATION":
            other = int(rng.choice(alike))
            made = b.tensor((*shape[:3], shape[3] + b.tensors[other].shape[3]), *codes)
            b.operator(kind, [source, other], made, Axis=3)
        elif source in inputs:
            continue
        else:
            ends.append(b.tensor((1, int(np.prod(shape))), *codes))
            b.reshape(source, ends[-1])
            continue
        maps.append(made)
    results = maps[len(inputs) :]
    some = [t for t in results if rng.integers(2)] or results[-1:]
    outputs = [int(t) for t in rng.permutation([*ends, *some])]
    return b, inputs, outputs


@pytest.mark.parametrize("seed", range(60))
def test_tflite(tmp_path: Path, seed: int) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    b, inputs, outputs = random_file(rng)
    if not outputs:
        return
    file = b.save(tmp_path, inputs=inputs, outputs=outputs)
    kernels = litert.OpResolverType.BUILTIN_REF
    runner: Any = litert.Interpreter(str(file), experimental_op_resolver_type=kernels)
    runner.allocate_tensors()
    graph = import_tflite(file)
    codes = {v.name: rng.integers(-128, 128, (1, *v.shape)) for v in graph.inputs}
    for detail in runner.get_input_details():
        codes_in = codes[detail["name"]].astype(np.int8)
        runner.set_tensor(detail["index"], codes_in.reshape(detail["shape"]))
    runner.invoke()
    details = runner.get_output_details()
    assert_codes(graph, codes, {d["name"]: runner.get_tensor(d["index"]) for d in details})


def assert_codes(graph: Graph, codes: Arrays, wanted: Arrays) -> None:
    """Codes of each output, of the definitions and of the model."""
    machine, ends = split_host(graph)
    defined = run_outputs(machine, codes)
    program = compiler.compile(graph, CONFIG, effort=0)
    memory = execute(program, with_inputs(program, codes))
    assert sorted(wanted) == sorted(end.name for end in ends)
    for end, tensor in zip(ends, program.with_role("output"), strict=True):
        expected = wanted[end.name].ravel()
        assert np.array_equal(defined[end.source].ravel(), expected), end.name
        assert np.array_equal(unpack(memory, tensor, CONFIG).ravel(), expected), end.name
        shape = end.view.shape if end.view else host_shape(graph, machine.values[end.source])
        assert np.prod(shape) == expected.size
