"""Quantization as an ONNX file has it: codes of int8 or uint8, in int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Floats, Node
from pulsarray.compiler.importers.onnx_file import Call
from pulsarray.compiler.importers.onnx_tensors import Network, Tensor
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.spatial import MaxPool, Shuffle
from pulsarray.errors import InputError

__all__ = ["Codes", "QuantizedNetwork", "constant_codes", "quantization"]

Ints = npt.NDArray[np.int64]

_KINDS = {"int8": 0, "uint8": -128}
"""Types of codes, and what makes them int8."""
_TINIEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Codes:
    """A quantized constant.

    Parameters
    ----------
    codes
        The codes less their zero point.
    scale
        Shape (1,), or one scale each place along the axis.
    axis
        The axis of the scales.
    """

    codes: Ints
    scale: Floats
    axis: int

    @property
    def values(self) -> Floats:
        """Real values."""
        if self.scale.size == 1:
            return np.asarray(self.codes * self.scale[0])
        shape = [1] * self.codes.ndim
        shape[self.axis] = self.scale.size
        return np.asarray(self.codes * self.scale.reshape(shape))


class QuantizedNetwork(Network):
    """A network of which some values are known to be rounded.

    Members
    -------
    rounded
        Quantization of values of the graph, the input included.
    codes
        Constants that are dequantized, by name.
    weight_scales
        By operator: scale of its weights, (1,) or (N,).
    biases
        By operator: its bias in units of its sums, where the file has it so.
    """

    rounded: dict[str, Quantization]
    codes: dict[str, Codes]
    weight_scales: dict[str, Floats]
    biases: dict[str, Ints]

    def prepare(self) -> None:
        """Start with nothing known."""
        self.rounded, self.codes, self.weight_scales, self.biases = {}, {}, {}, {}
        self._chosen: dict[str, str] = {}

    def emit(self, node: Node) -> Tensor:
        """Put an operator at the end; its result in the usual order."""
        if isinstance(node, MaxPool | Shuffle):
            self._chosen[node.output] = node.input
        return super().emit(node)

    def quantization_of(self, value: str) -> Quantization | None:
        """Quantization of a value; that of its origin where its elements are all from there."""
        origin = self.origin(value) or self._chosen.get(value)
        if value not in self.rounded and origin is not None:
            return self.quantization_of(origin)
        return self.rounded.get(value)


def quantization(network: Network, call: Call, scale: str, zero: str) -> Quantization:
    """Quantization of a map, from the names of its scale and zero point.

    Raises
    ------
    InputError
        If it is not one for the whole map, in int8 or uint8.
    """
    scales = network.constant(scale, call.where, "scale")
    if scales.size != 1:
        raise InputError(f"{call.where}: a map must have one scale, not {scales.size}")
    number = scales.item()
    if not (np.isfinite(number) and number >= _TINIEST):
        raise InputError(f"{call.where}: scale must be a positive number, not {number}")
    if not zero:
        return Quantization(number, _KINDS["uint8"])
    zeros = network.raw(zero, call.where, "zero point")
    if zeros.size != 1 or str(zeros.dtype) not in _KINDS:
        raise InputError(
            f"{call.where}: zero point {zero!r} must be one int8 or uint8 number, "
            f"not {zeros.size} of {zeros.dtype}"
        )
    return Quantization(number, int(zeros.item()) + _KINDS[str(zeros.dtype)])


def constant_codes(
    network: Network, call: Call, name: str, scale: str, zero: str, axis: int
) -> Codes:
    """A quantized constant; of int8 or uint8 (weights) or int32 (biases).

    Raises
    ------
    InputError
        If type, shape or scale is not possible.
    """
    codes = network.raw(name, call.where, "weight")
    kind = str(codes.dtype)
    if kind not in (*_KINDS, "int32"):
        raise InputError(f"{call.where}: {name!r} must be int8, uint8 or int32, not {kind}")
    scales = network.constant(scale, call.where, "scale").reshape(-1)
    zeros = np.zeros(1, np.int64)
    if zero:
        given = network.raw(zero, call.where, "zero point")
        if str(given.dtype) != kind:
            raise InputError(f"{call.where}: zero point {zero!r} must be {kind}, not {given.dtype}")
        zeros = given.astype(np.int64).reshape(-1)
    if not (np.isfinite(scales).all() and scales.size and float(scales.min()) >= _TINIEST):
        raise InputError(f"{call.where}: scales of {name!r} must be positive numbers")
    if max(scales.size, zeros.size) == 1:
        return Codes(codes.astype(np.int64) - zeros[0], scales, 0)
    axis = axis + codes.ndim if axis < 0 else axis
    if not 0 <= axis < codes.ndim or not {scales.size, zeros.size} <= {1, codes.shape[axis]}:
        raise InputError(
            f"{call.where}: {scales.size} scales and {zeros.size} zero points do not fit "
            f"{name!r} of shape {codes.shape}"
        )
    shape = [1] * codes.ndim
    shape[axis] = -1
    shifted = codes.astype(np.int64) - zeros.reshape(shape)
    return Codes(shifted, np.broadcast_to(scales, (codes.shape[axis],)), axis)
