"""Simpler networks that compute the same: what quantization need not know, folded away.

After :func:`fold` every value is a feature map (H, W, C) and these operators remain:
``Convolution``, ``TransposedConvolution``, ``MaxPool``, ``AveragePool``, ``Add``, ``Concat``,
``Shuffle``, ``LocalResponseNorm``, ``Activate``, and ``Softmax`` as the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.graph import (
    Activate,
    Dense,
    Flatten,
    Graph,
    Node,
    Unflatten,
    Value,
    plain_view,
)
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Convolution,
    Dropout,
    Pad,
    TransposedConvolution,
)
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["fold", "readers", "renamed"]

Shape = tuple[int, ...]

_LARGEST_REORDER = 1 << 12
"""Elements of a map that may become one pixel other than in a dense layer, which is free."""


def fold(graph: Graph) -> Graph:
    """The network without dropout, padding, normalization, dense layers and flattening.

    Raises
    ------
    InputError
        If a flattened map is used in a way that would need it in another order in memory.
    """
    nodes = _without_dropout(graph.nodes)
    shape = graph.input.shape
    source = Value(graph.input.name, _as_map(shape))
    nodes = _to_maps(Graph(graph.name, graph.input, nodes))
    nodes = _fold_padding(nodes)
    nodes = _fold_norms(nodes, source)
    return Graph(
        graph.name,
        source,
        nodes,
        _view(graph.input, graph.input_view),
        _view(graph.output, graph.output_view),
    )


def _view(value: Value, view: HostView | None) -> HostView | None:
    """A host's view of a value that becomes a map; of maps it is theirs."""
    return view or (plain_view(value) if len(value.shape) < 3 else None)


def readers(nodes: Sequence[Node]) -> Counter[str]:
    """How often each value is read."""
    return Counter(name for node in nodes for name in node.inputs)


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """An operator that reads and writes values by other names."""
    output = names.get(node.output, node.output)
    if isinstance(node, Add | Concat):
        inputs = tuple(names.get(name, name) for name in node.inputs)
        return replace(node, inputs=inputs, output=output)
    return replace(node, input=names.get(node.input, node.input), output=output)


def _without_dropout(nodes: Sequence[Node]) -> list[Node]:
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in nodes:
        made = renamed(node, names)
        if isinstance(made, Dropout):
            names[made.output] = made.input
        else:
            kept.append(made)
    return _ending_in(kept, names, nodes[-1].output)


def _ending_in(nodes: list[Node], names: Mapping[str, str], output: str) -> list[Node]:
    """The operators with the network's result under its own name, whatever became of its last."""
    last = names.get(output, output)
    if not nodes or last not in {node.output for node in nodes}:
        raise InputError(
            f"{output}: the network's result is its input; there is nothing to compute"
        )
    return [renamed(node, {last: output}) for node in nodes]


def _as_map(shape: Shape) -> tuple[int, int, int]:
    """The map that stands for a value."""
    padded = (1, 1, 1, *shape)[-3:] if len(shape) < 3 else shape
    if len(padded) != 3:
        raise InputError(f"a value of shape {shape} is not a feature map (H, W, C)")
    return padded[0], padded[1], padded[2]


def _to_maps(graph: Graph) -> list[Node]:
    """Without ``Flatten`` and ``Dense``; vectors of K numbers are maps (1, 1, K)."""
    shapes = {value.name: value.shape for value in graph.values}
    names: dict[str, str] = {}
    maps: dict[str, tuple[int, int, int]] = {graph.input.name: _as_map(graph.input.shape)}
    nodes: list[Node] = []

    def pixel(name: str) -> str:
        """Name of a value as one pixel, which costs a product with the identity matrix."""
        known = names.get(name, name)
        size = int(np.prod(maps[known]))
        if len(shapes[name]) != 1 or maps[known][:2] == (1, 1):
            return known
        if size > _LARGEST_REORDER:
            raise InputError(f"{name}: a flattened map of {size} elements can only be read densely")
        weight = np.eye(size).reshape(*maps[known], size)
        output = f"{name} as a pixel"
        if output not in maps:
            nodes.append(_whole(output, known, output, weight, np.zeros(size)))
            maps[output] = (1, 1, size)
        return output

    for node in graph.nodes:
        if isinstance(node, Flatten):
            names[node.output] = names.get(node.input, node.input)
            continue
        if isinstance(node, Unflatten):
            made: Node = _unflattened(node, pixel(node.input))
        elif isinstance(node, Dense):
            source = names.get(node.input, node.input)
            weight = node.weight.reshape(*maps[source], -1)
            made = _whole(node.name, source, node.output, weight, node.bias)
        elif len(shapes[node.output]) == 1 and not _is_elementwise(node):
            made = renamed(node, {name: pixel(name) for name in node.inputs})
        else:
            made = renamed(node, names)
        maps[made.output] = made.shape(*(maps[name] for name in made.inputs))[-3:]  # type: ignore[assignment]
        nodes.append(made)
    if (last := graph.output.name) in names:
        names[last] = pixel(last)
    return _ending_in(nodes, names, last)


