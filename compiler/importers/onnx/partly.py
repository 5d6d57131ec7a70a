"""Quantized ONNX files of which some operators are float, read as float networks.

What such a file says of its codes cannot be kept to the bit: this machine computes the float
operators in int8, too, with scales from calibration. So weights are what their codes stand for, and
of a QuantizeLinear is left that it cuts to the interval of its codes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call, Constant, OnnxFile, real
from pulsarray.errors import InputError

__all__ = ["PartlyFloat", "dequantized", "in_real_numbers"]

_TO, _FROM = "QuantizeLinear", "DequantizeLinear"
_CODES = ("int8", "uint8")


class PartlyFloat(InputError):
    """A quantized file computes something in real numbers before it rounds."""


def in_real_numbers(file: OnnxFile) -> OnnxFile:
    """The float network of a file with QuantizeLinear and DequantizeLinear between operators.

    Raises
    ------
    InputError
        If scales are no initializers or not one a value, or weights are no initializers.
    """
    constants: dict[str, Constant] = dict(file.constants)
    calls: list[Call] = []
    for call in file.calls:
        kind = call.kind.rpartition(".")[2]
        if kind == _FROM and call.inputs[0] in constants:
            constants[call.outputs[0]] = dequantized(call, constants)
        elif kind == _FROM:
            calls.append(replace(call, kind="Identity", inputs=call.inputs[:1], attributes={}))
        elif kind == _TO and call.inputs[0] not in constants:
            calls.append(_clip(call, constants))
        else:
            calls.append(call)
    return replace(file, calls=calls, constants=constants)


def _initializer(call: Call, constants: dict[str, Constant], place: int, what: str) -> Constant:
    name = call.given(place)
    if name not in constants:
        raise InputError(f"{call.where}: {what} {name!r} must be an initializer")
    return constants[name]


def dequantized(call: Call, constants: dict[str, Constant]) -> Constant:
    """What constant codes stand for, in float32, of a DequantizeLinear.

    Raises
    ------
    InputError
        If codes or scales are no initializers, or do not fit.
    """
    codes = _initializer(call, constants, 0, "weight")
    scale = real(_initializer(call, constants, 1, "scale"), call.where, "scale")
    zero = constants.get(call.given(2), np.zeros(1, codes.dtype)).astype(np.float64)
    shape = [1] * codes.ndim
    if scale.size > 1:
        axis = call.integer("axis", 1)
        if not -codes.ndim <= axis < codes.ndim or codes.shape[axis] != scale.size:
            raise InputError(f"{call.where}: {scale.size} scales do not fit axis {axis}")
        shape[axis] = -1
    values = (codes - zero.reshape(shape if zero.size > 1 else ())) * scale.reshape(shape)
    return values.astype(np.float32)


def _clip(call: Call, constants: dict[str, Constant]) -> Call:
    """The interval of a QuantizeLinear's codes."""
    scale = real(_initializer(call, constants, 1, "scale"), call.where, "scale")
    zero = (
        _initializer(call, constants, 2, "zero point") if call.given(2) else np.zeros(1, np.uint8)
    )
    if scale.size != 1 or zero.size != 1 or str(zero.dtype) not in _CODES:
        raise InputError(
            f"{call.where}: needs one scale and one zero point of {' or '.join(_CODES)}"
        )
    codes = np.iinfo(zero.dtype)
    limits = {}
    for name, code in (("min", codes.min), ("max", codes.max)):
        limits[name] = f"{call.outputs[0]} {name}"
        value = (float(code) - float(zero.item())) * float(scale.item())
        constants[limits[name]] = np.array(value, np.float32)
    inputs = (call.inputs[0], limits["min"], limits["max"])
    return replace(call, kind="Clip", inputs=inputs, attributes={})
