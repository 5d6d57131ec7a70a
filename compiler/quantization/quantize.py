"""Post-training quantization to int8, by running a network on calibration data.

Weights: symmetric, one scale a column. Activations: one scale and zero point a tensor, from the
smallest and largest value seen. Real value = (code - zero point) * scale. Sums are exact, so only
the roundings of weights, biases and results remain; every scale becomes an integer multiplier and
a shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode
from pulsarray.compiler.graph import Floats, Graph, plain_view
from pulsarray.compiler.interpreter import float_inputs, from_host
from pulsarray.compiler.lower import FusedLayer, fuse
from pulsarray.compiler.maps.integer import fixed_point
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = [
    "Quantization",
    "QuantizedLayer",
    "QuantizedNetwork",
    "calibrate",
    "quantize",
]

Ints = npt.NDArray[np.int64]

_LOW, _HIGH = -128, 127
_LARGEST_WEIGHT = 127
_CURVES = {"sigmoid": 8.0, "tanh": 4.0}
"""Beyond these arguments a curve is flat to within half a code."""


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of a tensor of codes."""

    scale: float
    zero_point: int

    def encode(self, values: npt.ArrayLike) -> Ints:
        """Codes of real values, rounded half to even and saturated."""
        return encode(values, self.scale, self.zero_point)

    def decode(self, codes: npt.ArrayLike) -> Floats:
        """Real values of codes."""
        return decode(codes, self.scale, self.zero_point)


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A layer in integers.

    Parameters
    ----------
    name, kind
        Name and operators.
    weight
        Codes, (K, N).
    bias
        Added to the sums, (N,): the bias in units of the sums, less what the source's zero point
        contributes to them.
    multiplier, shift
        Per column, (N,): scale of the sums is multiplier / 2^shift.
    zero, low, high
        Zero point and limits of the scaled result.
    table
        256 codes, by scaled result + 128; None where the scaled result is the layer's result.
    source, target
        Quantization of input and result.
    weight_scale
        Per column, (N,).
    """

    name: str
    kind: str
    weight: Ints
    bias: Ints
    multiplier: Ints
    shift: Ints
    zero: int
    low: int
    high: int
    table: Ints | None
    source: Quantization
    target: Quantization
    weight_scale: Floats


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """A network in integers.

    Parameters
    ----------
    name, input_name, output_name
        Names of the network and its two tensors.
    layers
        The layers in order.
    after
        What a host applies to the real values of the result: ``""`` or ``"softmax"``.
    samples
        Calibration samples.
    input_view, output_view
        As of :class:`pulsarray.compiler.graph.Graph`.
    """

    name: str
    input_name: str
    output_name: str
    layers: Sequence[QuantizedLayer]
    after: str
    samples: int
    input_view: HostView | None = None
    output_view: HostView | None = None


def quantize(graph: Graph, calibration: npt.ArrayLike | None, config: Config) -> QuantizedNetwork:
    """Quantize a network for a machine.

    Parameters
    ----------
    graph
        The network.
    calibration
        Input samples, shape (samples, *input shape): typical data, at least one sample.
    config
        The machine: width of sums and multipliers.

    Raises
    ------
    InputError
        If calibration data is missing, has a wrong shape, or is not finite.
    """
    layers, after = fuse(graph)
    values = from_host(graph, calibrate(graph, calibration))
    values = values.reshape(len(values), -1)
    source = _range_of(values)
    quantized = []
    for layer in layers:
        sums = values @ layer.weight + layer.bias
        if not np.isfinite(sums).all():
            raise InputError(f"{layer.name}: calibration data overflows floating point")
        values = layer.activate(sums)
        quantized.append(_quantize_layer(layer, source, sums, values, config))
        source = quantized[-1].target
    return QuantizedNetwork(
        name=graph.name,
        input_name=graph.input.name,
        output_name=graph.output.name,
        layers=quantized,
        after=after,
        samples=len(values),
        input_view=graph.input_view or plain_view(graph.input),
        output_view=graph.output_view,
    )


def calibrate(graph: Graph, calibration: npt.ArrayLike | None) -> Floats:
    """Calibration samples as a checked (samples, elements) array.

    Raises
    ------
    InputError
        If they are missing, have a wrong shape, or are not finite.
    """
    if calibration is None:
        raise InputError(
            f"{graph.name}: quantization needs calibration data, "
            f"samples of {graph.input.name!r} with shape {graph.input.shape}"
        )
    return float_inputs(graph, calibration, "calibration data")


def _range_of(values: Floats) -> Quantization:
    """Codes that cover all values and zero."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / (_HIGH - _LOW)
    if scale < np.finfo(np.float32).tiny:
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(round(_LOW - low / scale), _LOW, _HIGH)))


def _quantize_layer(
    layer: FusedLayer, source: Quantization, sums: Floats, values: Floats, config: Config
) -> QuantizedLayer:
    limits = layer.limits
    target = _range_of(values)
    if limits is None:
        scaled = _range_of(np.clip(sums, *_argument_range(layer)))
        arguments = scaled.decode(np.arange(_LOW, _HIGH + 1))
        target = _range_of(layer.activate(arguments))
        table = target.encode(layer.activate(arguments))
        low, high = _LOW, _HIGH
    else:
        scaled, table = target, None
        low, high = (int(scaled.encode(limit)) for limit in limits)
    weight_scale = _weight_scale(layer, source, config)
    weight = np.rint(layer.weight / weight_scale).astype(np.int64)
    unit = weight_scale * source.scale
    bias = np.rint(layer.bias / unit).astype(np.int64) - source.zero_point * weight.sum(axis=0)
    ratios = unit / scaled.scale
    pairs = [fixed_point(float(r), config.scale_bits) for r in ratios]
    return QuantizedLayer(
        name=layer.name,
        kind=layer.kind,
        weight=weight,
        bias=bias,
        multiplier=np.array([m for m, _ in pairs], np.int64),
        shift=np.array([s for _, s in pairs], np.int64),
        zero=scaled.zero_point,
        low=low,
        high=high,
        table=table,
        source=source,
        target=target,
        weight_scale=weight_scale,
    )


def _argument_range(layer: FusedLayer) -> tuple[float, float]:
    """Arguments that matter to the layer's first curve, if nothing comes before it."""
    bound = _CURVES.get(layer.activations[0].function, np.inf)
    return -bound, bound


def _weight_scale(layer: FusedLayer, source: Quantization, config: Config) -> Floats:
    """Scale of each column: codes up to 127, fewer where sums or bias would not fit."""
    limit = (1 << (config.acc_bits - 1)) - 1
    largest = np.abs(layer.weight).max(axis=0) / _LARGEST_WEIGHT
    # Half of the range is for the products (and for the zero point's share, which is no larger
    # than they are), the other half for the bias. Rounding adds at most half a code a weight.
    room = limit // 2 // (_HIGH - _LOW + 1) - (len(layer.weight) + 1) // 2
    if room < 1:
        raise InputError(
            f"{layer.name}: K = {len(layer.weight)} is too large for sums of {config.acc_bits} bits"
        )
    products = np.abs(layer.weight).sum(axis=0) / room
    biases = np.abs(layer.bias) / (limit // 4) / source.scale
    scale = np.maximum(np.maximum(largest, products), biases)
    return np.where(scale > 0.0, scale, 1.0)