def _unflattened(node: Unflatten, source: str) -> Node:
    """A vector as a map: a product with 0 and 1 for each pixel."""
    height, width, channels = node.sizes
    size = len(node.order)
    if size > _LARGEST_REORDER:
        raise InputError(
            f"{node.name}: a vector of {size} elements cannot become a map, only up to "
            f"{_LARGEST_REORDER}"
        )
    weight = np.zeros((height, width, size, channels))
    rows, columns, lanes = np.unravel_index(np.arange(size), node.sizes)
    weight[rows, columns, list(node.order), lanes] = 1.0
    window = Window((height, width), (height, width))
    return TransposedConvolution(node.name, source, node.output, weight, np.zeros(channels), window)


def _is_elementwise(node: Node) -> bool:
    """Whether an operator treats all elements alike, wherever they are."""
    return isinstance(node, Activate)


def _whole(name: str, source: str, output: str, weight: Floats, bias: Floats) -> Convolution:
    """A dense layer as a convolution whose kernel is its whole input."""
    kernel = (int(weight.shape[0]), int(weight.shape[1]))
    return Convolution(name, source, output, weight, bias, Window(kernel))


def _fold_padding(nodes: Sequence[Node]) -> list[Node]:
    """Zeros around a map become the padding of what reads it, where that can pad."""
    pads: dict[str, Pad] = {}
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Pad):
            if node.input in pads:
                inner = pads[node.input]
                node = replace(node, input=inner.input, padding=_sum(inner.padding, node.padding))
            pads[node.output] = node
        pad = pads.get(node.input) if not isinstance(node, Add | Concat | Pad) else None
        if isinstance(node, Convolution) and pad:
            window = _padded(node.window, pad)
            node = replace(node, input=pad.input, window=window)
        elif isinstance(node, AveragePool) and pad:
            window = _padded(node.window, pad)
            zeros = node.include_padding or not any(node.window.padding)
            if zeros and _sees_input(window):
                node = replace(node, input=pad.input, window=window, include_padding=True)
        result.append(node)
    read = {*readers(result), nodes[-1].output}
    return [node for node in result if not isinstance(node, Pad) or node.output in read]


def _sum(first: Shape, second: Shape) -> tuple[int, int, int, int]:
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def _padded(window: Window, pad: Pad) -> Window:
    return replace(window, padding=_sum(window.padding, pad.padding))


def _sees_input(window: Window) -> bool:
    """Whether no window lies in the padding alone."""
    extents = [(window.kernel[axis] - 1) * window.dilation[axis] + 1 for axis in (0, 1)]
    return all(window.padding[side] < extents[side % 2] for side in range(4))


def _fold_norms(nodes: Sequence[Node], source: Value) -> list[Node]:
    """Normalization becomes part of the product before it, else a product of its own."""
    uses = readers(nodes)
    shapes = {source.name: source.shape}
    result: list[Node] = []
    for node in nodes:
        made: Node = node
        if isinstance(node, BatchNorm):
            factor, offset = node.affine()
            place = _product_before(result, node.input, uses)
            if place is not None:
                made = _scaled(result.pop(place), factor, offset, node.output)
            else:
                made = _depthwise(node, factor, offset, Window((1, 1)))
        elif isinstance(node, Pad):
            channels = shapes[node.input][2]
            window = Window((1, 1), padding=node.padding)
            made = _depthwise(node, np.ones(channels), np.zeros(channels), window)
        shapes[made.output] = made.shape(*(shapes[name] for name in made.inputs))
        result.append(made)
    return result


def _product_before(nodes: Sequence[Node], name: str, uses: Mapping[str, int]) -> int | None:
    """Place of the product that writes a value which nothing else reads."""
    if uses[name] != 1:
        return None
    for place, node in enumerate(nodes):
        if node.output == name and isinstance(node, Convolution | TransposedConvolution):
            return place
    return None


def _scaled(node: Node, factor: Floats, offset: Floats, output: str) -> Node:
    """A product whose results are scaled and shifted, a factor and offset each channel."""
    assert isinstance(node, Convolution | TransposedConvolution)
    bias = node.bias * factor + offset
    if isinstance(node, Convolution):
        return replace(node, output=output, weight=node.weight * factor, bias=bias)
    kernel, groups = node.weight.shape[:2], node.groups
    split = node.weight.reshape(*kernel, groups, -1, node.weight.shape[3])
    weight = (split * factor.reshape(groups, 1, -1)).reshape(node.weight.shape)
    return replace(node, output=output, weight=weight, bias=bias)


def _depthwise(node: BatchNorm | Pad, factor: Floats, offset: Floats, window: Window) -> Node:
    weight = factor.reshape(1, 1, 1, -1)
    groups = len(factor)
    return Convolution(node.name, node.input, node.output, weight, offset, window, groups)
