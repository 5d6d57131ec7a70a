"""NIR files (Pedersen et al. 2024) to networks of one time step a run, whose potentials are state.

Time constants become what a step of ``time_step`` seconds leaves, by Euler's method: a potential v
becomes ``v + time_step / tau * (v_leak - v + r * I)``, then spikes above its threshold, then is
reset. A CubaLIF's current is computed first, in the same way. Potentials are kept in the unit of
what neurons read, so that nothing has to be scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from math import inf, prod
from pathlib import Path
from typing import Any

import nir
import numpy as np

from pulsarray.compiler.arguments import file_path, number
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["import_nir"]


def import_nir(path: Path | str, *, time_step: float = 1e-4) -> Graph:
    """Read a network of Affine, Linear, Conv2d, SumPool2d, Flatten, LIF and CubaLIF.

    Parameters
    ----------
    path
        The file.
    time_step
        Seconds of a run.

    Raises
    ------
    InputError
        If the file cannot be read; has other nodes, loops, or neurons of a layer that differ. Nodes
        are named.
    """
    path, step = file_path(path), number(time_step, "time_step")
    if step <= 0.0:
        raise InputError(f"time_step: must be above 0, not {step}")
    try:
        file = nir.read(str(path))
    except Exception as error:  # of the package, on whatever a file may have
        raise InputError(f"{path}: cannot read: {' '.join(str(error).split())}") from None
    try:
        return _Network(path.stem, file, step).graph()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _Network:
    """A network while it is made.

    ``names`` has the operator of each node, ``shapes`` its shape in the file, ``places`` where
    the elements of flattened maps are.
    """

    def __init__(self, name: str, file: Any, step: float) -> None:
        self.file, self.step = file, step
        self.before: dict[str, list[str]] = {node: [] for node in file.nodes}
        for source, target in file.edges:
            self.before[target].append(source)
        kinds = {node: type(what).__name__ for node, what in file.nodes.items()}
        self.input, self.output = (self._end(kinds, kind) for kind in ("Input", "Output"))
        known = {*_NODES, "Input", "Output"}
        if other := {node: kind for node, kind in kinds.items() if kind not in known}:
            told = ", ".join(f"node {node} ({kind})" for node, kind in other.items())
            raise InputError(f"{told}: not supported, only {', '.join(_NODES)}")
        shape = _sizes(file.nodes[self.input].input_type["input"])
        self.shapes: dict[str, Shape] = {self.input: shape}
        self.places: dict[str, Array] = {}
        self.names = {self.input: "input"}
        self.net = Builder(name, _as_map(shape))

    def _end(self, kinds: Mapping[str, str], kind: str) -> str:
        names = [node for node, other in kinds.items() if other == kind]
        if len(names) != 1:
            raise InputError(f"needs one node of kind {kind}, not {len(names)}")
        return names[0]

    def graph(self) -> Graph:
        """The checked network."""
        try:
            order = [*TopologicalSorter(self.before).static_order()]
        except CycleError as error:
            raise InputError(
                f"a loop through {' -> '.join(error.args[1])}: not supported"
            ) from None
        for node in order:
            if node not in (self.input, self.output):
                self._place(node)
        last = self._source(self.output)
        made = self.net.output("output", source=self.names[last]).build()
        views = {"input": self._view(self.input), "output": self._view(last)}
        return replace(made, views={name: view for name, view in views.items() if view})

    def _view(self, node: str) -> HostView | None:
        shape = self.shapes[node]
        if len(shape) == 3:
            return HostView.channels_first(_as_map(shape))
        places = self.places.get(node)
        if places is None:
            return None
        if (view := HostView.of(places)) is None:
            raise InputError(
                f"node {node}: its elements are in an order that no loops step through"
            )
        return view

    def _source(self, node: str) -> str:
        """The one node that a node reads."""
        sources = self.before[node]
        if len(sources) != 1:
            raise InputError(f"node {node}: must have one edge that ends there, not {len(sources)}")
        return sources[0]

    def _place(self, node: str) -> None:
        source, what = self._source(node), self.file.nodes[node]
        shape = self.shapes[source]
        name = _NODES[type(what).__name__](self, node, what, shape)
        self.names[node] = name
        self.shapes.setdefault(node, shape)
        if source in self.places and self.shapes[node] == shape:
            self.places[node] = self.places[source]

    def read(self, node: str) -> str:
        """Name of the operator that a node reads."""
        return self.names[self._source(node)]

    def order(self, node: str) -> Array | None:
        """Where the elements are that it reads, if elsewhere than in the file."""
        return self.places.get(self._source(node))


def _affine(network: _Network, node: str, what: Any, shape: Shape) -> str:
    matrix = np.asarray(what.weight, np.float64)
    if matrix.ndim != 2 or shape != matrix.shape[1:]:
        raise InputError(f"node {node}: weight {matrix.shape} does not fit {shape}")
    if (places := network.order(node)) is not None:
        turned = np.empty_like(matrix)
        turned[:, places] = matrix
        matrix = turned
    bias = np.asarray(getattr(what, "bias", np.zeros(len(matrix))), np.float64)
    network.shapes[node] = (len(matrix),)
    return network.net.dense(matrix.T, bias, name=node, source=network.read(node)).last


def _convolution(network: _Network, node: str, what: Any, shape: Shape) -> str:
    weight = np.asarray(what.weight, np.float64).transpose(2, 3, 1, 0)
    return _window(network, node, what, shape, weight, np.asarray(what.bias, np.float64))


def _sum_pool(network: _Network, node: str, what: Any, shape: Shape) -> str:
    """A convolution of each channel by itself."""
    weight = np.ones((*_sizes(what.kernel_size), 1, shape[0]))
    return _window(network, node, what, shape, weight, np.zeros(shape[0]), shape[0])


def _window(
    network: _Network,
    node: str,
    what: Any,
    shape: Shape,
    weight: Array,
    bias: Array,
    groups: int = 0,
) -> str:
    groups = groups or int(what.groups)
    if len(shape) != 3 or shape[0] != weight.shape[2] * groups:
        raise InputError(f"node {node}: needs maps (C, H, W) that fit its weight, not {shape}")
    dilation = _pair(getattr(what, "dilation", (1, 1)))
    sides = _padding(node, what, weight.shape[:2], dilation)
    stride = _pair(what.stride)
    network.net.convolution(
        weight, bias, stride, sides, dilation, groups, node, source=network.read(node)
    )
    kernel = weight.shape[0], weight.shape[1]
    sizes = Window(kernel, stride, sides, dilation).output(*shape[1:])
    network.shapes[node] = (weight.shape[3], *sizes)
    return network.net.last


def _padding(
    node: str, what: Any, kernel: Shape, dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    if isinstance(what.padding, str):
        if what.padding == "valid":
            return 0, 0, 0, 0
        if _pair(what.stride) != (1, 1):
            raise InputError(f"node {node}: padding 'same' needs a stride of 1")
        whole = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        before = [size // 2 for size in whole]
        return before[0], before[1], whole[0] - before[0], whole[1] - before[1]
    rows, columns = _pair(what.padding)
    return rows, columns, rows, columns


def _flatten(network: _Network, node: str, what: Any, shape: Shape) -> str:
    whole = int(what.start_dim) in (0, -len(shape)) and int(what.end_dim) in (-1, len(shape) - 1)
    if not whole:
        raise InputError(
            f"node {node}: must flatten all of a sample (start_dim 0), "
            f"not {what.start_dim} to {what.end_dim} of {shape}"
        )
    network.shapes[node] = (prod(shape),)
    if len(shape) == 3:
        numbers = np.arange(prod(shape)).reshape(_as_map(shape))
        network.places[node] = numbers.transpose(2, 0, 1).reshape(-1)
    return network.net.flatten(name=node, source=network.read(node)).last


def _lif(network: _Network, node: str, what: Any, shape: Shape) -> str:
    share = network.step / _one(node, what, "tau", least=network.step)
    unit = share * _one(node, what, "r", least=0.0)
    return _neurons(network, node, what, shape, share, unit, network.read(node))


def _current_lif(network: _Network, node: str, what: Any, shape: Shape) -> str:
    """With a current that leaks by itself before the potential."""
    net, synapse = network.net, network.step / _one(node, what, "tau_syn", least=network.step)
    share = network.step / _one(node, what, "tau_mem", least=network.step)
    unit = synapse * _one(node, what, "w_in", least=0.0) * share * _one(node, what, "r", least=0.0)
    current = net.leaky(_as_map(shape), 1.0 - synapse, f"{node}.current", source=network.read(node))
    return _neurons(network, node, what, shape, share, unit, current.last)


def _neurons(
    network: _Network, node: str, what: Any, shape: Shape, share: float, unit: float, source: str
) -> str:
    """Potentials in units of what they read."""
    threshold, reset = (_one(node, what, name) / unit for name in ("v_threshold", "v_reset"))
    drift = share * _one(node, what, "v_leak") / unit
    net = network.net.lif(
        _as_map(shape), 1.0 - share, threshold, reset, name=node, drift=drift, source=source
    )
    return net.last


def _one(node: str, what: Any, name: str, least: float = -inf) -> float:
    """A parameter, which all neurons of a layer must share."""
    values = np.asarray(getattr(what, name), np.float64)
    if not values.size or (values != values.flat[0]).any():
        raise InputError(f"node {node}: {name} must be the same for all of its neurons")
    if not values.flat[0] > least:
        raise InputError(f"node {node}: {name} must be above {least:g}, not {values.flat[0]:g}")
    return float(values.flat[0])


def _sizes(values: Any) -> Shape:
    return tuple(int(size) for size in np.asarray(values).reshape(-1))


def _pair(values: Any) -> tuple[int, int]:
    sizes = _sizes(values)
    return sizes[0], sizes[-1]


def _as_map(shape: Shape) -> Shape:
    """(H, W, C) of (C, H, W); vectors as they are."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


_NODES: Mapping[str, Callable[[_Network, str, Any, Shape], str]] = {
    "Affine": _affine,
    "Linear": _affine,
    "Conv2d": _convolution,
    "SumPool2d": _sum_pool,
    "Flatten": _flatten,
    "LIF": _lif,
    "CubaLIF": _current_lif,
}
"""What each node becomes."""
