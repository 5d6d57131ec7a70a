"""A short way to write a network in Python.

>>> graph = Builder("xor", 2).dense(weight1, bias1).tanh().dense(weight2, bias2).sigmoid().build()
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate, Dense, Flatten, Graph, Node, Softmax, Value
from pulsarray.errors import InputError

__all__ = ["Builder"]


class Builder:
    """Collects operators one after the other; every method returns the builder.

    Parameters
    ----------
    name
        Name of the network.
    shape
        Shape of one input sample, or its number of elements.
    input_name, output_name
        Names of the input and output tensors.
    """

    def __init__(
        self,
        name: str,
        shape: int | tuple[int, ...],
        input_name: str = "input",
        output_name: str = "output",
    ) -> None:
        self.name = name
        self._input = Value(input_name, (shape,) if isinstance(shape, int) else tuple(shape))
        self._output_name = output_name
        self._makers: list[tuple[type[Node], str, dict[str, object]]] = []

    def dense(
        self, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None, name: str = ""
    ) -> Builder:
        """``x @ weight + bias``: weight of shape (K, N), bias (N,) or none."""
        matrix = _floats(weight, "weight")
        if matrix.ndim != 2:
            raise InputError(f"{self.name}: weight must have shape (K, N), not {matrix.shape}")
        vector = np.zeros(matrix.shape[1]) if bias is None else _floats(bias, "bias")
        return self._add(Dense, name or "dense", weight=matrix, bias=vector)

    def relu(self, name: str = "") -> Builder:
        """Negative values become 0."""
        return self._add(Activate, name or "relu", function="relu")

    def clip(self, low: float, high: float, name: str = "") -> Builder:
        """Values limited to low..high."""
        return self._add(Activate, name or "clip", function="clip", low=low, high=high)

    def sigmoid(self, name: str = "") -> Builder:
        """Logistic function, 1 / (1 + exp(-x))."""
        return self._add(Activate, name or "sigmoid", function="sigmoid")

    def tanh(self, name: str = "") -> Builder:
        """Hyperbolic tangent."""
        return self._add(Activate, name or "tanh", function="tanh")

    def step(self, name: str = "") -> Builder:
        """1 for positive values, else 0 (Heaviside)."""
        return self._add(Activate, name or "step", function="step")

    def flatten(self, name: str = "") -> Builder:
        """One dimension."""
        return self._add(Flatten, name or "flatten")

    def softmax(self, name: str = "") -> Builder:
        """Softmax; must be the last."""
        return self._add(Softmax, name or "softmax")

    def _add(self, kind: type[Node], name: str, **fields: object) -> Builder:
        taken = {given for _, given, _ in self._makers}
        numbered = (f"{name}{number}" for number in range(1, len(taken) + 2))
        unique = name if name not in taken else next(n for n in numbered if n not in taken)
        self._makers.append((kind, unique, fields))
        return self

    def build(self) -> Graph:
        """The checked network.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        nodes: list[Node] = []
        reads = self._input.name
        for place, (kind, name, fields) in enumerate(self._makers):
            last = place == len(self._makers) - 1
            writes = self._output_name if last else f"{name}_out"
            nodes.append(kind(name=name, input=reads, output=writes, **fields))  # type: ignore[arg-type]
            reads = writes
        return Graph(self.name, self._input, nodes)


def _floats(values: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: must be an array of numbers") from None
