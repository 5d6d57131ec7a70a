"""Dynamic quantization of ONNX Runtime, read as the float network that it stands for.

It chooses scales of activations while it runs, which this machine cannot: calibration chooses them
instead. Weights are the file's codes times their scales. ``DynamicQuantizeLinear`` is nothing then,
and the scale that it tells cancels out: weights are divided by it, and sums multiplied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call, Constant, OnnxFile, real
from pulsarray.errors import InputError

__all__ = ["DYNAMIC", "without_dynamic"]

_MICROSOFT = "com.microsoft."
_SCALE = 2.0**-16
"""What stands for the scale of an activation, so that biases in its unit are hardly rounded."""
_MOVES = frozenset(
    {
        *("Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "Split", "Squeeze"),
        *("Transpose", "Unsqueeze"),
    }
)
"""Operators that mean the same on codes as on what they stand for."""


class _Reader:
    """A file while it is read: its constants, and values that stand for codes."""

    def __init__(self, file: OnnxFile) -> None:
        self.constants: dict[str, Constant] = dict(file.constants)
        self.codes: set[str] = set()
        self.calls: list[Call] = []

    def constant(self, call: Call, place: int, what: str) -> Constant:
        """A constant operand of the file itself."""
        name = call.given(place)
        if name not in self.constants:
            raise InputError(f"{call.where}: {what} {name!r} must be an initializer")
        return self.constants[name]

    def weight(self, call: Call, place: int, scale: int, zero: int, axis: int) -> str:
        """A quantized weight in real numbers; its name. ``scale`` -1: integers as they are."""
        codes = self.constant(call, place, "weight")
        if codes.dtype.kind not in "iu":
            raise InputError(f"{call.where}: weight must be integers, not {codes.dtype}")
        values = codes.astype(np.float64)
        if call.given(zero):
            zeros = real(self.constant(call, zero, "zero point"), call.where, "zero point")
            values = values - _along(zeros, values.ndim, axis)
        if scale >= 0:
            scales = real(self.constant(call, scale, "scale"), call.where, "scale")
            values = values * _along(scales, values.ndim, axis)
        else:
            values = values / _SCALE
        name = f"{call.outputs[0]} weight"
        self.constants[name] = values.astype(np.float32)
        return name

    def emit(self, call: Call, kind: str, *inputs: str, output: str = "") -> str:
        """An operator in the place of another."""
        output = output or f"{call.outputs[0]} {kind.lower()}"
        keep = call.attributes if kind in ("Conv", "LSTM") else {}
        self.calls.append(
            replace(call, kind=kind, inputs=inputs, outputs=(output,), attributes=keep)
        )
        return output


def _along(values: Constant, rank: int, axis: int) -> Constant:
    """One number, or one for each place along an axis."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim > 1:
        return values
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _quantize(reader: _Reader, call: Call) -> None:
    """The same value; its scale is a number, its zero point 0."""
    reader.emit(call, "Identity", call.inputs[0], output=call.outputs[0])
    reader.codes.add(call.outputs[0])
    for name, value in zip(call.outputs[1:], (np.float32(_SCALE), np.uint8(0)), strict=False):
        reader.constants[name] = np.asarray(value)


def _conv(reader: _Reader, call: Call) -> None:
    weight = reader.weight(call, 1, -1, 3, 0)
    reader.emit(call, "Conv", call.inputs[0], weight, output=call.outputs[0])


def _matmul(reader: _Reader, call: Call) -> None:
    weight = reader.weight(call, 1, -1, 3, -1)
    reader.emit(call, "MatMul", call.inputs[0], weight, output=call.outputs[0])


def _to_float(reader: _Reader, call: Call) -> None:
    """``MatMulIntegerToFloat``: A, B, A's scale, B's scale, A's and B's zero points, bias."""
    _product(reader, call, reader.weight(call, 1, 3, 5, -1), call.given(6))


