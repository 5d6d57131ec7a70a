"""Axes and orders of ONNX files: what a host gives and takes is the file's own, to the element."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import Program, unpack
from pulsarray.tensors import memory_with_inputs, real_values
from tests.compiler.onnx_files import Chain, write
from tests.compiler.test_onnx_float_graphs import runtime

CONFIG, BATCH = PRESETS["small"], 2


def softmax_over_channels(chain: Chain) -> None:
    chain.add("Softmax", source=chain.add("Conv", chain.floats(4, 3, 1, 1)), axis=1)


def softmax_of_a_channels_last_map(chain: Chain) -> None:
    chain.add("Conv", chain.floats(4, 3, 1, 1))
    chain.add("Transpose", perm=[0, 2, 3, 1])
    chain.add("Softmax", source=chain.add("Reshape", chain.ints(0, -1, 4)), axis=-1)


def softmax_over_all(chain: Chain) -> None:
    chain.add("Conv", chain.floats(2, 3, 2, 2))
    chain.add("Softmax", source=chain.add("Flatten"))


def joined_without_an_image(chain: Chain) -> None:
    chain.add("Relu")
    chain.add("Concat", "x", axis=1)


def joined_channels_last(chain: Chain) -> None:
    first = chain.add(
        "Transpose", source=chain.add("Conv", chain.floats(2, 3, 1, 1)), perm=[0, 2, 3, 1]
    )
    chain.add("Conv", chain.floats(5, 3, 1, 1), source="x")
    chain.add("Concat", first, source=chain.add("Transpose", perm=[0, 2, 3, 1]), axis=3)


def normalized_without_an_image(chain: Chain) -> None:
    learned = (chain.positive(3), chain.floats(3), chain.floats(3), chain.positive(3))
    chain.add("BatchNormalization", *learned)


def detection_head(chain: Chain) -> None:
    chain.add("Conv", chain.floats(4, 3, 3, 3), pads=[1, 1, 1, 1])
    chain.add("Transpose", perm=[0, 2, 3, 1])
    chain.add("Sigmoid", source=chain.add("Reshape", chain.ints(0, -1, 2)))


def depth_to_space(chain: Chain) -> None:
    chain.add("Conv", chain.floats(8, 3, 1, 1))
    chain.add("Reshape", chain.ints(0, 2, 2, 2, 4, 5))
    chain.add("Transpose", perm=[0, 1, 4, 2, 5, 3])
    chain.add("Reshape", chain.ints(0, 2, 8, 10))


def rows_and_columns_swapped(chain: Chain) -> None:
    chain.add("Conv", chain.floats(2, 3, 2, 3), source=chain.add("Transpose", perm=[0, 1, 3, 2]))


def channels_shuffled_input(chain: Chain) -> None:
    chain.add("Reshape", chain.ints(0, 3, 2, 2, 5))
    chain.add("Reshape", chain.ints(0, 6, 10), source=chain.add("Transpose", perm=[0, 2, 1, 3, 4]))
    chain.add("Conv", chain.floats(2, 6, 3))


def row_of_pixels(chain: Chain) -> None:
    chain.add("Reshape", chain.ints(0, 3, 20))
    chain.add("Conv", chain.floats(4, 3, 3), pads=[2, 0], strides=[2], dilations=[2])
    chain.add("MaxPool", kernel_shape=[2], strides=[2])
    chain.add("ConvTranspose", chain.floats(4, 2, 3), strides=[2], output_padding=[1])
    chain.add("GlobalAveragePool")


def vector_to_a_map(chain: Chain) -> None:
    chain.add("Gemm", chain.floats(60, 36), source=chain.add("Flatten"))
    chain.add("Relu", source=chain.add("Reshape", chain.ints(-1, 4, 3, 3)))
    chain.add("ConvTranspose", chain.floats(4, 2, 2, 2), strides=[2, 2])


def dense_of_every_pixel(chain: Chain) -> None:
    chain.add("Transpose", perm=[0, 2, 3, 1])
    chain.add("Add", chain.floats(7), source=chain.add("MatMul", chain.floats(3, 7)))


def means_of_tokens(chain: Chain) -> None:
    chain.add("Conv", chain.floats(4, 3, 1, 1))
    chain.add("Transpose", perm=[0, 2, 1], source=chain.add("Reshape", chain.ints(0, 4, 20)))
    chain.add("Relu", source=chain.add("ReduceMean", axes=[2], keepdims=1))


def nothing_last(chain: Chain) -> None:
    chain.add("Conv", chain.floats(4, 3, 1, 1))
    chain.add("Identity", source=chain.add("Dropout"))


def columns_beside_columns(chain: Chain) -> None:
    narrow = chain.add("Conv", chain.floats(4, 3, 3, 3), pads=[1, 0, 1, 0])
    chain.add("Conv", chain.floats(4, 3, 1, 1), source="x")
    chain.add("Conv", chain.floats(2, 4, 2, 2), source=chain.add("Concat", narrow, axis=3))


def rows_behind_rows(chain: Chain) -> None:
    low = chain.add("Conv", chain.floats(4, 3, 3, 3), pads=[0, 1, 0, 1])
    chain.add("Conv", chain.floats(4, 3, 1, 1), source="x")
    chain.add("Conv", chain.floats(2, 4, 2, 2), source=chain.add("Concat", low, axis=-2))


def boxes_of_three_sizes(chain: Chain) -> None:
    """As YOLO v8 ends: bins of distances, softmax, mean place, anchors, strides."""
    heads = []
    for size in (1, 2, 4):
        chain.add("Conv", chain.floats(18, 3, size, size), source="x", strides=[size, size])
        heads.append(chain.add("Reshape", chain.ints(0, 18, -1)))
    places = 20 + 2 * 2 + 1
    whole = chain.add("Concat", *heads[1:], source=heads[0], axis=2)
    boxes, scores = (
        chain.add("Slice", *map(chain.ints, cut), source=whole) for cut in ((0, 16, 1), (16, 18, 1))
    )
    bins = chain.add("Reshape", chain.ints(0, 4, 4, places), source=boxes)
    chain.add("Transpose", source=bins, perm=[0, 2, 1, 3])
    line = chain.constant(np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1))
    chain.add("Conv", line, source=chain.add("Softmax", axis=1))
    sides = chain.add("Reshape", chain.ints(0, 4, places))
    low, high = (
        chain.add("Slice", *map(chain.ints, cut), source=sides) for cut in ((0, 2, 1), (2, 4, 1))
    )
    anchors = chain.floats(1, 2, places)
    first = chain.add("Sub", low, source=anchors)
    second = chain.add("Add", anchors, source=high)
    chain.add("Concat", second, source=first, axis=1)
    decoded = chain.add("Mul", chain.positive(1, places))
    chain.add("Concat", chain.add("Sigmoid", source=scores), source=decoded, axis=1)


def attention_between_positions(chain: Chain) -> None:
    """As in YOLO v11: two heads whose values are rows of channels, and their products turned."""
    chain.add("Conv", chain.floats(24, 3, 1, 1))
    chain.add("Reshape", chain.ints(0, 2, 12, 20))
    parts = [chain.add("Slice", *map(chain.ints, cut), source="v1") for cut in
             ((0, 4, 2), (4, 8, 2), (8, 12, 2))]  # fmt: skip
    turned = chain.add("Transpose", source=parts[0], perm=[0, 1, 3, 2])
    chain.add("MatMul", parts[1], source=turned)
    chain.add("Softmax", source=chain.add("Mul", chain.constant(np.float32(0.5))), axis=-1)
    chain.add("MatMul", chain.add("Transpose", perm=[0, 1, 3, 2]), source=parts[2])
    mixed = chain.add("Reshape", chain.ints(0, 8, 4, 5))
    values = chain.add("Reshape", chain.ints(0, 8, 4, 5), source=parts[2])
    chain.add("Conv", chain.floats(8, 1, 3, 3), source=values, group=8, pads=[1, 1, 1, 1])
    chain.add("Conv", chain.floats(3, 8, 1, 1), source=chain.add("Add", mixed))


NETWORKS = [
    softmax_over_channels, softmax_of_a_channels_last_map, softmax_over_all,
    joined_without_an_image, joined_channels_last, normalized_without_an_image, detection_head,
    depth_to_space, rows_and_columns_swapped, channels_shuffled_input, row_of_pixels,
    vector_to_a_map, dense_of_every_pixel, means_of_tokens, nothing_last,
    columns_beside_columns, rows_behind_rows, boxes_of_three_sizes, attention_between_positions,
]  # fmt: skip


def on_the_machine(program: Program, inputs: np.ndarray, path: Path) -> np.ndarray:
    """The golden model's result on inputs from a file."""
    np.savez(path, x=inputs)
    (result,) = program.with_role("output")
    memory = execute(program, memory_with_inputs(program, path))
    return real_values(unpack(memory, result, program.config), result)


