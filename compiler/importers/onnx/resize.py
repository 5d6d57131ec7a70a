"""ONNX's Resize and Upsample: images repeated, thinned out, or interpolated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.moving import place
from pulsarray.compiler.importers.onnx.orders import Ints, Tensor
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.resize import Floats32, Lines, Resize, linear, nearest, positions
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["resize"]

_ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(network: Network, call: Call) -> None:
    """Rows and columns of an image, repeated where that is all, else as weighted sums."""
    tensor, mode = network.image(call.inputs[0], call.where), call.text("mode", "nearest")
    if mode not in ("nearest", "linear") or call.integer("antialias", 0):
        more = " with antialias" if call.integer("antialias", 0) else ""
        raise InputError(
            f"{call.where}: {call.kind} must be nearest or linear, without antialias, "
            f"not {mode}{more}"
        )
    factors, sizes = _factors(network, call, tensor)
    ends = zip(tensor.shape, factors, sizes, strict=True)
    places = [_places(network, call, *axis) for axis in ends]
    if mode == "linear":
        _interpolated(network, call, tensor, [
            linear(old, at) for old, at in zip(tensor.shape, places, strict=True)
        ])  # fmt: skip
        return
    pairs = zip(tensor.shape, places, strict=True)
    _moved(network, call, tensor, [_sources(network, call, old, at) for old, at in pairs])


def _moved(network: Network, call: Call, tensor: Tensor, sources: list[Ints]) -> None:
    """Elements from these places along each axis."""
    repeats = [-(-len(at) // old) for old, at in zip(tensor.shape, sources, strict=True)]
    wholes = zip(sources, tensor.shape, repeats, strict=True)
    if all(np.array_equal(at, np.arange(old * times) // times) for at, old, times in wholes):
        _repeated(network, call, tensor, repeats)
    elif all(len({*at}) == len(at) for at in sources):
        places = tensor.places[np.ix_(*sources)]
        place(network, call, tensor, places, call.outputs[0])
    else:
        pairs = zip(tensor.shape, sources, strict=True)
        _interpolated(network, call, tensor, [nearest(old, at.tolist()) for old, at in pairs])


def _interpolated(network: Network, call: Call, tensor: Tensor, lines: list[Lines]) -> None:
    """Rows and columns as weighted sums of others."""
    if not lines[0].is_same:
        raise InputError(f"{call.where}: {call.kind} must leave the channels as they are")
    rows, columns = [Lines.same(1), *lines[1:]][-2:]
    name, output = network.label(call), call.outputs[0]
    value = network.emit(name, Resize(rows, columns), (tensor.value,), output).value
    network.define(output, Tensor(value, tuple(map(len, lines))))


def _repeated(network: Network, call: Call, tensor: Tensor, repeats: list[int]) -> None:
    """Each pixel as a block of the same."""
    channels, *_ = tensor.shape
    if repeats[0] != 1:
        raise InputError(f"{call.where}: {call.kind} must leave the channels as they are")
    rows, columns = (1, *repeats[1:])[-2:]
    op = TransposedConvolution(Window((rows, columns), (rows, columns)), groups=channels)
    constants = {"weight": np.ones((rows, columns, channels, 1)), "bias": np.zeros(channels)}
    name, output = network.label(call), call.outputs[0]
    value = network.emit(name, op, (tensor.value,), output, constants=constants).value
    shape = tuple(size * times for size, times in zip(tensor.shape, repeats, strict=True))
    network.define(output, Tensor(value, shape))


def _factors(network: Network, call: Call, tensor: Tensor) -> tuple[list[float], list[int]]:
    """Factor and size of each axis after the batch."""
    if (policy := call.text("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise InputError(f"{call.where}: {call.kind} must stretch, not keep by {policy}")
    shape, rank = tensor.shape, len(tensor.shape) + 1
    if call.given(3):
        numbers = network.integers(call.given(3), call.where, "sizes")
        sizes = [int(n) for n in _each_axis(call, "sizes", numbers, [1, *shape])[1:]]
        if min(sizes) < 1:
            raise InputError(f"{call.where}: sizes must be at least 1, not {sizes}")
        return [new / old for new, old in zip(sizes, shape, strict=True)], sizes
    late = call.kind == "Resize" and network.file.opset > 10
    scales = network.constant(call.given(2 if late else 1), call.where, "scales").reshape(-1)
    factors = _each_axis(call, "scales", [float(f) for f in scales], [1.0] * rank)
    if factors[0] != 1.0 or min(factors) <= 0.0:
        raise InputError(
            f"{call.where}: scales must be {rank} positive numbers, of the batch 1, not {factors}"
        )
    pairs = zip(shape, factors[1:], strict=True)
    sizes = [floor(np.float32(old) * np.float32(factor)) for old, factor in pairs]
    if min(sizes) < 1:
        raise InputError(f"{call.where}: scales {factors} leave nothing of {shape}")
    return factors[1:], sizes


def _each_axis(
    call: Call, what: str, numbers: Sequence[float], usual: Sequence[float]
) -> list[float]:
    """A number for each axis, the batch too; the usual one for those that are not chosen."""
    rank = len(usual)
    axes = [axis % rank if -rank <= axis < rank else -1
            for axis in call.integers("axes") or range(rank)]  # fmt: skip
    if len({*axes}) != len(axes) or -1 in axes or len(numbers) != len(axes):
        raise InputError(f"{call.where}: {what} must be one of each axis, not {[*numbers]}")
    made: list[float] = [*usual]
    for axis, number in zip(axes, numbers, strict=True):
        made[axis] = number
    return made


def _places(network: Network, call: Call, old: int, factor: float, new: int) -> Floats32:
    """Where in an axis each of a result's elements lies."""
    late = call.kind == "Resize" and network.file.opset > 10
    way = call.text("coordinate_transformation_mode", "half_pixel") if late else "asymmetric"
    try:
        return positions(way, old, new, factor)
    except InputError as error:
        raise InputError(f"{call.where}: {call.kind}'s {error}") from None


def _sources(network: Network, call: Call, old: int, places: Floats32) -> Ints:
    """Which element each of an axis is."""
    late = call.kind == "Resize" and network.file.opset > 10
    rounding = call.text("nearest_mode", "round_prefer_floor") if late else "floor"
    if rounding not in _ROUNDINGS:
        raise InputError(f"{call.where}: Resize by {rounding} is not supported")
    return np.clip(_ROUNDINGS[rounding](places), 0, old - 1).astype(np.int64)
