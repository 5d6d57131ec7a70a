"""Batches of ONNX files that are not the first axis, states as inputs, inputs set to constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

import pulsarray as pa
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.interpreter import run_all
from pulsarray.errors import InputError
from tests.compiler.onnx_files import node, write
from tests.compiler.test_files_several_ends import runtime

STEPS, INPUTS, HIDDEN = 3, 4, 5
RNG = np.random.default_rng(7)
Arrays = dict[str, np.ndarray]
Sizes = tuple[int | str | None, ...]


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


LSTM = {
    "w": floats(1, 4 * HIDDEN, INPUTS),
    "r": floats(1, 4 * HIDDEN, HIDDEN),
    "b": floats(1, 8 * HIDDEN),
}


def file(
    nodes: list[NodeProto],
    constants: Arrays,
    inputs: dict[str, Sizes],
    ranks: dict[str, int] | None = None,
) -> onnx.ModelProto:
    """A network; ``ranks`` are those of its outputs."""
    ends = ranks or {"y": 2}
    kinds = {name: TensorProto.INT64 if name == "sr" else TensorProto.FLOAT for name in inputs}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, kinds[n], s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * k) for n, k in ends.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def lstm(x: str) -> NodeProto:
    inputs = [x, "w", "r", "b", "", "h", "c"]
    return helper.make_node("LSTM", inputs, ["a", "hn", "cn"], "lstm", hidden_size=HIDDEN)


def assert_same(path: Path, made: onnx.ModelProto, inputs: Arrays, **initializers: Any) -> None:
    """All outputs as ONNX Runtime has them; ``inputs`` as the file has them, of one sample."""
    graph = import_onnx_any(write(path, made), **initializers)
    samples = {v.name: inputs[v.name].reshape(1, -1) for v in graph.inputs}
    got = run_all(graph, samples)
    for name, wanted in runtime(made, inputs).items():
        np.testing.assert_allclose(got[name].reshape(-1), wanted.reshape(-1), atol=1e-5)


def test_states_with_their_batch_as_axis_1(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], "s", perm=[1, 0, 2]),
        lstm("s"),
        node("Squeeze", ["hn", "first"], "flat"),
        node("Relu", ["flat"]),
    ]
    state: Sizes = (1, "n", HIDDEN)
    shapes: dict[str, Sizes] = {"x": ("n", STEPS, INPUTS), "h": state, "c": state}
    made = file(nodes, {**LSTM, "first": np.array([0])}, shapes, {"y": 2, "hn": 3, "cn": 3})
    graph = import_onnx_any(write(tmp_path, made))
    feed = {"x": floats(3, STEPS, INPUTS), "h": floats(1, 3, HIDDEN), "c": floats(1, 3, HIDDEN)}
    wanted = runtime(made, feed)
    moved = {name: np.moveaxis(feed[name], 1, 0) for name in ("h", "c")}
    got = run_all(graph, {"x": feed["x"], **moved})
    np.testing.assert_allclose(got["y"], wanted["y"], atol=1e-5)
    for name in ("hn", "cn"):
        np.testing.assert_allclose(got[name], np.moveaxis(wanted[name], 1, 0), atol=1e-5)


def test_the_only_sample_is_the_only_step(tmp_path: Path) -> None:
    """Convolutions have it as their batch, the LSTM as its sequence."""
    nodes = [
        node("Conv", ["x", "k"], "v"),
        node("Transpose", ["v"], "s", perm=[0, 2, 1]),
        lstm("s"),
        node("Squeeze", ["a", "one"], "q"),
        node("Transpose", ["q"], "t", perm=[1, 2, 0]),
        node("Conv", ["t", "m"], "o"),
        node("Reshape", ["o", "all"]),
    ]
    constants = {
        **LSTM, "k": floats(INPUTS, 2, 3), "m": floats(1, HIDDEN, 1),
        "one": np.array([1]), "all": np.array([-1]),
    }  # fmt: skip
    shapes: dict[str, Sizes] = {"x": ("steps", 2, 3), "h": (1, 1, HIDDEN), "c": (1, 1, HIDDEN)}
    made = file(nodes, constants, shapes, {"y": 1, "hn": 3, "cn": 3})
    feed = {"x": floats(1, 2, 3), "h": floats(1, 1, HIDDEN), "c": floats(1, 1, HIDDEN)}
    assert_same(tmp_path, made, feed)


def test_attention_of_one_sample_along_axis_1(tmp_path: Path) -> None:
    """Its first axis is that of positions, of which none is a sample by itself."""
    heads, size = 2, 3
    nodes = [
        *(node("Reshape", [name, "split"], f"{name}h") for name in ("x", "k", "v")),
        node("Transpose", ["xh"], "xt", perm=[1, 0, 2]),
        node("Transpose", ["kh"], "kt", perm=[1, 2, 0]),
        node("MatMul", ["xt", "kt"], "scores"),
        node("Softmax", ["scores"], "shares", axis=-1),
        node("Transpose", ["vh"], "vt", perm=[1, 0, 2]),
        node("MatMul", ["shares", "vt"], "mixed"),
        node("Transpose", ["mixed"], "back", perm=[1, 0, 2]),
        node("Reshape", ["back", "joined"]),
    ]
    constants = {
        "split": np.array([5, heads, size]), "joined": np.array([5, 1, heads * size]),
    }  # fmt: skip
    shape: Sizes = (5, 1, heads * size)
    made = file(nodes, constants, dict.fromkeys(("x", "k", "v"), shape), {"y": 3})
    assert_same(tmp_path, made, {name: floats(5, 1, heads * size) for name in ("x", "k", "v")})


def test_layer_normalization_over_rows_as_jax_writes_it(tmp_path: Path) -> None:
    """Sums over what a Reshape made rows; what repeats is written with the open batch."""
    rows, columns = 512, 256
    nodes = [
        node("Shape", ["x"], "sizes"),
        node("Slice", ["sizes", "zero", "one", "zero"], "n"),
        node("Concat", ["n", "grid"], "wide", axis=0),
        node("Concat", ["n", "flat"], "narrow", axis=0),
        node("Relu", ["x"], "r"),
        node("Reshape", ["r", "wide"], "m"),
        node("ReduceSum", ["m", "one"], "sum", keepdims=0),
        node("Mul", ["sum", "share"], "mean"),
        node("Reshape", ["mean", "narrow"], "row"),
        node("Expand", ["row", "narrow"], "again"),
        node("Mul", ["again", "scale"], "scaled"),
        node("Sub", ["m", "again"], "centred"),
        node("Mul", ["centred", "scaled"]),
    ]
    constants = {
        "zero": np.array([0]), "one": np.array([1]), "grid": np.array([rows, columns]),
        "flat": np.array([1, columns]), "share": np.array(1 / rows, np.float32),
        "scale": floats(1, rows, 1),
    }  # fmt: skip
    made = file(nodes, constants, {"x": ("n", 4 * rows, columns // 4)}, {"y": 3})
    assert_same(tmp_path, made, {"x": floats(1, 4 * rows, columns // 4)})


def test_many_elements_with_a_last_axis_of_one(tmp_path: Path) -> None:
    """More than 8,192, of which numpy.unravel_index does not tell the places."""
    nodes = [
        node("Relu", ["x"], "r"),
        node("Transpose", ["r"], "t", perm=[0, 2, 1]),
        node("Unsqueeze", ["t", "last"], "u"),
        node("Slice", ["u", "start", "end", "axis"], "s"),
        node("Squeeze", ["s", "last"]),
    ]
    constants = {
        "last": np.array([3]), "start": np.array([1]), "end": np.array([100]),
        "axis": np.array([1]),
    }  # fmt: skip
    made = file(nodes, constants, {"x": (1, 90, 101)}, {"y": 3})
    assert_same(tmp_path, made, {"x": floats(1, 90, 101)})


def test_steps_and_samples_in_one_axis(tmp_path: Path) -> None:
    """As a CRNN reads text: columns of a map are steps, rows of a matrix, and steps again."""
    nodes = [
        node("Transpose", ["x"], "t", perm=[3, 0, 1, 2]),
        node("Shape", ["t"], "sizes"),
        node("Gather", ["sizes", "zero"], "count"),
        node("Concat", ["count", "rest"], "wanted", axis=0),
        node("Reshape", ["t", "wanted"], "s"),
        helper.make_node("LSTM", ["s", "w", "r", "b"], ["a", "", ""], "lstm", hidden_size=HIDDEN),
        node("Reshape", ["a", "rows"], "m"),
        node("Gemm", ["m", "v"], "g", transB=1),
        node("Reshape", ["g", "again"], "z"),
        node("Softmax", ["z"], axis=-1),
    ]
    constants = {
        **LSTM, "zero": np.array([0]), "rest": np.array([1, INPUTS]), "v": floats(6, HIDDEN),
        "rows": np.array([STEPS, HIDDEN]), "again": np.array([STEPS, 1, 6]),
    }  # fmt: skip
    made = file(nodes, constants, {"x": (1, 2, 2, "width")}, {"y": 3})
    assert_same(tmp_path, made, {"x": floats(1, 2, 2, STEPS)}, shape={"width": (STEPS,)})


@pytest.mark.parametrize(
    ("nodes", "rank"),
    [
        ([node("Transpose", ["r"], perm=[1, 0, 2, 3])], 4),
        ([node("Squeeze", ["r"])], 3),
        ([node("Squeeze", ["r", "first"], "s"), node("Softmax", ["s"], axis=0)], 3),
        ([node("Flatten", ["r"], axis=3)], 2),
        ([node("Concat", ["r", "r"], axis=0)], 4),
        ([node("Unsqueeze", ["r", "first"], "u"), node("Add", ["u", "k"])], 5),
    ],
)
def test_one_sample_has_no_axis_of_its_own(
    tmp_path: Path, nodes: list[NodeProto], rank: int
) -> None:
    constants = {"first": np.array([0]), "k": floats(1, 1, 3, 6, 5)}
    made = file([node("Relu", ["x"], "r"), *nodes], constants, {"x": (1, 3, 6, 5)}, {"y": rank})
    assert_same(tmp_path, made, {"x": floats(1, 3, 6, 5)})


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (node("Squeeze", ["x"]), "Squeeze needs axes beside the batch, not None"),
        (node("Concat", ["x", "x"], axis=0), "must be along an axis from 1 to 3, not 0"),
        (node("Flatten", ["x"], axis=2), "Flatten must keep the batch"),
        (node("Reshape", ["x", "rows"]), "Reshape must keep samples apart"),
    ],
)
def test_samples_stay_apart(tmp_path: Path, last: NodeProto, text: str) -> None:
    made = file([last], {"rows": np.array([-1, 5])}, {"x": ("n", 3, 6, 5)}, {"y": 4})
    with pytest.raises(InputError, match=text):
        import_onnx_any(write(tmp_path, made))


def rates() -> list[NodeProto]:
    """One of two products, by the sampling rate."""
    result = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    bodies = {
        f"{name}_branch": helper.make_graph([node("MatMul", ["x", w], "b")], name, [], result)
        for name, w in (("then", "u"), ("else", "v"))
    }
    return [
        node("Equal", ["sr", "rate"], "is"),
        helper.make_node("If", ["is"], ["i"], "if", **bodies),
        node("Relu", ["i"]),
    ]


RATES = {"rate": np.array(16000), "u": floats(INPUTS, 2), "v": floats(INPUTS, 3)}


@pytest.mark.parametrize("rate", [16000, 8000])
def test_an_input_that_is_a_constant(tmp_path: Path, rate: int) -> None:
    made = file(rates(), RATES, {"x": (1, INPUTS), "sr": ()})
    feed = {"x": floats(1, INPUTS), "sr": np.array(rate)}
    assert_same(tmp_path, made, feed, set_inputs={"sr": rate})


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (None, r"If whose condition depends on the input \(--set-input makes constants .*node if"),
        ({"rs": 1}, "--set-input: 'rs' is no input; inputs: x, sr"),
        ({"sr": 0.5}, "--set-input: sr needs int64, which 0.5 is not"),
        ({"sr": [1, 2]}, r"--set-input: sr needs int64 of shape \(\), not \(2,\)"),
    ],
)
def test_wrong_constants(tmp_path: Path, inputs: dict[str, Any] | None, text: str) -> None:
    made = file(rates(), RATES, {"x": (1, INPUTS), "sr": ()})
    with pytest.raises(InputError, match=text):
        import_onnx_any(write(tmp_path, made), set_inputs=inputs)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (None, r"input x needs .* not \(n, 2, height, \?\); --shape x=2x\?x\? with a number"),
        ({"hight": (3,)}, "'hight' is no input; inputs: x, open sizes: height, n; did you mean"),
        ({"height": (3, 4)}, r"shape: height is one size, not \(3, 4\)"),
    ],
)
def test_open_sizes(tmp_path: Path, shape: dict[str, tuple[int, ...]] | None, text: str) -> None:
    made = file([node("Relu", ["x"])], {}, {"x": ("n", 2, "height", None)}, {"y": 4})
    with pytest.raises(InputError, match=text):
        import_onnx_any(write(tmp_path, made), shape=shape)


def test_a_loop_is_named_once(tmp_path: Path) -> None:
    """Not with what is in its body."""
    body = helper.make_graph(
        [node("Identity", ["on"], "go"), node("Det", ["s"], "d"), node("Relu", ["s"], "e")],
        "body",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, ()),
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("e", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["count", "", "x"], ["y"], "loop", body=body)
    path = write(tmp_path, file([loop], {"count": np.array(2)}, {"x": ("n", 2)}))
    text = r"unsupported operators: Loop, whose steps are not known before it runs \(node loop\)$"
    with pytest.raises(InputError, match=text):
        import_onnx_any(path)
    assert pa.inspect(path).complaint.startswith("not supported: Loop whose steps are not known")


def test_states_of_zeros_of_an_open_batch(tmp_path: Path) -> None:
    """As exporters write them: zeros of as many samples as the input has, cut and multiplied."""
    nodes = [
        node("Shape", ["x"], "sizes"),
        node("Gather", ["sizes", "zero"], "count"),
        node("Concat", ["two", "count", "size"], "wanted", axis=0),
        node("ConstantOfShape", ["wanted"], "zeros"),
        node("Slice", ["zeros", "zero", "one", "zero"], "h"),
        node("Transpose", ["x"], "s", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["s", "w", "r", "b", "", "h", "h"], ["", "hn", ""], "lstm",
                         hidden_size=HIDDEN),
        node("Squeeze", ["h", "zero"], "flat"),
        node("Gemm", ["flat", "m", "v"], "g"),
        node("Squeeze", ["hn", "zero"], "last"),
        node("Add", ["last", "g"]),
    ]  # fmt: skip
    constants = {
        **LSTM, "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
        "size": np.array([HIDDEN]), "m": floats(HIDDEN, HIDDEN), "v": floats(HIDDEN),
    }  # fmt: skip
    made = file(nodes, constants, {"x": ("n", STEPS, INPUTS)})
    x = floats(4, STEPS, INPUTS)
    got = run_all(import_onnx_any(write(tmp_path, made)), {"x": x})
    np.testing.assert_allclose(got["y"], runtime(made, {"x": x})["y"], atol=1e-5)


def test_a_file_of_one_sample_without_a_batch(tmp_path: Path) -> None:
    """Frames along the first axis, states of one axis, results of any number of them."""
    states = [node("Unsqueeze", [name, "both"], f"{name}s") for name in ("h", "c")]
    backward = [node("Slice", ["x", "end", "start", "zero", "minus"], "back")]
    nodes = [
        *backward,
        node("Pad", ["back", "sides"], "wide"),
        node("Unsqueeze", ["wide", "one"], "s"),
        *states,
        helper.make_node("LSTM", ["s", "w", "r", "b", "", "hs", "cs"], ["a", "hn", "cn"], "lstm",
                         hidden_size=HIDDEN),
        node("Squeeze", ["a", "middle"], "y"),
        node("ReduceMax", ["x"], "top", axes=[0], keepdims=0),
        node("ReduceMean", ["x"], "mean", keepdims=0),
    ]  # fmt: skip
    constants = {
        **LSTM, "zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1]),
        "end": np.array([-1]), "start": np.array([-99]), "both": np.array([0, 1]),
        "sides": np.array([1, 0, 0, 1]), "middle": np.array([1, 2]),
    }  # fmt: skip
    shapes: dict[str, Sizes] = {"x": ("t", INPUTS - 1), "h": (HIDDEN,), "c": (HIDDEN,)}
    made = file(nodes, constants, shapes, {"y": 2, "top": 1, "mean": 0, "cn": 3})
    feed = {"x": floats(STEPS, INPUTS - 1), "h": floats(HIDDEN), "c": floats(HIDDEN)}
    assert_same(tmp_path, made, feed, shape={"t": (STEPS,)})
    with pytest.raises(InputError, match="h needs a batch dimension and then the sizes"):
        import_onnx_any(write(tmp_path, made))


def test_places_and_parts_of_the_only_sample(tmp_path: Path) -> None:
    nodes = [
        node("ArgMax", ["x"], "i", axis=1, keepdims=0),
        node("Gather", ["x", "two"], "g", axis=0),
        node("ReduceMax", ["x"], "top", keepdims=0),
    ]
    made = file(nodes, {"two": np.array([2, 0])}, {"x": (3, 7)}, {"g": 2, "top": 0})
    made.graph.output.append(helper.make_tensor_value_info("i", TensorProto.INT64, [None]))
    assert_same(tmp_path, made, {"x": floats(3, 7)})


def test_a_table_of_codes(tmp_path: Path) -> None:
    """Rows of it are looked up, and turned, before they become real numbers."""
    nodes = [
        node("Gather", ["table", "x"], "codes"),
        node("Transpose", ["codes"], "turned", perm=[1, 0, 2]),
        node("DequantizeLinear", ["turned", "scale", "zero"], "s"),
        node("DequantizeLinear", ["codes", "scale", "zero"], "d"),
        helper.make_node("LSTM", ["s", "w", "r", "b"], ["", "hn", ""], "lstm", hidden_size=HIDDEN),
        node("Transpose", ["hn"], "last", perm=[1, 0, 2]),
        node("ReduceMean", ["d"], "mean", axes=[2]),
        node("Add", ["last", "mean"]),
    ]
    table = RNG.integers(0, 256, (9, INPUTS)).astype(np.uint8)
    constants = {
        **LSTM, "table": table, "scale": np.float32(0.01), "zero": np.uint8(120),
    }  # fmt: skip
    made = file(nodes, constants, {"x": ("n", STEPS)}, {"y": 3})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    for scale in ("scale", "zero"):  # As exporters write them: an operator that is a constant.
        tensor = next(t for t in made.graph.initializer if t.name == scale)
        made.graph.node.insert(0, helper.make_node("Constant", [], [scale], value=tensor))
        made.graph.initializer.remove(tensor)
    x = RNG.integers(0, 9, (5, STEPS))
    got = run_all(import_onnx_any(write(tmp_path, made)), {"x": x})
    np.testing.assert_allclose(got["y"].ravel(), runtime(made, {"x": x})["y"].ravel(), atol=1e-5)


def test_rows_of_a_large_map(tmp_path: Path) -> None:
    """Columns and channels of each row multiplied by one matrix, of a file without a batch."""
    nodes = [
        node("Unsqueeze", ["x", "first"], "image"),
        node("Conv", ["image", "k"], "v", pads=[1, 1, 1, 1]),
        node("Squeeze", ["v", "zero"], "maps"),
        node("Transpose", ["maps"], "turned", perm=[1, 2, 0]),
        node("Reshape", ["turned", "rows"], "r"),
        node("MatMul", ["r", "m"]),
    ]
    constants = {
        "k": floats(8, 1, 3, 3), "m": floats(8 * 60, 6), "first": np.array([0, 1]),
        "zero": np.array([0]), "rows": np.array([-1, 8 * 60]),
    }  # fmt: skip
    made = file(nodes, constants, {"x": (20, 60)})
    assert_same(tmp_path, made, {"x": floats(20, 60)})


@pytest.mark.parametrize("limits", [("low",), ("", "high"), ("low", "high")])
def test_limits_that_depend_on_the_input(tmp_path: Path, limits: tuple[str, ...]) -> None:
    nodes = [
        node("ReduceMean", ["x"], "high", keepdims=0),
        node("Sub", ["high", "one"], "low"),
        node("Clip", ["x", *limits]),
    ]
    made = file(nodes, {"one": np.float32(1.0)}, {"x": (1, 3, 4, 5)}, {"y": 4})
    assert_same(tmp_path, made, {"x": 3 * floats(1, 3, 4, 5)})


def test_what_two_operators_want_in_order_is_ordered_once(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], "r"),
        node("Transpose", ["r"], "t", perm=[0, 2, 1, 3]),
        node("Conv", ["t", "k"], "a"),
        node("Conv", ["t", "m"], "b"),
        node("Add", ["a", "b"]),
    ]
    constants = {"k": floats(2, 4, 1, 1), "m": floats(2, 4, 1, 1)}
    made = file(nodes, constants, {"x": (1, 3, 4, 5)}, {"y": 4})
    assert_same(tmp_path, made, {"x": floats(1, 3, 4, 5)})
    kinds = [n.op.title for n in import_onnx_any(write(tmp_path, made)).nodes]
    assert len(kinds) == len({*kinds}) + 1, kinds  # two convolutions
