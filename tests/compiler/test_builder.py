"""Networks in Python: branches, windows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.compiler.reference.run import run
from pulsarray.errors import InputError

RNG = np.random.default_rng(3)
FOUR = np.ones(4)


def weight(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {node.name: graph.values[node.output].shape for node in graph.nodes}


def is_chain(graph: Graph) -> bool:
    """Whether every operator reads what the one before it wrote, and constants alone."""
    names = [graph.inputs[0].name, *(node.output for node in graph.nodes)]
    return all(graph.sources_of(n) == (k,) for n, k in zip(graph.nodes, names, strict=False))


def test_every_operator() -> None:
    graph = (
        Builder("net", (9, 12, 3), "image", "result")
        .convolution(weight(3, 3, 3, 4), stride=(1, 2), padding=1)
        .batch_norm(FOUR, FOUR, FOUR, FOUR)
        .max_pool(3, 2, padding=1)
        .average_pool((2, 1), 1, include_padding=True)
        .transposed_convolution(weight(3, 3, 4, 2), FOUR, 2, (0, 1), output_padding=1, groups=2)
        .pad((0, 1, 2, 3))
        .dropout(0.25)
        .shuffle([3, 2, 1, 0])
        .local_response_norm(3)
        .clip(-1, 1)
        .global_average_pool()
        .flatten()
        .dense(weight(4, 2))
        .softmax()
        .build()
    )
    assert shapes(graph) == {
        "conv": (9, 6, 4),
        "norm": (9, 6, 4),
        "max_pool": (5, 3, 4),
        "average_pool": (4, 3, 4),
        "deconv": (10, 6, 4),
        "pad": (12, 10, 4),
        "dropout": (12, 10, 4),
        "shuffle": (12, 10, 4),
        "lrn": (12, 10, 4),
        "clip": (12, 10, 4),
        "global_pool": (1, 1, 4),
        "flatten": (4,),
        "dense": (2,),
        "softmax": (2,),
    }
    assert is_chain(graph)
    assert (graph.input.name, graph.output.name) == ("image", "result")
    first, _, pool, mean, up, *_ = (node.op for node in graph.nodes)
    assert first == Convolution(Window((3, 3), (1, 2), (1, 1, 1, 1)))
    assert pool == MaxPool(Window((3, 3), (2, 2), (1, 1, 1, 1)))
    assert mean == AveragePool(Window((2, 1)), include_padding=True)
    assert up == TransposedConvolution(Window((3, 3), (2, 2), (0, 1, 0, 1)), (1, 1), 2)


def test_windows_lie_side_by_side() -> None:
    graph = Builder("net", (6, 6, 1)).max_pool((2, 3)).average_pool(2, padding=1).build()
    first, second = (node.op for node in graph.nodes)
    assert first == MaxPool(Window((2, 3), (2, 3)))
    assert second == AveragePool(Window((2, 2), (2, 2), (1, 1, 1, 1)))


def test_branches() -> None:
    image = RNG.normal(size=(2, 4, 4, 3))
    graph = (
        Builder("net", (4, 4, 3))
        .relu(name="start")
        .convolution(weight(1, 1, 3, 3), name="left")
        .convolution(weight(1, 1, 3, 3), name="right", source="start")
        .add("left", name="sum")
        .concat("start", "input", name="wide")
        .build()
    )
    add, wide = graph.nodes[3:]
    assert add.inputs == ("right_out", "left_out")
    assert wide.inputs == ("sum_out", "start_out", "input")
    values = run(graph, image)
    expected = [values["left_out"] + values["right_out"], np.maximum(image, 0), image]
    np.testing.assert_array_equal(values["output"], np.concatenate(expected, axis=-1))
    assert not is_chain(graph)


def test_one_value_twice() -> None:
    graph = Builder("net", (4,)).relu(name="r").add("r").build()
    np.testing.assert_array_equal(run(graph, np.ones((1, 4)))["output"], np.full((1, 4), 2.0))


def test_last() -> None:
    builder = Builder("net", (4,), "x")
    assert builder.last == "x"
    assert builder.relu().relu().last == "relu1"


def test_refused() -> None:
    def builder() -> Builder:
        return Builder("net", (4, 4, 3)).relu(name="r")

    with pytest.raises(InputError, match="net: add reads 'q', no operator before it"):
        builder().add("q")
    with pytest.raises(InputError, match="net: relu reads 'q', no operator before it"):
        builder().relu(source="q")
    with pytest.raises(InputError, match=r"net: weight must have shape \(kh, kw, C / groups, N\)"):
        builder().convolution(np.ones((3, 3)))
    with pytest.raises(InputError, match=r"padding: must be one number, two or four, not \(1,"):
        builder().pad((1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"stride: must be one number or two, not \(1, 2, 3\)"):
        builder().max_pool(2, (1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="conv: 1 groups of 4 channels and 2 results do not fit"):
        builder().convolution(np.ones((1, 1, 4, 2))).build()
    with pytest.raises(InputError, match="r: nothing reads its result 'r_out'"):
        builder().relu(source="input").build()
    with pytest.raises(InputError, match=r"global_pool: input must have shape \(H, W, C\)"):
        Builder("net", 4).global_average_pool().build()


IMAGE = (6, 6, 2)
FILTERS = np.ones((3, 3, 2, 4))


@pytest.mark.parametrize(
    ("shape", "build", "text"),
    [
        ("4", lambda b: b.relu(), "n: shape: must be an integer, not '4'"),
        (4.0, lambda b: b.relu(), "n: shape: must be an integer, not 4.0"),
        ((6, 6.5, 2), lambda b: b.relu(), "n: shape: must be an integer, not 6.5"),
        (
            IMAGE,
            lambda b: b.convolution(FILTERS, stride=1.5),
            "stride: must be an integer, not 1.5",
        ),
        (IMAGE, lambda b: b.convolution(FILTERS, padding=None), "padding: must be an integer, not"),
        (
            IMAGE,
            lambda b: b.convolution(FILTERS, dilation=(1, 1.5)),
            "dilation: must be an integer",
        ),
        (
            IMAGE,
            lambda b: b.convolution(FILTERS, groups="1"),
            "groups: must be an integer, not '1'",
        ),
        (
            IMAGE,
            lambda b: b.transposed_convolution(FILTERS, groups=0),
            "groups: must be at least 1",
        ),
        (
            IMAGE,
            lambda b: b.transposed_convolution(FILTERS, output_padding=-1),
            "output_padding: must be at least 0, not -1",
        ),
        (IMAGE, lambda b: b.max_pool(None), "kernel: must be an integer, not None"),
        (IMAGE, lambda b: b.shuffle((0.5, 1)), "order: must be an integer, not 0.5"),
        (IMAGE, lambda b: b.local_response_norm(3, beta=np.nan), "beta: must be a number, not nan"),
        (IMAGE, lambda b: b.dropout("a"), "rate: must be a number, not 'a'"),
        (4, lambda b: b.clip(None, 1), "low: must be a number, not None"),
        (4, lambda b: b.dense(1j * np.ones((4, 2))), "weight: must be real numbers, not complex"),
        (4, lambda b: b.dense([["a"]]), "weight: must be an array of numbers"),
        (4, lambda b: b.relu().add(""), "n: add reads '', no operator before it"),
        (
            4,
            lambda b: b.relu().concat(["input"]),
            r"n: concat reads \['input'\], no operator before",
        ),
    ],
)
def test_other_types_are_refused_by_name(
    shape: Any, build: Callable[[Builder], Builder], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        build(Builder("n", shape)).build()


def test_integers_of_numpy() -> None:
    one = np.int64(1)
    arguments = {"stride": one, "padding": np.array([1, 1]), "dilation": (one, 1), "groups": one}
    built = (
        Builder("n", np.array(IMAGE)).convolution(FILTERS, **arguments).max_pool(np.int8(2)).build()
    )
    plain = Builder("n", IMAGE).convolution(FILTERS, padding=1).max_pool(2).build()
    assert show(built) == show(plain)
