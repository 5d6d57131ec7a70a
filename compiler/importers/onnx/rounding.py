"""Where a quantized ONNX file rounds: each QuantizeLinear is an operator of its own.

A rounding is an ``Activate`` that changes no real value, whose result is noted to be rounded.
Passes that fold and fuse operators therefore cannot move anything across it; what removes one
shows that it changes no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate, Flatten, Node, Softmax
from pulsarray.compiler.importers.onnx.codes import Codes
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.quantization.fold import renamed
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.spatial import Concat, MaxPool, Pad, Shuffle
from pulsarray.errors import InputError

__all__ = ["QuantizedNetwork", "without_input_rounding"]

Ints = npt.NDArray[np.int64]


class QuantizedNetwork(Network):
    """A network of which some values are known to be rounded.

    Members
    -------
    rounded
        Quantization of values of the graph.
    codes
        Constants that are dequantized, by name.
    peaks
        By product: the largest magnitude among the codes of each result's weights, (N,).
    code_types
        Type of what the file has in integers: results of QuantizeLinear and of operators on codes.
    """

    rounded: dict[str, Quantization]
    codes: dict[str, Codes]
    peaks: dict[str, Ints]
    code_types: dict[str, str]

    def prepare(self) -> None:
        """Start with nothing known."""
        self.rounded, self.codes, self.peaks, self.code_types = {}, {}, {}, {}
        self._chosen: dict[str, str] = {}
        self._roundings: dict[tuple[str, Quantization], Tensor] = {}

    @property
    def folds_later(self) -> bool:
        """Factors and offsets wait for what is rounded between."""
        return True

    def emit(self, node: Node, rank: int = 3) -> Tensor:
        """Put an operator at the end; its result in the usual order."""
        if isinstance(node, MaxPool | Pad | Shuffle):
            self._chosen[node.output] = node.input
        elif isinstance(node, Concat):
            ways = {self.quantization_of(name) for name in node.inputs}
            if len(ways) == 1 and None not in ways:
                self._chosen[node.output] = node.inputs[0]
        return super().emit(node, rank)

    def quantization_of(self, value: str) -> Quantization | None:
        """Quantization of a value; that of its origin where its elements are all from there.

        Zero is a code of every quantization, so padding is, too.
        """
        origin = self.origin(value) or self._chosen.get(value)
        if value not in self.rounded and origin is not None:
            return self.quantization_of(origin)
        return self.rounded.get(value)

    def round(self, call: Call, name: str, to: Quantization) -> None:
        """Round a tensor to codes, as the result of an operator.

        What has these codes already is the same after another rounding; two roundings of one
        tensor to the same codes are one.
        """
        tensor, output = self.tensor(name, call.where), call.outputs[0]
        known = self.quantization_of(tensor.value)
        if isinstance(self._producer(tensor.value), Softmax) and known is None:
            self.rounded[tensor.value] = known = to
        if known == to:
            self.define(output, tensor)
            return
        if (name, to) not in self._roundings:
            value = self.fresh(output)
            node = Activate(self.label(call), tensor.value, value, "clip", -inf, inf)
            self.elementwise(call, tensor, node)
            self.rounded[value] = to
            self._roundings[name, to] = self.tensor(output, call.where)
        self.define(output, self._roundings[name, to])

    def _producer(self, value: str) -> Node | None:
        return next((node for node in reversed(self.nodes) if node.output == value), None)


def without_input_rounding(
    nodes: Sequence[Node], source: str, rounded: Mapping[str, Quantization]
) -> tuple[list[Node], Quantization]:
    """The operators without the rounding of the network's input, and what that is.

    Raises
    ------
    InputError
        If the input is used before it is rounded, or rounded in two ways.
    """
    views, names, ways = {source}, dict[str, str](), dict[Quantization, str]()
    kept: list[Node] = []
    for node in nodes:
        made = renamed(node, names)
        if not views.intersection(node.inputs):
            kept.append(made)
        elif isinstance(node, Flatten | Shuffle):
            views.add(node.output)
            kept.append(made)
        elif isinstance(node, Activate) and node.output in rounded and node.is_identity:
            names[node.output] = made.inputs[0]
            ways[rounded[node.output]] = node.name
        else:
            raise InputError(f"input {source}: is not quantized before it is used, by {node.name}")
    if len(ways) != 1:
        texts = (f"{name} (scale {to.scale:.6g}, {to.zero_point})" for to, name in ways.items())
        raise InputError(f"input {source}: must be rounded in one way, not in {', '.join(texts)}")
    return kept, next(iter(ways))
