"""Networks as the compiler sees them: typed operators on named values, each after what it reads.

Shapes leave out the batch, which a program is compiled for. Everything is checked when a
:class:`Graph` is made, so the passes after it need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, prod

import numpy as np

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Convolution,
    Dropout,
    LocalResponseNorm,
    MaxPool,
    OneInput,
    Pad,
    Shuffle,
    TransposedConvolution,
)
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = [
    "FUNCTIONS",
    "Activate",
    "Dense",
    "Flatten",
    "Graph",
    "Node",
    "Softmax",
    "Unflatten",
    "Value",
    "plain_view",
]

FUNCTIONS = ("relu", "clip", "sigmoid", "tanh", "step")
"""Activation functions; the first two are exact limits, the others become tables."""


@dataclass(frozen=True)
class Value:
    """A tensor between operators.

    Parameters
    ----------
    name
        Its name.
    shape
        Its shape without the batch.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return prod(self.shape)


def plain_view(value: Value) -> HostView | None:
    """What a host's view of a value is by itself; None for vectors, which have no other shape."""
    return HostView.plain(value.shape) if len(value.shape) > 1 else None


@dataclass(frozen=True, eq=False)
class Dense(OneInput):
    """``output = input @ weight + bias``: weight (K, N), bias (N,), finite float64."""

    name: str
    input: str
    output: str
    weight: Floats
    bias: Floats

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result.

        Raises
        ------
        InputError
            If weight, bias and input do not fit.
        """
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise InputError(f"{self.name}: weight must have shape (K, N), not {self.weight.shape}")
        k, n = self.weight.shape
        if self.bias.shape != (n,):
            raise InputError(f"{self.name}: bias must have shape ({n},), not {self.bias.shape}")
        if given != (k,):
            raise InputError(f"{self.name}: input must have shape ({k},), not {given}")
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise InputError(f"{self.name}: weight and bias must be finite numbers")
        return (n,)


@dataclass(frozen=True)
class Activate(OneInput):
    """An element-wise function of :data:`FUNCTIONS`; ``low`` and ``high`` are clip's limits."""

    name: str
    input: str
    output: str
    function: str
    low: float = -inf
    high: float = inf

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result.

        Raises
        ------
        InputError
            If the function is unknown or the limits are not ordered.
        """
        if self.function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise InputError(f"{self.name}: function must be one of {known}, not {self.function!r}")
        if not self.low <= self.high:
            raise InputError(f"{self.name}: clip needs low <= high, not {self.low} and {self.high}")
        return given

    @property
    def is_identity(self) -> bool:
        """Whether it changes no real value: in a quantized network a place of rounding."""
        return self.function == "clip" and (self.low, self.high) == (-inf, inf)

    def __call__(self, values: Floats) -> Floats:
        """The function of real values, element by element."""
        if self.function == "relu":
            return np.maximum(values, 0.0)
        if self.function == "clip":
            return np.clip(values, self.low, self.high)
        if self.function == "tanh":
            return np.tanh(values)
        if self.function == "step":
            return np.where(values > 0.0, 1.0, 0.0)
        return 0.5 * (1.0 + np.tanh(0.5 * values))


@dataclass(frozen=True)
class Flatten(OneInput):
    """All of a sample's elements in one dimension, in order."""

    name: str
    input: str
    output: str

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result."""
        return (prod(given),)


@dataclass(frozen=True)
class Unflatten(OneInput):
    """A vector as a map (H, W, C), of which element i, in order, is the vector's ``order[i]``."""

    name: str
    input: str
    output: str
    sizes: tuple[int, ...]
    order: tuple[int, ...]

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result.

        Raises
        ------
        InputError
            If the input is no vector of so many elements, or the order no permutation of them.
        """
        if len(self.sizes) != 3 or given != (prod(self.sizes),):
            raise InputError(f"{self.name}: a value of shape {given} cannot become {self.sizes}")
        if sorted(self.order) != list(range(given[0])):
            raise InputError(f"{self.name}: order must be a permutation of {given[0]} elements")
        return self.sizes


@dataclass(frozen=True)
class Softmax(OneInput):
    """Softmax over the last dimension; only as the last operator: the host applies it."""

    name: str
    input: str
    output: str

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result."""
        return given

    def __call__(self, values: Floats) -> Floats:
        """Softmax of real values."""
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


Node = (
    Dense
    | Activate
    | Flatten
    | Unflatten
    | Softmax
    | Convolution
    | TransposedConvolution
    | MaxPool
    | AveragePool
    | BatchNorm
    | Add
    | Concat
    | Pad
    | Dropout
    | Shuffle
    | LocalResponseNorm
)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: one input, operators, one output, which the last operator writes.

    Parameters
    ----------
    name
        Its name.
    input
        The input value.
    nodes
        The operators, each after those whose results it reads.
    input_view, output_view
        Shape and order in which a host gives a sample and takes its result; None where they are
        those of the value.

    Members
    -------
    values
        The input, then the result of each operator.

    Raises
    ------
    InputError
        If names, shapes or parameters do not fit; the text names the operator.
    """

    name: str
    input: Value
    nodes: Sequence[Node]
    input_view: HostView | None = None
    output_view: HostView | None = None
    values: tuple[Value, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.input.shape or min(self.input.shape) < 1:
            raise InputError(f"{self.input.name}: shape must be positive, not {self.input.shape}")
        if not self.nodes:
            raise InputError(f"{self.name}: a network needs at least one operator")
        values = {self.input.name: self.input}
        read: set[str] = set()
        for place, node in enumerate(self.nodes):
            for name in node.inputs:
                if name not in values:
                    raise InputError(f"{node.name}: reads {name!r}, which nothing before it writes")
            if node.output in values:
                raise InputError(f"{node.name}: {node.output!r} is written twice")
            if isinstance(node, Softmax) and place < len(self.nodes) - 1:
                raise InputError(f"{node.name}: Softmax is only possible as the last operator")
            read.update(node.inputs)
            shape = node.shape(*(values[name].shape for name in node.inputs))
            values[node.output] = Value(node.output, shape)
        object.__setattr__(self, "values", tuple(values.values()))
        for node in self.nodes[:-1]:
            if node.output not in read:
                raise InputError(f"{node.name}: nothing reads its result {node.output!r}")

    @property
    def output(self) -> Value:
        """The network's result."""
        return self.values[-1]

    @property
    def is_chain(self) -> bool:
        """Whether every operator reads what the one before it wrote, and nothing else."""
        names = [value.name for value in self.values]
        return all(n.inputs == (name,) for n, name in zip(self.nodes, names, strict=False))

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        kinds = (Dense, Convolution, TransposedConvolution)
        learned = sum(n.weight.size + n.bias.size for n in self.nodes if isinstance(n, kinds))
        norms = sum(2 * n.scale.size for n in self.nodes if isinstance(n, BatchNorm))
        return learned + norms
