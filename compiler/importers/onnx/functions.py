"""ONNX operators that are functions of single elements, each with its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.elu import Celu, Elu, Selu
from pulsarray.compiler.ops.erf import Erf
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.hard_sigmoid import HardSigmoid, HardSwish
from pulsarray.compiler.ops.leaky_relu import LeakyRelu, Shrink, ThresholdedRelu
from pulsarray.compiler.ops.log import Log
from pulsarray.compiler.ops.power import Power, Root
from pulsarray.compiler.ops.reciprocal import Reciprocal
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.sign import Absolute, Negate, Sign
from pulsarray.compiler.ops.softplus import Mish, Softplus
from pulsarray.compiler.ops.softsign import Softsign
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.tanh import Tanh
from pulsarray.compiler.ops.trigonometric import Asinh, Atan, Cos, Cosh, Sin, Sinh
from pulsarray.compiler.ops.whole import Ceil, Floor, Round
from pulsarray.errors import InputError

__all__ = ["FUNCTIONS", "clip", "emit", "function", "power"]

Make = Callable[[Call], Operator]


def _plain(op: Operator) -> Make:
    """A function without attributes."""
    return lambda _call: op


def _with(kind: Callable[..., Operator], **attributes: float) -> Make:
    """A function with numbers as attributes, in its order; their defaults are ONNX's."""
    return lambda call: kind(*(call.number(name, usual) for name, usual in attributes.items()))


def _gelu(call: Call) -> Operator:
    """The Gaussian error linear unit in either form."""
    form = call.text("approximate", "none")
    if form not in ("none", "tanh"):
        raise InputError(f"{call.where}: approximate must be none or tanh, not {form!r}")
    return Gelu(form == "tanh")


def _celu(call: Call) -> Operator:
    if not (alpha := call.number("alpha", 1.0)):
        raise InputError(f"{call.where}: alpha must not be 0")
    return Celu(alpha)


FUNCTIONS: Mapping[str, Make] = {
    "Abs": _plain(Absolute()),
    "Asinh": _plain(Asinh()),
    "Atan": _plain(Atan()),
    "Ceil": _plain(Ceil()),
    "Celu": _celu,
    "Cos": _plain(Cos()),
    "Cosh": _plain(Cosh()),
    "Elu": _with(Elu, alpha=1.0),
    "Erf": _plain(Erf()),
    "Exp": _plain(Exp()),
    "Floor": _plain(Floor()),
    "Gelu": _gelu,
    "HardSigmoid": _with(HardSigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _plain(HardSwish()),
    "LeakyRelu": _with(LeakyRelu, alpha=0.01),
    "Log": _plain(Log()),
    "Mish": _plain(Mish()),
    "Neg": _plain(Negate()),
    "Reciprocal": _plain(Reciprocal()),
    "Relu": _plain(Relu()),
    "Round": _plain(Round()),
    "Selu": _with(Selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": _with(Shrink, lambd=0.5, bias=0.0),
    "Sigmoid": _plain(Sigmoid()),
    "Sign": _plain(Sign()),
    "Sin": _plain(Sin()),
    "Sinh": _plain(Sinh()),
    "Softplus": _plain(Softplus()),
    "Softsign": _plain(Softsign()),
    "Sqrt": _plain(Root()),
    "Tanh": _plain(Tanh()),
    "ThresholdedRelu": _with(ThresholdedRelu, alpha=1.0),
}
"""What each becomes."""


def emit(network: Network, call: Call, tensor: Tensor, op: Operator) -> None:
    """Put an operator at the end whose result has its elements where its input has them."""
    made = network.emit(network.label(call), op, (tensor.value,), call.outputs[0])
    network.elementwise(call, tensor, made)


def function(network: Network, call: Call) -> None:
    """A function of :data:`FUNCTIONS`."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    emit(network, call, tensor, FUNCTIONS[call.kind](call))


def clip(network: Network, call: Call) -> None:
    """Values cut to an interval."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    limits = [call.number("min", -inf), call.number("max", inf)]
    for place, name in enumerate(call.inputs[1:3]):
        if name:
            limits[place] = _number(network, call, name, "limit")
    emit(network, call, tensor, Clip(*limits))


def power(network: Network, call: Call) -> None:
    """A power with one constant exponent."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    exponent = _number(network, call, call.inputs[1], "exponent")
    usual: Mapping[float, Operator] = {0.5: Root(), 2.0: Square(), -1.0: Reciprocal()}
    emit(network, call, tensor, usual.get(exponent, Power(exponent)))


def _number(network: Network, call: Call, name: str, what: str) -> float:
    """A constant that is one number."""
    array = network.constant(name, call.where, what)
    if array.size != 1:
        raise InputError(f"{call.where}: {what} {name!r} must be one number, not {array.shape}")
    return float(array.item())
