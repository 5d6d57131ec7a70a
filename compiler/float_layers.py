"""Forward and backward passes of operators on batches of feature maps (N, H, W, C), in float32.

Each function of :data:`FORWARD` takes an operator, its parameters and its inputs, and returns the
result and a function from the gradient of the result to those of the inputs and the parameters.
Training on the host uses them; nothing here is about the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate, Dense, Flatten, Node
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.spatial import Add, AveragePool, BatchNorm, Convolution, MaxPool

__all__ = ["FORWARD", "Backward", "Batch", "parameters"]

Batch = npt.NDArray[np.float32]
Backward = Callable[[Batch], tuple[list[Batch], list[Batch]]]
"""From the gradient of the result to those of the inputs and of the parameters."""
Forward = Callable[[Any, Sequence[Batch], Sequence[Batch]], tuple[Batch, Backward]]


def parameters(node: Node) -> list[Batch]:
    """What an operator learns: weight and bias, or scale and shift."""
    if isinstance(node, Dense | Convolution):
        return [node.weight.astype(np.float32), node.bias.astype(np.float32)]
    if isinstance(node, BatchNorm):
        return [node.scale.astype(np.float32), node.shift.astype(np.float32)]
    return []


def _dense(
    _node: Dense, learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    weight, bias = learned
    (values,) = given

    def back(error: Batch) -> tuple[list[Batch], list[Batch]]:
        return [error @ weight.T], [values.T @ error, error.sum(axis=0)]

    return values @ weight + bias, back


def _taps(
    window: Window, rows: int, columns: int
) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """For each element of a kernel, what all windows see of a padded map through it."""
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            top, left = y * window.dilation[0], x * window.dilation[1]
            down, right = window.stride
            yield (
                y,
                x,
                (
                    slice(None),
                    slice(top, top + (rows - 1) * down + 1, down),
                    slice(left, left + (columns - 1) * right + 1, right),
                ),
            )


def _padded(values: Batch, window: Window, fill: float = 0.0) -> Batch:
    top, left, bottom, right = window.padding
    if not any(window.padding):
        return values
    return np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)


def _cut(values: Batch, window: Window) -> Batch:
    """A padded map without its padding."""
    top, left, bottom, right = window.padding
    return values[:, top : values.shape[1] - bottom, left : values.shape[2] - right]


def _convolution(
    node: Convolution, learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    """As one product a group of the windows with the filters."""
    weight, bias = learned
    (values,) = given
    window, groups = node.window, node.groups
    rows, columns = window.output(values.shape[1], values.shape[2])
    kernel = window.kernel
    depth, count = weight.shape[2], weight.shape[3] // groups
    padded = _padded(values, window)
    seen = np.empty((len(values), rows, columns, *kernel, values.shape[3]), np.float32)
    for y, x, part in _taps(window, rows, columns):
        seen[:, :, :, y, x] = padded[part]
    pixels = len(values) * rows * columns

    def windows(group: int) -> Batch:
        part = seen[..., group * depth : (group + 1) * depth]
        return part.reshape(pixels, -1)

    def filters(group: int) -> Batch:
        return weight[..., group * count : (group + 1) * count].reshape(-1, count)

    sums = np.concatenate([windows(g) @ filters(g) for g in range(groups)], axis=1)

    def back(error: Batch) -> tuple[list[Batch], list[Batch]]:
        flat = error.reshape(pixels, -1)
        parts = [flat[:, g * count : (g + 1) * count] for g in range(groups)]
        shape = (*kernel, depth, count)
        slopes = [(windows(g).T @ part).reshape(shape) for g, part in enumerate(parts)]
        spread = np.concatenate(
            [
                (part @ filters(g).T).reshape(len(values), rows, columns, *kernel, depth)
                for g, part in enumerate(parts)
            ],
            axis=-1,
        )
        gradient = np.zeros_like(padded)
        for y, x, place in _taps(window, rows, columns):
            gradient[place] += spread[:, :, :, y, x]
        return [_cut(gradient, window)], [np.concatenate(slopes, axis=3), flat.sum(axis=0)]

    return (sums + bias).reshape(len(values), rows, columns, -1), back


def _max_pool(
    node: MaxPool, _learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    """The gradient goes to the first of equal values."""
    (values,) = given
    window = node.window
    rows, columns = window.output(values.shape[1], values.shape[2])
    padded = _padded(values, window, -np.inf)
    taps = list(_taps(window, rows, columns))
    result = padded[taps[0][2]].copy()
    for _, _, place in taps[1:]:
        np.maximum(result, padded[place], out=result)

    def back(error: Batch) -> tuple[list[Batch], list[Batch]]:
        gradient, left = np.zeros_like(padded), error.copy()
        for _, _, place in taps:
            mine = padded[place] == result
            gradient[place] += left * mine
            left *= ~mine
        return [_cut(gradient, window)], []

    return result, back


def _average_pool(
    node: AveragePool, _learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    (values,) = given
    window = node.window
    rows, columns = window.output(values.shape[1], values.shape[2])
    padded = _padded(values, window)
    taps = [place for _, _, place in _taps(window, rows, columns)]
    ones = np.ones((1, *values.shape[1:3], 1), np.float32)
    inside = _padded(ones, window, float(node.include_padding))
    share = np.float32(1.0) / np.sum([inside[place] for place in taps], axis=0)
    total = np.zeros((len(values), rows, columns, values.shape[3]), np.float32)
    for place in taps:
        total += padded[place]

    def back(error: Batch) -> tuple[list[Batch], list[Batch]]:
        gradient, part = np.zeros_like(padded), error * share
        for place in taps:
            gradient[place] += part
        return [_cut(gradient, window)], []

    return total * share, back


def _batch_norm(
    node: BatchNorm, learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    """With the statistics of the batch (Ioffe and Szegedy 2015)."""
    scale, shift = learned
    (values,) = given
    axes = tuple(range(values.ndim - 1))
    size = values.size // values.shape[-1]
    centred = values - values.mean(axis=axes)
    inverse = 1.0 / np.sqrt((centred**2).mean(axis=axes) + np.float32(node.epsilon))
    normal = centred * inverse

    def back(error: Batch) -> tuple[list[Batch], list[Batch]]:
        along, total = (error * normal).sum(axis=axes), error.sum(axis=axes)
        gradient = (error - (total + normal * along) / np.float32(size)) * (scale * inverse)
        return [gradient], [along, total]

    return normal * scale + shift, back


def _activate(
    node: Activate, _learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    """Every function of an activation, by its derivative."""
    (values,) = given
    result = np.asarray(node(values), np.float32)  # type: ignore[arg-type]
    if node.function in ("relu", "clip"):
        slope = result == values
    elif node.function == "tanh":
        slope = 1.0 - result**2
    elif node.function == "sigmoid":
        slope = result * (1.0 - result)
    else:
        slope = np.zeros_like(result)
    return result, lambda error: ([error * slope], [])


def _flatten(
    _node: Flatten, _learned: Sequence[Batch], given: Sequence[Batch]
) -> tuple[Batch, Backward]:
    (values,) = given
    return values.reshape(len(values), -1), lambda error: ([error.reshape(values.shape)], [])


def _add(_node: Add, _learned: Sequence[Batch], given: Sequence[Batch]) -> tuple[Batch, Backward]:
    first, second = given
    return first + second, lambda error: ([error, error], [])


FORWARD: dict[type[Node], Forward] = {
    Dense: _dense,
    Convolution: _convolution,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    BatchNorm: _batch_norm,
    Activate: _activate,
    Flatten: _flatten,
    Add: _add,
}
"""The operators that can be trained on the host."""
