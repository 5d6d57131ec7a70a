"""Where a quantized ONNX file rounds: each QuantizeLinear is an operator of its own.

A rounding is a ``Clip`` without limits, whose result is noted to be rounded.
Passes that fold and fuse operators therefore cannot move anything across it; what removes one
shows that it changes no value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.onnx.codes import Codes
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.partly import PartlyFloat
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.passes.quantize.rules import keeps_codes
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

    rounded: dict[str, Affine8]
    codes: dict[str, Codes]
    peaks: dict[str, Ints]
    code_types: dict[str, str]

    def prepare(self) -> None:
        """Start with nothing known."""
        self.rounded, self.codes, self.peaks, self.code_types = {}, {}, {}, {}
        self._chosen: dict[str, str] = {}
        self._roundings: dict[tuple[str, Affine8], Tensor] = {}

    @property
    def folds_later(self) -> bool:
        """Factors and offsets wait for what is rounded between."""
        return True

    def emit(
        self,
        name: str,
        op: Operator,
        sources: Sequence[str],
        output: str,
        parameters: Mapping[str, Array] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> Tensor:
        """Put an operator at the end; its result in the usual order."""
        ways = {self.quantization_of(source) for source in sources}
        alike = len(sources) == 1 or (len(ways) == 1 and None not in ways)
        if keeps_codes(op) and alike:
            self._chosen[output] = sources[0]
        return super().emit(name, op, sources, output, parameters, constants)

    def quantization_of(self, value: str) -> Affine8 | None:
        """Quantization of a value; that of its origin where its elements are all from there.

        Zero is a code of every quantization, so padding is, too.
        """
        origin = self.origin(value) or self._chosen.get(value)
        if value not in self.rounded and origin is not None:
            return self.quantization_of(origin)
        return self.rounded.get(value)

    def round(self, call: Call, name: str, to: Affine8) -> None:
        """Round a tensor to codes, as the result of an operator.

        What has these codes already is the same after another rounding; two roundings of one
        tensor to the same codes are one.
        """
        tensor, output = self.tensor(name, call.where), call.outputs[0]
        known = self.quantization_of(tensor.value)
        producer = self._producer(tensor.value)
        if producer is not None and producer.op.kind is Kind.HOST and known is None:
            self.rounded[tensor.value] = known = to
        if known == to:
            self.define(output, tensor)
            return
        if (name, to) not in self._roundings:
            value = self.fresh(output)
            made = self.emit(self.label(call), Clip(), (tensor.value,), value)
            self.elementwise(call, tensor, made)
            self.rounded[value] = to
            self._roundings[name, to] = self.tensor(output, call.where)
        self.define(output, self._roundings[name, to])

    def _producer(self, value: str) -> Node | None:
        return next((node for node in reversed(self.nodes) if node.output == value), None)


def without_input_rounding(
    nodes: Sequence[Node], source: str, rounded: Mapping[str, Affine8], outputs: Collection[str]
) -> tuple[list[Node], Affine8]:
    """The operators without the rounding of one of the network's inputs, and what that is.

    One whose result is an output stays, too.

    Raises
    ------
    PartlyFloat
        If the input is used before it is rounded.
    InputError
        If it is rounded in two ways.
    """
    views, names, ways = {source}, dict[str, str](), dict[Affine8, str]()
    kept: list[Node] = []
    for node in nodes:
        made = node.renamed(names)
        if not views.intersection(node.inputs):
            kept.append(made)
        elif node.op.only_moves and len(node.inputs) == 1:
            views.add(node.output)
            kept.append(made)
        elif node.output in rounded and node.op.is_identity:
            names[node.output] = made.inputs[0]
            ways[rounded[node.output]] = node.name
            kept += [made] if node.output in outputs else []
        else:
            raise PartlyFloat(f"input {source}: is not quantized before it is used, by {node.name}")
    if len(ways) != 1:
        texts = (f"{name} (scale {to.scale:.6g}, {to.zero})" for to, name in ways.items())
        raise InputError(f"input {source}: must be rounded in one way, not in {', '.join(texts)}")
    return kept, next(iter(ways))
