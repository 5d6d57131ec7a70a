"""The data path of an ONNX graph while it is imported: a chain of operators, and constants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Floats, Node, Value
from pulsarray.errors import InputError

__all__ = ["Chain"]


class Chain:
    """Operators from the input to some value, and the constants that they may read.

    Parameters
    ----------
    source
        The network's input.
    constants
        Initializers by name.

    Members
    -------
    end, shape
        Name and shape (without the batch) of the value at the end.
    nodes
        The operators.
    """

    def __init__(self, source: Value, constants: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self.end, self.shape = source.name, source.shape
        self.nodes: list[Node] = []
        self._constants = dict(constants)
        self._aliases: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        """The name that a name stands for."""
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def alias(self, name: str, known: str) -> None:
        """Make a name stand for another."""
        self._aliases[name] = known

    def define(self, name: str, value: npt.NDArray[np.generic]) -> None:
        """Add a constant."""
        self._constants[name] = value

    def constant(self, name: str, where: str, what: str) -> Floats:
        """A constant operand as float64."""
        resolved = self.resolve(name)
        if resolved not in self._constants:
            raise InputError(f"{where}: {what} {name!r} must be a constant")
        value = self._constants[resolved]
        if value.dtype.kind in "OSUc":
            raise InputError(f"{where}: {what} {name!r} must be real numbers, not {value.dtype}")
        return np.asarray(value, np.float64)

    def matrix(self, name: str, where: str) -> Floats:
        """A constant weight of shape (K, N)."""
        weight = self.constant(name, where, "weight")
        if weight.ndim != 2:
            raise InputError(f"{where}: weight {name!r} must be a matrix, not {weight.shape}")
        return weight

    def is_constant(self, name: str) -> bool:
        """Whether a value is known at compile time."""
        return self.resolve(name) in self._constants

    def take(self, name: str, where: str) -> None:
        """Check that an operator reads the end of the chain."""
        if self.resolve(name) != self.end:
            raise InputError(f"{where}: only chains are supported; it reads {name!r}")

    def append(self, node: Node) -> None:
        """Put an operator at the end."""
        self.shape = node.shape(self.shape)
        self.nodes.append(node)
        self.end = node.output
