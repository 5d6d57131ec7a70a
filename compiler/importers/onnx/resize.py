"""ONNX's Resize and Upsample: images repeated or thinned out by whole factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.moving import place
from pulsarray.compiler.importers.onnx.orders import Ints, Tensor
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
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
    """Nearest neighbours of an image's rows and columns."""
    tensor = network.image(call.inputs[0], call.where)
    if (mode := call.text("mode", "nearest")) != "nearest":
        raise InputError(f"{call.where}: {call.kind} must be of nearest neighbours, not {mode}")
    factors, sizes = _factors(network, call, tensor)
    sources = [
        _sources(network, call, *axis) for axis in zip(tensor.shape, factors, sizes, strict=True)
    ]
    repeats = [-(-new // old) for old, new in zip(tensor.shape, sizes, strict=True)]
    wholes = zip(sources, tensor.shape, repeats, strict=True)
    if all(np.array_equal(at, np.arange(old * times) // times) for at, old, times in wholes):
        _repeated(network, call, tensor, repeats)
    elif all(len({*at}) == len(at) for at in sources):
        places = tensor.places[np.ix_(*sources)]
        place(network, call, tensor, places, call.outputs[0])
    else:
        raise InputError(
            f"{call.where}: {call.kind} of {tensor.shape} to {tuple(sizes)} must be by whole "
            "factors"
        )


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
    rank = len(tensor.shape) + 1
    if call.attributes.keys() & {"axes", "keep_aspect_ratio_policy"}:
        raise InputError(f"{call.where}: Resize of chosen axes or shapes is not supported")
    if call.given(3):
        sizes = network.integers(call.given(3), call.where, "sizes")[1:]
        if len(sizes) != rank - 1 or min(sizes, default=0) < 1:
            raise InputError(f"{call.where}: sizes must be {rank} of at least 1")
        return [new / old for new, old in zip(sizes, tensor.shape, strict=True)], [*sizes]
    late = call.kind == "Resize" and network.file.opset > 10
    name = call.given(2 if late else 1)
    factors = [float(f) for f in network.constant(name, call.where, "scales").reshape(-1)]
    if len(factors) != rank or factors[0] != 1.0 or min(factors) <= 0.0:
        raise InputError(
            f"{call.where}: scales must be {rank} positive numbers, of the batch 1, not {factors}"
        )
    sizes = tuple(
        floor(np.float32(old) * np.float32(factor))
        for old, factor in zip(tensor.shape, factors[1:], strict=True)
    )
    if min(sizes) < 1:
        raise InputError(f"{call.where}: scales {factors} leave nothing of {tensor.shape}")
    return factors[1:], [*sizes]


def _sources(network: Network, call: Call, old: int, factor: float, new: int) -> Ints:
    """Which element each of an axis is."""
    late = call.kind == "Resize" and network.file.opset > 10
    way = call.text("coordinate_transformation_mode", "half_pixel") if late else "asymmetric"
    rounding = call.text("nearest_mode", "round_prefer_floor") if late else "floor"
    number, scale = np.arange(new, dtype=np.float32), np.float32(factor)  # As runtimes do.
    ways: Mapping[str, Array] = {
        "asymmetric": number / scale,
        "half_pixel": (number + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (number + 0.5) / scale - 0.5 if new > 1 else 0.0 * number,
        "align_corners": number * np.float32((old - 1) / max(new - 1, 1)),
    }
    if way not in ways or rounding not in _ROUNDINGS:
        raise InputError(f"{call.where}: Resize by {way}, {rounding} is not supported")
    return np.clip(_ROUNDINGS[rounding](ways[way]), 0, old - 1).astype(np.int64)
