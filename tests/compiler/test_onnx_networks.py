"""Networks of images from ONNX files, against the standard's reference evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.errors import InputError
from pulsarray.views import HostView
from tests.compiler.onnx_files import Chain, model, node, write

Run = Callable[[onnx.ModelProto, np.ndarray], np.ndarray]


def reference(made: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(made).run(None, {"x": inputs})[0]


def runtime(made: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    return session.run(None, {made.graph.input[0].name: inputs})[0]


def check(path: Path, made: onnx.ModelProto, run: Run = reference) -> Graph:
    """Import a network, and compare its results with another implementation's."""
    tolerance = 1e-4
    file = write(path, made)
    graph = import_onnx(file)
    dims = [d.dim_value or 2 for d in made.graph.input[0].type.tensor_type.shape.dim]
    inputs = np.random.default_rng(7).normal(size=dims).astype(np.float32)
    wanted = run(made, inputs)
    got = run_float(graph, inputs)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    return graph


def convolution(seed: int) -> onnx.ModelProto:
    """A convolution with everything random."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))
    depth, count = int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    kernel = rng.integers(1, 5, 2).tolist()
    chain = Chain(seed, (2, groups * depth, int(rng.integers(9, 14)), int(rng.integers(9, 14))))
    attributes: dict[str, object] = {"group": groups}
    mode = str(rng.choice(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode == "NOTSET":
        attributes["pads"] = rng.integers(0, 4, 4).tolist()
    else:
        attributes["auto_pad"] = mode
    attributes["strides"] = rng.integers(1, 4, 2).tolist()
    if mode in ("NOTSET", "VALID"):
        attributes["dilations"] = rng.integers(1, 3, 2).tolist()
    if seed % 2:
        attributes["kernel_shape"] = kernel
    more = [chain.floats(count, depth, *kernel)] + ([chain.floats(count)] if seed % 3 else [])
    chain.add("Conv", *more, **attributes)
    return chain.model(int(rng.choice([7, 11, 13, 17, 22])))


@pytest.mark.parametrize("seed", range(24))
def test_convolution(tmp_path: Path, seed: int) -> None:
    check(tmp_path, convolution(seed))


@pytest.mark.parametrize("seed", [seed for seed in range(16) if seed != 3])
def test_transposed_convolution(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, depth, count = int(rng.integers(1, 3)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    kernel, strides = rng.integers(2, 5, 2), rng.integers(1, 4, 2)
    chain = Chain(seed, (1, groups * depth, 5, 6))
    attributes: dict[str, object] = {"group": groups, "strides": strides.tolist()}
    if seed % 4 == 3:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][seed // 4 % 2]
    else:
        attributes["pads"] = rng.integers(0, 2, 4).tolist()
        attributes["dilations"] = rng.integers(1, 3, 2).tolist()
        attributes["output_padding"] = [int(rng.integers(0, s)) for s in strides]
    more = [chain.floats(groups * depth, count, *kernel.tolist()), chain.floats(groups * count)]
    chain.add("ConvTranspose", *more, **attributes)
    # The reference evaluator has errors in groups, several channels and auto_pad.
    check(tmp_path, chain.model(), runtime)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("seed", range(16))
def test_pools(tmp_path: Path, op: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.integers(2, 5, 2)
    attributes: dict[str, object] = {
        "kernel_shape": kernel.tolist(),
        "strides": rng.integers(1, 4, 2).tolist(),
    }
    if seed % 4 == 3:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][seed % 3]
    else:
        attributes["pads"] = [int(rng.integers(0, k)) for k in (*kernel, *kernel)]
        attributes["ceil_mode"] = seed % 2
    if op == "AveragePool":
        attributes["count_include_pad"] = seed // 2 % 2
    elif seed % 4 == 2:
        attributes["dilations"] = [1, 2]
    chain = Chain(seed, (2, 3, int(rng.integers(8, 13)), int(rng.integers(8, 13))))
    chain.add(op, **attributes)
    # The reference evaluator has errors in ceil_mode and auto_pad.
    check(tmp_path, chain.model(22), runtime)


def blocks(chain: Chain) -> None:
    channels = (chain.floats(8), chain.floats(8), chain.floats(8), chain.positive(8))
    chain.add("Conv", chain.floats(8, 4, 3, 3), pads=[1, 1, 1, 1])
    skip = chain.add("Relu", source=chain.add("BatchNormalization", *channels))
    chain.add("Conv", chain.floats(8, 8, 3, 3), chain.floats(8), pads=[1, 1, 1, 1])
    chain.add("Sum", skip, skip)
    other = chain.add("Clip", chain.constant(np.float32(0)), chain.constant(np.float32(6)))
    chain.add("GlobalMaxPool", source=other)
    chain.add("Flatten")
    chain.add("Gemm", chain.floats(8, 8), chain.floats(8), transB=1)
    chain.add("Sigmoid")


def shuffle(chain: Chain) -> None:
    chain.add("Conv", chain.floats(6, 2, 1, 1), group=2)
    chain.add("Reshape", chain.ints(0, 2, 3, 6, 5))
    chain.add("Transpose", perm=[0, 2, 1, 3, 4])
    chain.add("Reshape", chain.ints(0, 6, 6, 5))
    chain.add("Tanh")
    chain.add("ReduceMean", axes=[2, 3], keepdims=0)
    chain.add("MatMul", chain.floats(6, 3))
    chain.add("Softmax", axis=-1)


def flat(chain: Chain) -> None:
    chain.add("Conv", chain.floats(3, 4, 2, 3))
    chain.add("Reshape", chain.ints(-1, 3 * 5 * 3))
    chain.add("Relu")
    chain.add("Gemm", chain.floats(45, 7), chain.floats(7))
    chain.add("Mul", chain.positive(7))
    chain.add("Sub", chain.floats(1, 7))
    chain.add("Dropout")


def factors(chain: Chain) -> None:
    chain.add("Sub", chain.floats(1, 4, 1, 1))
    chain.add("Div", chain.positive(4, 1, 1))
    chain.add("Mul", chain.positive(1))
    chain.add("LRN", size=3, alpha=0.3, beta=0.6, bias=1.5)
    chain.add("Unsqueeze", chain.ints(2))
    chain.add("Squeeze", chain.ints(2))
    chain.add("Pad", chain.ints(0, 0, 1, 2, 0, 0, 3, 0))
    chain.nodes.append(onnx.helper.make_node("Sub", [chain.constant(np.float32(2)), "v6"], ["z"]))
    chain.last = "z"
    chain.add("MaxPool", kernel_shape=[2, 2])


def branches(chain: Chain) -> None:
    one = chain.add("Conv", chain.floats(3, 4, 1, 1), source="x")
    two = chain.add("Conv", chain.floats(5, 4, 3, 3), auto_pad="SAME_UPPER", source="x")
    chain.add("Concat", one, "x", source=two, axis=1)
    chain.add("AveragePool", kernel_shape=[6, 5])
    chain.add("Softmax", axis=1)


def flattened_output(chain: Chain) -> None:
    chain.add("Conv", chain.floats(3, 4, 2, 3))
    chain.add("Flatten")


def shapes(chain: Chain) -> None:
    """As PyTorch writes ``x.view(x.size(0), -1)``."""
    value = chain.add("Conv", chain.floats(3, 4, 2, 3))
    chain.add("Shape")
    chain.add("Gather", chain.constant(np.int64(0)), axis=0)
    size = chain.add("Unsqueeze", chain.ints(0))
    rest = chain.constant(np.array([-1]))
    wanted = chain.add("Concat", rest, source=size, axis=0)
    chain.add("Reshape", wanted, source=value)
    chain.add("Gemm", chain.floats(45, 4))


NETWORKS = [blocks, shuffle, flat, factors, branches, flattened_output, shapes]


@pytest.mark.parametrize("batch", [2, "n"])
@pytest.mark.parametrize("build", NETWORKS)
def test_networks(tmp_path: Path, build: Callable[[Chain], None], batch: int | str) -> None:
    chain = Chain(3, (batch, 4, 6, 5))  # type: ignore[arg-type]
    build(chain)
    # The reference evaluator has an error in LRN.
    graph = check(tmp_path, chain.model(), runtime if build is factors else reference)
    assert graph.input_view == HostView.channels_first((6, 5, 4))
    assert graph.input.shape == (6, 5, 4)


def test_channels_last_input(tmp_path: Path) -> None:
    chain = Chain(3, (2, 6, 5, 4))
    chain.add("Transpose", perm=[0, 3, 1, 2])
    chain.add("Conv", chain.floats(3, 4, 2, 3))
    chain.add("Transpose", perm=[0, 2, 3, 1])
    graph = check(tmp_path, chain.model())
    assert graph.views == {}
    assert len(graph.nodes) == 1


def test_open_sizes(tmp_path: Path) -> None:
    chain = Chain(3, ("n", 4, "h", "w"))  # type: ignore[arg-type]
    chain.add("Conv", chain.floats(3, 4, 2, 3))
    file = write(tmp_path, chain.model())
    assert import_onnx(file, shape=(4, 6, 5)).output.shape == (5, 3, 3)
    with pytest.raises(InputError, match=r"fixed sizes, not \(n, 4, h, w\)"):
        import_onnx(file)
    with pytest.raises(InputError, match=r"shape \(3, 6, 5\) does not fit \(4, \?, \?\)"):
        import_onnx(file, shape=(3, 6, 5))


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PARAMETERS = {
    "bvlc_alexnet": 60_965_224,
    "densenet121": 8_156_392,
    "inception_v1": 6_998_552,
    "inception_v2": 11_244_744,
    "resnet50": 25_583_592,
    "shufflenet": 1_406_712,
    "squeezenet": 1_235_496,
    "vgg19": 143_667_240,
    "zfnet512": 87_250_536,
}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_known_networks(name: str) -> None:
    graph = import_onnx(LIGHT / f"light_{name}.onnx")
    assert graph.input.shape == (224, 224, 3)
    assert graph.output.size == 1000
    assert graph.parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", ["shufflenet", "squeezenet"])
def test_known_networks_compute(tmp_path: Path, name: str) -> None:
    made = onnx.load(LIGHT / f"light_{name}.onnx")
    rng = np.random.default_rng(0)
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in made.graph.initializer}
    kept = []
    for call in made.graph.node:
        if call.op_type != "ConstantOfShape":
            kept.append(call)
            continue
        shape = shapes[call.input[0]].tolist()
        values = rng.uniform(0.5, 1.0, shape)
        if len(shape) > 1:
            values = rng.normal(0.0, np.sqrt(2 / np.prod(shape[1:])), shape)
        values = values.astype(np.float32)
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, call.output[0]))
    del made.graph.node[:]
    made.graph.node.extend(kept)
    made.ir_version = 8
    graph = import_onnx(write(tmp_path, made))
    inputs = rng.normal(size=(1, 3, 224, 224)).astype(np.float32)
    names = {t.name for t in made.graph.initializer}
    (source,) = [v for v in made.graph.input if v.name not in names]
    while made.graph.input:
        made.graph.input.pop()
    made.graph.input.append(source)
    wanted = runtime(made, inputs)
    np.testing.assert_allclose(run_float(graph, inputs), wanted, rtol=1e-3, atol=1e-6)


def test_random_weights_are_repeatable() -> None:
    file = LIGHT / "light_squeezenet.onnx"
    one, two = (import_onnx(file, random_weights=4) for _ in range(2))
    three = import_onnx(file, random_weights=5)
    first, again, other = (graph.arrays_of(graph.nodes[0])[0] for graph in (one, two, three))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.std() == pytest.approx(np.sqrt(2 / 27), rel=0.1)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "text"),
    [
        ("Conv", {"w": (2, 3, 9, 3)}, {}, "larger than the padded input, which has 6 rows"),
        ("Conv", {"w": (2, 2, 3, 3)}, {}, "1 groups of 2 channels and 2 results do not fit"),
        ("Conv", {"w": (2, 3, 3)}, {}, "must have four dimensions of at least 1"),
        ("Conv", {"w": (0, 3, 3, 3)}, {}, "must have four dimensions of at least 1"),
        ("Conv", {"w": (2, 3, 3, 3)}, {"auto_pad": "SAME"}, "auto_pad 'SAME' is unknown"),
        ("Conv", {"w": (2, 3, 3, 3)}, {"pads": [1, 1]}, "pads must be four numbers"),
        ("Conv", {"w": (2, 3, 3, 3)}, {"pads": [-1, 1, 1, 1]}, "pads must be four numbers"),
        (
            "Conv",
            {"w": (2, 3, 3, 3)},
            {"strides": [0, 1]},
            "strides must be two numbers from 1",
        ),
        ("Conv", {"w": (2, 3, 3, 3)}, {"kernel_shape": [2, 2]}, "not that of the weight"),
        ("Conv", {"w": (2, 3, 3, 3), "b": (3,)}, {}, "bias 'b' must be"),
        ("MaxPool", {}, {"kernel_shape": [2]}, "needs a kernel of rows and columns"),
        ("MaxPool", {}, {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, "less than the window"),
        ("LRN", {}, {"size": 0}, "size >= 1"),
        ("Pad", {"p": 8}, {}, "must be integers, not float32"),
        ("Mul", {"w": (3, 1)}, {}, r"\(3, 1\) does not fit \(N, 3, 6, 5\), each sample by itself"),
        ("Reshape", {}, {}, "not a valid ONNX file"),
    ],
)
def test_wrong(
    tmp_path: Path, op: str, constants: dict[str, object], attributes: dict[str, object], text: str
) -> None:
    rng = np.random.default_rng(0)
    weights = {k: rng.normal(size=v).astype(np.float32) for k, v in constants.items()}  # type: ignore[call-overload]
    nodes = [
        node("MaxPool", ["x"], "m", kernel_shape=[1, 1]),
        node(op, ["m", *weights], **attributes),
    ]
    file = write(tmp_path, model(nodes, weights, (1, 3, 6, 5)))
    with pytest.raises(InputError, match=text) as caught:
        import_onnx(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_transposed_convolution_too_small(tmp_path: Path) -> None:
    made = node("ConvTranspose", ["x", "w"], strides=[3, 3], auto_pad="SAME_UPPER")
    file = write(tmp_path, model([made], {"w": np.ones((3, 1, 2, 2))}, (1, 3, 5, 6), element=11))
    with pytest.raises(InputError, match=r"of \(2, 2\) is too small for an output of \(15, 18\)"):
        import_onnx(file)


def test_mixed_up_rows_and_channels(tmp_path: Path) -> None:
    nodes = [
        node("MaxPool", ["x"], "m", kernel_shape=[1, 1]),
        node("Transpose", ["m"], "t", perm=[0, 2, 1, 3]),
        node("MaxPool", ["t"], kernel_shape=[1, 1]),
    ]
    file = write(tmp_path, model(nodes, {}, (1, 3, 60, 50)))
    with pytest.raises(InputError, match="mixed by Reshape or Transpose; of 9000 elements, more"):
        import_onnx(file)


def test_old_operators(tmp_path: Path) -> None:
    file = write(tmp_path, model([node("Relu", ["x"])], {}, (1, 3), opset=6))
    with pytest.raises(InputError, match="operator set 6 is too old, at least 7 is needed"):
        import_onnx(file)
    file = write(tmp_path, model([node("Relu", ["x"])], {}, (1, 3), opset=99))
    with pytest.raises(InputError, match="operator set 99 is newer than the onnx package knows"):
        import_onnx(file)


def test_cycle(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"])]
    file = write(tmp_path, model(nodes, {}, (1, 3)))
    with pytest.raises(InputError, match=r"Add_a: Add reads 'b', which node Relu_b writes only la"):
        import_onnx(file)


def test_external_data(tmp_path: Path) -> None:
    made = model([node("MatMul", ["x", "w"])], {"w": np.ones((300, 4), np.float32)}, (1, 300))
    file = tmp_path / "net.onnx"
    onnx.save(made, file, save_as_external_data=True, location="weights.bin")
    assert import_onnx(file).parameters == 1204
    (tmp_path / "weights.bin").write_bytes(b"short")
    message = r"net\.onnx: tensor w: .* in 'weights.bin' from byte 0, 4,800 of them, .* has 5$"
    with pytest.raises(InputError, match=message):
        import_onnx(file)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"tensor w: its data should be in 'weights.bin'"):
        import_onnx(file)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_linked_external_data(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    """As caches of models keep them: names that are links to files named by their content."""
    values = np.arange(1200, dtype=np.float32).reshape(300, 4)
    made = model([node("MatMul", ["x", "w"])], {"w": values}, (1, 300))
    kept, seen = tmp_path / "kept", tmp_path / "seen"
    kept.mkdir()
    seen.mkdir()
    onnx.save(made, kept / "net.onnx", save_as_external_data=True, location="weights.bin")
    for place, name in enumerate(("net.onnx", "weights.bin")):
        (kept / name).rename(kept / str(place))
        link(seen / name, kept / str(place))
    graph = import_onnx(seen / "net.onnx")
    x = np.random.default_rng(1).normal(size=(2, 300))
    assert np.array_equal(run_float(graph, x), x @ values.astype(np.float64))


def test_external_data_of_a_constant(tmp_path: Path) -> None:
    nodes = [node("Constant", [], "w"), node("MatMul", ["x", "w"])]
    nodes[0].attribute.append(
        onnx.helper.make_attribute("value", numpy_helper.from_array(np.ones((300, 4), np.float32)))
    )
    made = model(nodes, {}, (1, 300))
    options = {"save_as_external_data": True, "location": "w.bin", "convert_attribute": True}
    onnx.save(made, tmp_path / "net.onnx", **options)
    assert (tmp_path / "w.bin").stat().st_size == 4800
    assert import_onnx(tmp_path / "net.onnx").parameters == 1204


@pytest.mark.parametrize("where", ["../weights.bin", "/etc/passwd"])
def test_external_data_elsewhere(tmp_path: Path, where: str) -> None:
    made = model([node("MatMul", ["x", "w"])], {"w": np.ones((300, 4), np.float32)}, (1, 300))
    folder = tmp_path / "folder"
    folder.mkdir()
    onnx.save(made, folder / "net.onnx", save_as_external_data=True, location="weights.bin")
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    made = onnx.load(folder / "net.onnx", load_external_data=False)
    made.graph.initializer[0].external_data[0].value = where
    onnx.save(made, folder / "net.onnx")
    with pytest.raises(InputError, match="outside of the network's folder"):
        import_onnx(folder / "net.onnx")