@pytest.mark.parametrize("build", NETWORKS)
def test_what_the_file_means(tmp_path: Path, build: Callable[[Chain], None]) -> None:
    chain = Chain(5, (BATCH, 3, 4, 5))
    build(chain)
    made = chain.model()
    graph = import_onnx(write(tmp_path, made))
    inputs = chain.rng.normal(size=(BATCH, 3, 4, 5)).astype(np.float32)
    wanted = runtime(made, inputs)
    got = run_float(graph, inputs)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)
    program = compiler.compile(graph, CONFIG, batch=BATCH, calibration=inputs)
    computed = on_the_machine(program, inputs, tmp_path / "x.npz")
    assert computed.shape == wanted.shape
    assert np.linalg.norm(computed - wanted) < 0.04 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("shape", "op", "values"),
    [
        ((8, 7, 1), "Reshape", [-1, 1, 8, 7]),
        ((8, 7, 1), "Transpose", [0, 3, 1, 2]),
        ((56,), "Reshape", [-1, 1, 8, 7]),
        ((8, 7), "Unsqueeze", [1]),
    ],
)
def test_a_grey_image(tmp_path: Path, shape: tuple[int, ...], op: str, values: list[int]) -> None:
    chain = Chain(2, (BATCH, *shape))
    if op == "Transpose":
        chain.add(op, perm=values)
    else:
        chain.add(op, chain.ints(*values))
    chain.add("Conv", chain.floats(2, 1, 3, 3))
    made = chain.model()
    graph = import_onnx(write(tmp_path, made))
    assert [node.op.title for node in graph.nodes] == ["convolution"]
    inputs = chain.rng.normal(size=(BATCH, *shape)).astype(np.float32)
    np.testing.assert_allclose(run_float(graph, inputs), runtime(made, inputs), rtol=0, atol=1e-5)
    program = compiler.compile(graph, CONFIG, batch=BATCH, calibration=inputs)
    computed = on_the_machine(program, inputs, tmp_path / "x.npz")
    flat = on_the_machine(program, inputs.reshape(BATCH, -1), tmp_path / "x.npz")
    np.testing.assert_array_equal(computed, flat)


