"""ONNX operators that move, leave out, repeat and reduce: as ONNX Runtime has them, in int8 too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.importers.onnx.reductions import REDUCTIONS
from pulsarray.compiler.interpreter import from_host, run_float, to_host
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import pack, unpack
from tests.compiler.codes import codes_of, host_codes, result_of
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

SHAPE = (8, 4, 6)
DATA = np.random.default_rng(4).normal(size=(20, *SHAPE)).astype(np.float32)
WEIGHT = np.random.default_rng(5).normal(size=(8, 8, 1, 1)).astype(np.float32)
CONV = node("Conv", ["x", "w"], "c")
Constants = dict[str, np.ndarray]


def network(nodes: list[NodeProto], constants: Constants, opset: int = 17) -> onnx.ModelProto:
    return model([CONV, *nodes], {"w": WEIGHT, **constants}, ("N", *SHAPE), opset=opset)


def assert_right(path: Path, nodes: list[NodeProto], constants: Constants, opset: int = 17) -> None:
    """In floating point equal to ONNX Runtime, in int8 close to that, the model as defined."""
    made = network(nodes, constants, opset)
    graph, wanted = import_onnx(write(path, made)), runtime(made, DATA)
    np.testing.assert_allclose(run_float(graph, DATA), wanted, rtol=1e-5, atol=1e-5)
    config = PRESETS["small"]
    quantized = quantize_graph(graph, DATA, config)
    coded = host_codes(quantized, from_host(graph, DATA))
    codes = codes_of(quantized, coded)
    result = to_host(graph, result_of(quantized).decode(codes)).reshape(wanted.shape)
    assert np.sqrt(np.mean((result - wanted) ** 2)) < 0.05 * np.sqrt(np.mean(wanted**2))
    program = compiler.compile(graph, config, batch=2, calibration=DATA, effort=0)
    (source,), (target,) = program.with_role("input"), program.with_role("output")
    memory = program.memory.copy()
    rows = coded[:2].reshape(source.rows, source.columns)
    memory[source.address :][: source.bytes(config)] = pack(rows, source, config)
    got = unpack(execute(program, memory), target, config)
    np.testing.assert_array_equal(got.reshape(-1), codes[:2].reshape(-1))


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


CUTS = {
    "rows": ([1], [3], [2], [1]),
    "columns backwards counted": ([-4], [-1], [-1], [1]),
    "every other column": ([1], [6], [3], [2]),
    "channels": ([2], [1000], [1], [3]),
    "a corner": ([1, 2, 0], [8, 4, 3], [1, 2, 3], [2, 1, 1]),
    "all samples": ([0, 1], [2**31 - 1, 3], [0, 2], [1, 1]),
    "columns in reverse": ([5], [-100], [3], [-1]),
}


@pytest.mark.parametrize("lists", CUTS.values(), ids=CUTS)
def test_slices(tmp_path: Path, lists: tuple[list[int], ...]) -> None:
    constants = {name: ints(*numbers) for name, numbers in zip("seat", lists, strict=True)}
    nodes = [node("Slice", ["c", "s", "e", "a", "t"], "p"), node("Relu", ["p"])]
    if lists[3] == [-1]:
        nodes[1] = node("Slice", ["p", "s", "e", "a", "t"])
    assert_right(tmp_path, nodes, constants)


@pytest.mark.parametrize(
    ("axis", "indices"),
    [
        (1, ints(5, 0, 3)),
        (3, ints(1, 3, 5)),
        (2, ints(2)),
        (1, np.array(4)),
        (3, ints(0, 1, 3)),
        (1, ints(0, 0)),
    ],
)
def test_constant_indices(tmp_path: Path, axis: int, indices: np.ndarray) -> None:
    nodes = [node("Gather", ["c", "i"], "p", axis=axis), node("Relu", ["p"])]
    assert_right(tmp_path, nodes, {"i": indices})


@pytest.mark.parametrize(("axis", "sizes"), [(1, (3, 5)), (2, (1, 3)), (-1, (4, 2))])
def test_parts(tmp_path: Path, axis: int, sizes: tuple[int, int]) -> None:
    split = onnx.helper.make_node("Split", ["c", "s"], ["p", "q"], axis=axis)
    nodes = [split, node("Concat", ["q", "p"], "j", axis=axis), node("Relu", ["j"])]
    if axis == 1:
        assert_right(tmp_path, nodes, {"s": ints(*sizes)})
    for part in "pq":
        assert_right(tmp_path, [split, node("Relu", [part])], {"s": ints(*sizes)})


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_blocks(tmp_path: Path, mode: str) -> None:
    assert_right(tmp_path, [node("DepthToSpace", ["c"], blocksize=2, mode=mode)], {})


def test_blocks_become_channels(tmp_path: Path) -> None:
    assert_right(tmp_path, [node("SpaceToDepth", ["c"], blocksize=2)], {})


MODES = [
    {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
    {},
]


@pytest.mark.parametrize("attributes", MODES)
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 3, 1), (1, 1, 0.5, 1), (1, 1, 1, 1 / 3)])
def test_nearest_neighbours(
    tmp_path: Path, attributes: dict[str, str], scales: tuple[float, ...]
) -> None:
    nodes = [node("Resize", ["c", "", "s"], **attributes)]
    assert_right(tmp_path, nodes, {"s": np.array(scales, np.float32)})


WAYS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 1.5, 0.7), (1, 1, 0.25, 3.3)])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resize_by_any_factor(
    tmp_path: Path, way: str, scales: tuple[float, ...], mode: str
) -> None:
    attributes = {"coordinate_transformation_mode": way, "mode": mode}
    nodes = [node("Resize", ["c", "", "s"], **attributes)]
    assert_right(tmp_path, nodes, {"s": np.array(scales, np.float32)}, opset=19)


@pytest.mark.parametrize("way", WAYS)
def test_resize_to_sizes_of_some_axes(tmp_path: Path, way: str) -> None:
    nodes = [
        node("Resize", ["c", "", "", "s"], coordinate_transformation_mode=way, mode="linear",
             axes=[-1, 2])
    ]  # fmt: skip
    assert_right(tmp_path, nodes, {"s": ints(9, 7)}, opset=19)


def test_upsample(tmp_path: Path) -> None:
    constants = {"s": np.array([1, 1, 2, 3], np.float32)}
    assert_right(tmp_path, [node("Upsample", ["c", "s"])], constants, opset=9)


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("axes", [(2, 3), (3,), (1,), (1, 2, 3)])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(tmp_path: Path, kind: str, axes: tuple[int, ...], keep: int) -> None:
    if not keep and axes == (3,):
        pytest.skip("its axes must stay")
    before = [node("Identity" if kind == "ReduceMin" else "Sigmoid", ["c"], "g")]
    nodes = [*before, node(kind, ["g"], axes=list(axes), keepdims=keep)]
    if kind == "ReduceSum":
        nodes = [*before, node(kind, ["g", "a"], keepdims=keep)]
    assert_right(tmp_path, nodes, {"a": ints(*axes)} if kind == "ReduceSum" else {})


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (
            [node("Slice", ["c", "s", "e", "a"])],
            {"s": ints(0), "e": ints(1), "a": ints(0)},
            "Slice must keep all samples of a batch",
        ),
        (
            [node("Slice", ["c", "s", "e", "a"])],
            {"s": ints(0), "e": ints(3), "a": ints(0)},
            "Slice must keep all samples of a batch",
        ),
        (
            [node("Gather", ["c", "i"], axis=0)],
            {"i": ints(0, 1, 2)},
            "Gather must keep all samples of a batch",
        ),
        (
            [node("Gather", ["c", "i"], axis=0)],
            {"i": ints(0)},
            "Gather must keep all samples of a batch",
        ),
        ([node("Gather", ["c", "i"], axis=1)], {"i": ints(9)}, "Gather of constants fails"),
        (
            [node("Resize", ["c", "", "s"], mode="cubic")],
            {"s": np.array([1, 1, 2, 2], np.float32)},
            "Resize must be nearest or linear, without antialias, not cubic",
        ),
        (
            [node("Resize", ["c", "", "s"], coordinate_transformation_mode="tf_crop_and_resize")],
            {"s": np.array([1, 1, 1.5, 1], np.float32)},
            "Resize's coordinates must be asymmetric, .*, not tf_crop_and_resize",
        ),
        (
            [node("Resize", ["c", "", "s"])],
            {"s": np.array([1, 2], np.float32)},
            r"scales must be one of each axis, not \[1.0, 2.0\]",
        ),
        (
            [node("Resize", ["c", "", "s"], mode="linear")],
            {"s": np.array([1, 2, 1, 1], np.float32)},
            "Resize must leave the channels as they are",
        ),
        (
            [node("Resize", ["c", "", "s"])],
            {"s": np.array([1, 2, 1, 1], np.float32)},
            "Resize must leave the channels as they are",
        ),
        ([node("DepthToSpace", ["c"], blocksize=3)], {}, "8 channels are no blocks of 3 x 3"),
        ([node("SpaceToDepth", ["c"], blocksize=3)], {}, r"\(4, 6\) are no blocks of 3 x 3"),
        ([node("ReduceMean", ["c"])], {}, "along axes from 1 to 3, not all, which would mix"),
        ([node("ReduceMax", ["c"], axes=[0, 1])], {}, "which would mix the samples of a batch"),
        ([node("ReduceMax", ["c"], axes=[1, -3])], {}, r"has an axis twice among \(1, -3\)"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, nodes: list[NodeProto], constants: Constants, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, network(nodes, constants)))


BATCH_SECOND = {
    "slices": [
        *(node("Slice", ["t", f"{k}", f"{k + 1}", "0"], f"s{k}") for k in range(3)),
        *(node("Squeeze", [f"s{k}", "0"], name) for k, name in enumerate("qkv")),
    ],
    "gathers": [node("Gather", ["t", f"at{k}"], name) for k, name in enumerate("qkv")],
    "a split": [
        onnx.helper.make_node("Split", ["t"], ["s0", "s1", "s2"], num_outputs=3),
        *(node("Squeeze", [f"s{k}", "0"], name) for k, name in enumerate("qkv")),
    ],
}


@pytest.mark.parametrize("parts", BATCH_SECOND.values(), ids=BATCH_SECOND)
def test_heads_of_attention_behind_an_axis_before_the_batch(
    tmp_path: Path, parts: list[NodeProto]
) -> None:
    nodes = [
        node("Reshape", ["c", "tokens"], "flat"),
        node("Transpose", ["flat"], "rows", perm=[0, 2, 1]),
        node("MatMul", ["rows", "w3"], "all"),
        node("Reshape", ["all", "heads"], "r"),
        node("Transpose", ["r"], "t", perm=[2, 0, 3, 1, 4]),
        *parts,
        node("Transpose", ["k"], "kt", perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "kt"], "scores"),
        node("Softmax", ["scores"], "shares", axis=-1),
        node("MatMul", ["shares", "v"], "mixed"),
        node("Transpose", ["mixed"], "back", perm=[0, 2, 1, 3]),
        node("Reshape", ["back", "joined"], "y0"),
        node("MatMul", ["y0", "w1"]),
    ]
    rng = np.random.default_rng(8)
    constants = {
        "tokens": ints(0, 8, -1),
        "heads": ints(0, 24, 3, 2, 4),
        "joined": ints(0, 24, 8),
        "w3": (0.1 * rng.normal(size=(8, 24))).astype(np.float32),
        "w1": (0.3 * rng.normal(size=(8, 8))).astype(np.float32),
        **{str(k): ints(k) for k in range(4)},
        **{f"at{k}": np.int64(k) for k in range(3)},
    }
    assert_right(tmp_path, nodes, constants, opset=18)


def test_a_batch_that_stays_behind_another_axis_is_refused(tmp_path: Path) -> None:
    pool = node("MaxPool", ["t"], kernel_shape=[2, 2])
    nodes = [node("Transpose", ["c"], "t", perm=[1, 0, 2, 3]), pool]
    with pytest.raises(InputError, match="needs 't' with the batch first, not as axis 1"):
        import_onnx(write(tmp_path, network(nodes, {})))
