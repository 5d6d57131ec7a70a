"""ONNX operators that look at windows of an image without weights."""

from __future__ import annotations

from pulsarray.compiler.importers.onnx_constants import axes_of
from pulsarray.compiler.importers.onnx_file import Call
from pulsarray.compiler.importers.onnx_tensors import Network, Tensor
from pulsarray.compiler.importers.onnx_windows import pool_window
from pulsarray.compiler.spatial import AveragePool, MaxPool, Pad, Window
from pulsarray.errors import InputError

__all__ = [
    "average_pool",
    "global_average_pool",
    "global_max_pool",
    "max_pool",
    "pad",
    "reduce_mean",
]


def max_pool(network: Network, call: Call) -> None:
    """The largest of each window."""
    if any(call.outputs[1:]):
        raise InputError(f"{call.where}: MaxPool's indices are not supported")
    tensor = network.image(call.inputs[0], call.where)
    made, _ = pool_window(call, (tensor.shape[1], tensor.shape[2]))
    network.emit_as(call, MaxPool(network.label(call), tensor.value, call.outputs[0], made))


def average_pool(network: Network, call: Call) -> None:
    """The mean of each window; padding may count, what ``ceil_mode`` adds never does."""
    tensor = network.image(call.inputs[0], call.where)
    made, extra = pool_window(call, (tensor.shape[1], tensor.shape[2]))
    name, include = network.label(call), bool(call.integer("count_include_pad", 0))
    value = tensor.value
    if include and any(extra):
        top, left, bottom, right = made.padding
        output = network.fresh(f"{call.outputs[0]} padded")
        padding = (top, left, bottom - extra[0], right - extra[1])
        value = network.emit(Pad(f"{name} padding", value, output, padding)).value
        made = Window(made.kernel, made.stride, (0, 0, *extra), made.dilation)
        include = False
    include = include and any(made.padding)
    network.emit_as(call, AveragePool(name, value, call.outputs[0], made, include))


def _whole(tensor: Tensor) -> Window:
    return Window((tensor.shape[1], tensor.shape[2]))


def global_average_pool(network: Network, call: Call) -> None:
    """The mean of each channel."""
    tensor = network.image(call.inputs[0], call.where)
    name, output = network.label(call), call.outputs[0]
    network.emit_as(call, AveragePool(name, tensor.value, output, _whole(tensor)))


def global_max_pool(network: Network, call: Call) -> None:
    """The largest of each channel."""
    tensor = network.image(call.inputs[0], call.where)
    name, output = network.label(call), call.outputs[0]
    network.emit_as(call, MaxPool(name, tensor.value, output, _whole(tensor)))


def reduce_mean(network: Network, call: Call) -> None:
    """The mean over rows and columns."""
    tensor = network.image(call.inputs[0], call.where)
    constants = [network.raw(name, call.where, "axes") for name in call.inputs[1:] if name]
    axes = axes_of(call, [constants[0], *constants]) if constants else call.integers("axes")
    if sorted(axis % 4 for axis in axes or ()) != [2, 3]:
        raise InputError(f"{call.where}: ReduceMean must be over rows and columns, not {axes}")
    output = call.outputs[0]
    keep = call.integer("keepdims", 1)
    mean = output if keep else network.fresh(f"{output} mean")
    name = network.label(call)
    made = network.emit(AveragePool(name, tensor.value, mean, _whole(tensor)))
    network.define(output, made)
    if not keep:
        network.rearrange(call, made, network.places(made, call.where).reshape(-1))


def pad(network: Network, call: Call) -> None:
    """Zeros around rows and columns."""
    tensor = network.image(call.inputs[0], call.where)
    if call.text("mode", "constant") != "constant" or call.number("value", 0.0):
        raise InputError(f"{call.where}: Pad must be with zeros")
    if (name := call.given(2)) and network.constant(name, call.where, "value").any():
        raise InputError(f"{call.where}: Pad must be with zeros")
    sides = call.integers("pads")
    if call.given(1):
        sides = network.integers(call.given(1), call.where, "pads")
    axes: tuple[int, ...] = (0, 1, 2, 3)
    if call.given(3):
        axes = network.integers(call.given(3), call.where, "axes")
    if sides is None or len(sides) != 2 * len(axes):
        raise InputError(f"{call.where}: Pad needs two numbers for each axis, not {sides}")
    first = dict.fromkeys(range(4), 0)
    last = dict(first)
    for place, axis in enumerate(axes):
        if not -4 <= axis < 4:
            raise InputError(f"{call.where}: Pad has no axis {axis}")
        first[axis % 4], last[axis % 4] = sides[place], sides[place + len(axes)]
    if first[0] or first[1] or last[0] or last[1]:
        raise InputError(f"{call.where}: Pad must be of rows and columns only, not {sides}")
    padding = (first[2], first[3], last[2], last[3])
    network.emit_as(call, Pad(network.label(call), tensor.value, call.outputs[0], padding))
