"""What TensorFlow Lite's products of two matrices become."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.layout import columns_as_channels
from pulsarray.compiler.importers.tflite.network import Meaning, Network
from pulsarray.compiler.importers.tflite.scales import check_sums, ratio_pair
from pulsarray.compiler.ops.integer import MatMul
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["batch_matmul"]


def batch_matmul(network: Network, operator: Operator) -> None:
    """BATCH_MATMUL of two maps, each row of which is a matrix."""
    first, second = network.image(operator, 0), network.image(operator, 1)
    if operator.option("AdjX"):
        first = columns_as_channels(network, network.target(operator), first)
    turned = bool(operator.option("AdjY"))
    with np.errstate(all="ignore"):
        scales = [np.float32(value.codes.scale) for value in (first, second)]
        product = float(scales[0] * scales[1])
    name = network.target(operator)
    target, shape = network.shaped(operator, _shape(first.shape, second.shape, turned))
    pair = ratio_pair(product / target.codes.scale)
    scale = Scale(np.array(pair[:1]), np.array(pair[1:]), target.codes.zero, tflite=True)
    reach = [max(HIGH - v.codes.zero, v.codes.zero - LOW) for v in (first, second)]
    check_sums(np.array([first.shape[2] * reach[0] * reach[1]]), scale)
    network.add(operator, MatMul(scale, turned), [first, second], target, shape)
    network.values[name.index] = Meaning(target, shape)


def _shape(
    first: tuple[int, ...], second: tuple[int, ...], turned: bool
) -> tuple[int, int, int]:  # fmt: skip
    """(H, M, N)."""
    depth, columns = (second[2], second[1]) if turned else (second[1], second[2])
    if first[0] != second[0] or first[2] != depth:
        raise InputError(f"matrices of {first} and {second} have no product")
    return first[0], first[1], columns
