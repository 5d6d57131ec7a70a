"""Gradients as operators: what they read is enough, and parts make the whole."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from pulsarray.compiler.ir.operator import RESULT, Operator
from pulsarray.compiler.ops.batch_norm import BatchStatisticsNorm
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.gradient import Gradient, Total
from pulsarray.compiler.ops.loss import LOSSES, Loss, LossGradient
from pulsarray.compiler.ops.statistics import BatchMean, Normalize, NormalizeGradient, ScaleShift
from pulsarray.compiler.reference.run import operands, run
from pulsarray.compiler.training.losses import loss_value
from pulsarray.errors import InputError
from pulsarray.sim.random.graphs import OPERATORS, one_operator, random_samples

SHAPES = [(6,), (3, 4), (5, 6, 2), (4, 4, 6), (1, 1, 3)]


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_what_gradients_read_is_enough(kind: type[Operator]) -> None:
    rng = np.random.default_rng(zlib.crc32(kind.title.encode()))
    for shape in SHAPES:
        graph = one_operator(rng, kind, shape)
        if graph is None:
            continue
        (node,), values = graph.nodes, run(graph, random_samples(rng, graph, 3))
        arrays, result = operands(graph, node, values), values[node.output]
        error = rng.normal(size=result.shape)
        shapes = tuple(graph.values[name].shape for name in (*node.inputs, node.output))
        for place, wanted in enumerate(node.op.gradient(arrays, result, error)):
            reads = node.op.gradient_reads(place)
            if wanted is None or max(reads, default=0) >= len(arrays):
                continue
            known = [result if k == RESULT else arrays[k] for k in reads]
            made = Gradient(node.op, place, shapes).real(*known, error)
            np.testing.assert_allclose(made, wanted, rtol=1e-12, atol=1e-12)


def test_what_a_gradient_reads_must_fit() -> None:
    op = Gradient(ScaleShift(), 1, ((2, 3), (3,), (3,), (2, 3)))
    assert op.shape((2, 3), (2, 3)) == (3,)
    with pytest.raises(InputError, match="must read values of shapes"):
        op.shape((3, 2), (2, 3))


def test_parts_of_batch_normalization_are_the_whole() -> None:
    rng = np.random.default_rng(0)
    x, error = rng.normal(size=(2, 3, 3, 4)), rng.normal(size=(2, 3, 3, 4))
    scale, shift = rng.normal(size=4), rng.normal(size=4)
    whole, mean = BatchStatisticsNorm(0.1), BatchMean().real(x)
    normal = Normalize(0.1).real(x, mean)
    result = whole.real(x, scale, shift)
    np.testing.assert_allclose(ScaleShift().real(normal, scale, shift), result, rtol=1e-12)
    by_x, by_scale, by_shift = whole.gradient([x, scale, shift], result, error)
    along = BatchMean().real(normal, error)
    pulled = NormalizeGradient(0.1).real(x, mean, normal, along, error, scale)
    np.testing.assert_allclose(pulled, by_x, rtol=1e-10, atol=1e-12)
    _, *parts = ScaleShift().gradient([normal, scale, shift], result, error)
    for part, wanted in zip(parts, (by_scale, by_shift), strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-12)


def test_dropout_by_a_mask_and_its_gradient() -> None:
    x, mask = np.arange(4.0).reshape(1, 4), np.array([[1.0, 0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(Dropout(0.75).real(x, mask), [[0.0, 0.0, 8.0, 0.0]])
    by_x, by_mask = Dropout(0.75).gradient([x, mask], x, np.ones((1, 4)))
    np.testing.assert_array_equal(by_x, 4.0 * mask)
    assert by_mask is None
    assert Dropout(0.75).real(x) is x


def test_totals() -> None:
    parts = [np.full((1, 2), value) for value in (1.0, 2.0, 4.0)]
    np.testing.assert_array_equal(Total().real(*parts), [[7.0, 7.0]])
    with pytest.raises(InputError, match="values of one shape"):
        Total().shape((1,), (2,))


@pytest.mark.parametrize("name", [n for n, rule in LOSSES.items() if not rule.skips])
def test_losses_have_their_slopes(name: str) -> None:
    rng = np.random.default_rng(1)
    output, target = rng.normal(size=(5, 3)), rng.choice((-1.0, 1.0), (5, 3))
    loss, step = Loss(name), 1e-6
    slopes = LossGradient(loss).real(output, target)
    direction = rng.normal(size=output.shape)
    ends = [loss_value(loss, output + d * direction, target).sum() for d in (step, -step)]
    assert (slopes * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)