def _dynamic_matmul(reader: _Reader, call: Call) -> None:
    """``DynamicQuantizeMatMul``: A, B, B's scale and zero point, bias."""
    _product(reader, call, reader.weight(call, 1, 2, 3, -1), call.given(4))


def _product(reader: _Reader, call: Call, weight: str, bias: str) -> None:
    output = call.outputs[0]
    made = reader.emit(call, "MatMul", call.inputs[0], weight, output="" if bias else output)
    if bias:
        reader.emit(call, "Add", made, bias, output=output)


def _lstm(reader: _Reader, call: Call) -> None:
    """``DynamicQuantizeLSTM``: as LSTM, weights (directions, columns, gates) with their scales."""
    if len(call.inputs) != 12:
        raise InputError(f"{call.where}: {call.kind} needs 12 inputs")
    names = []
    for place, scale in ((1, 8), (2, 10)):
        codes = reader.constant(call, place, "weight").astype(np.float64)
        zeros, scales = (
            real(reader.constant(call, k, "scale"), call.where, "scale").reshape(len(codes), 1, -1)
            for k in (scale + 1, scale)
        )
        name = f"{call.outputs[0] or call.name} weight {place}"
        reader.constants[name] = ((codes - zeros) * scales).swapaxes(1, 2).astype(np.float32)
        names.append(name)
    inputs = (call.inputs[0], *names, *call.inputs[3:8])
    reader.calls.append(replace(call, kind="LSTM", inputs=inputs))


DYNAMIC: Mapping[str, Callable[[_Reader, Call], None]] = {
    "ConvInteger": _conv,
    "DynamicQuantizeLinear": _quantize,
    "MatMulInteger": _matmul,
    f"{_MICROSOFT}DynamicQuantizeLSTM": _lstm,
    f"{_MICROSOFT}DynamicQuantizeMatMul": _dynamic_matmul,
    f"{_MICROSOFT}MatMulIntegerToFloat": _to_float,
}
"""Operators of dynamic quantization, and what becomes of them."""


def without_dynamic(file: OnnxFile) -> OnnxFile:
    """The float network of a file.

    Raises
    ------
    InputError
        If weights are no initializers, or something else reads codes of activations.
    """
    if not any(call.kind in DYNAMIC for call in file.calls):
        return file
    reader = _Reader(file)
    for call in file.calls:
        _check(call, reader.codes)
        if call.kind in DYNAMIC:
            _replace(reader, call)
        else:
            reader.calls.append(call)
            if reader.codes.intersection(call.inputs):
                reader.codes.update(call.outputs)
    return replace(file, calls=_named(reader.calls), constants=reader.constants)


def _replace(reader: _Reader, call: Call) -> None:
    """Put what an operator stands for at the end."""
    try:
        DYNAMIC[call.kind](reader, call)
    except InputError:
        raise
    except Exception as error:  # of NumPy, on whatever shapes a file may have
        reason = " ".join(str(error).split())
        raise InputError(f"{call.where}: {call.kind} fails: {reason}") from None


def _check(call: Call, codes: set[str]) -> None:
    """Refuse what reads codes as numbers, or numbers as codes."""
    read = codes.intersection(call.reads)
    product = call.kind in DYNAMIC and call.kind != "DynamicQuantizeLinear"
    integer = call.kind in ("ConvInteger", "MatMulInteger", f"{_MICROSOFT}MatMulIntegerToFloat")
    if read and not (integer or call.kind in _MOVES):
        raise InputError(
            f"{call.where}: {call.kind} reads {read.pop()!r}, which is codes of a "
            "DynamicQuantizeLinear; only products in integers can"
        )
    if integer and product and call.given(0) not in codes:
        raise InputError(
            f"{call.where}: {call.given(0)!r} must be codes of a DynamicQuantizeLinear"
        )


def _named(calls: Sequence[Call]) -> list[Call]:
    """Operators of which each has a name of its own."""
    count = Counter(call.name for call in calls)
    return [
        replace(call, name=f"{call.name}.{call.kind.lower()}") if count[call.name] > 1 else call
        for call in calls
    ]