def test_the_input_in_two_orders(tmp_path: Path) -> None:
    """A dense layer and a convolution read it: its map is flattened, and weights are reordered."""
    chain = Chain(3, (BATCH, 60))
    dense = chain.add("MatMul", chain.floats(60, 2))
    chain.add("Reshape", chain.ints(0, 3, 4, 5), source="x")
    chain.add("Flatten", source=chain.add("Conv", chain.floats(1, 3, 3, 4)))
    chain.add("Concat", dense, axis=1)
    made = chain.model()
    graph = import_onnx(write(tmp_path, made))
    assert graph.input.shape == (4, 5, 3)
    inputs = chain.rng.normal(size=(BATCH, 60)).astype(np.float32)
    np.testing.assert_allclose(run_float(graph, inputs), runtime(made, inputs), rtol=0, atol=1e-5)


def imported(path: Path, *steps: tuple[str, dict[str, object]]) -> Graph:
    """A pool of (3, 4, 5), so that the host cannot reorder what follows, and more operators."""
    chain = Chain(1, (BATCH, 3, 4, 5))
    chain.add("MaxPool", kernel_shape=[1, 1])
    for op, attributes in steps:
        chain.add(op, **attributes)
    return import_onnx(write(path, chain.model()))


@pytest.mark.parametrize(
    ("op", "attributes", "text"),
    [
        ("Softmax", {"axis": 0}, "must be along an axis from 1 to 3, not 0"),
        ("ReduceMean", {"axes": [0]}, "along axes from 1 to 3, not"),
    ],
)
def test_wrong(tmp_path: Path, op: str, attributes: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        imported(tmp_path, (op, attributes))
