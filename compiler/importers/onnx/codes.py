"""Quantization as an ONNX file has it: codes of int8 or uint8, in int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from pulsarray.affine import encode
from pulsarray.compiler.importers.onnx.file import Call, Constant, element_name
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["Codes", "code_type", "constant_codes", "quantization", "quantize_constant"]

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
        return np.asarray(self.codes * along(self.scale, self.codes.ndim, self.axis))


def along(values: npt.NDArray[Any], rank: int, axis: int) -> npt.NDArray[Any]:
    """A vector along one axis of an array of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def code_type(network: Network, call: Call, zero: str) -> str:
    """Type of the codes that a QuantizeLinear or an integer operator makes.

    That of the zero point, else what the attribute ``output_dtype`` says, else uint8.

    Raises
    ------
    InputError
        If it is neither int8 nor uint8.
    """
    if zero:
        kind = str(network.raw(zero, call.where, "zero point").dtype)
    else:
        element = call.integer("output_dtype", 0) or onnx.TensorProto.UINT8
        kind = element_name(element).lower()
    if kind not in _KINDS:
        what = f"zero point {zero!r}" if zero else "output_dtype"
        raise InputError(f"{call.where}: {what} must be int8 or uint8, not {kind}")
    return kind


def quantization(network: Network, call: Call, scale: str, zero: str, kind: str) -> Affine8:
    """Quantization of a map, from the names of its scale and zero point and its codes' type.

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
        raise InputError(
            f"{call.where}: scale must be a positive number of at least {_TINIEST:.3g}, "
            f"not {number:.6g}"
        )
    if not zero:
        return Affine8(number, _KINDS[kind])
    zeros = network.raw(zero, call.where, "zero point")
    if zeros.size != 1 or str(zeros.dtype) != kind:
        raise InputError(
            f"{call.where}: zero point {zero!r} must be one {kind} number, "
            f"not {zeros.size} of {zeros.dtype}"
        )
    return Affine8(number, int(zeros.item()) + _KINDS[kind])


def quantize_constant(
    network: Network, call: Call, name: str, scale: str, zero: str, axis: int
) -> Constant:
    """Codes of a float constant, int8 or uint8, as QuantizeLinear makes them.

    Raises
    ------
    InputError
        If type, shape or scale is not possible.
    """
    values = network.constant(name, call.where, "value")
    kind = code_type(network, call, zero)
    scales, zeros, axis = _parameters(network, call, name, values, (scale, zero), axis)
    shift = _KINDS[kind]
    made = np.empty(values.shape, np.int64)
    if scales.size == 1:
        made[...] = encode(values, scales.item(), int(zeros[0]) + shift)
    else:
        parts = np.moveaxis(values, axis, 0)
        for place, part in enumerate(parts):
            code = encode(part, float(scales[place]), int(zeros[place]) + shift)
            np.moveaxis(made, axis, 0)[place] = code
    return (made - shift).astype(kind)


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
    if zero and str(network.raw(zero, call.where, "zero point").dtype) != kind:
        stored = network.raw(zero, call.where, "zero point").dtype
        raise InputError(f"{call.where}: zero point {zero!r} must be {kind}, not {stored}")
    scales, zeros, axis = _parameters(network, call, name, codes, (scale, zero), axis)
    if scales.size == 1:
        return Codes(codes.astype(np.int64) - zeros[0], scales, 0)
    return Codes(codes.astype(np.int64) - along(zeros, codes.ndim, axis), scales, axis)


def _parameters(
    network: Network, call: Call, name: str, value: Constant, names: tuple[str, str], axis: int
) -> tuple[Floats, Ints, int]:
    """Scales and zero points of a constant, both (1,) or both one each place along the axis."""
    scales = network.constant(names[0], call.where, "scale").reshape(-1)
    zeros = np.zeros(1, np.int64)
    if names[1]:
        zeros = network.raw(names[1], call.where, "zero point").astype(np.int64).reshape(-1)
    if not (np.isfinite(scales).all() and scales.size and float(scales.min()) >= _TINIEST):
        raise InputError(
            f"{call.where}: scales of {name!r} must be positive numbers of at least {_TINIEST:.3g}"
        )
    if max(scales.size, zeros.size) == 1:
        return scales, zeros, 0
    axis = axis + value.ndim if axis < 0 else axis
    if not 0 <= axis < value.ndim or not {scales.size, zeros.size} <= {1, value.shape[axis]}:
        raise InputError(
            f"{call.where}: {scales.size} scales and {zeros.size} zero points do not fit "
            f"{name!r} of shape {value.shape}"
        )
    count = (value.shape[axis],)
    return np.broadcast_to(scales, count), np.broadcast_to(zeros, count), axis
