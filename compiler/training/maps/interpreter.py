"""A step of a network of feature maps in integers: docs/training.md with NumPy.

Written from the arithmetic alone: windows are gathered and scattered, and every sum is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.training.arithmetic import blen, factor, limited, product, rne, sym
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.gradients import gate
from pulsarray.compiler.training.layers import (
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.compiler.training.maps.drop import mask_name
from pulsarray.compiler.training.maps.flow import INPUT, NORMAL
from pulsarray.compiler.training.maps.norm import Mean, Normalized, normalize, pull, pulled
from pulsarray.compiler.training.maps.windows import (
    gather,
    grouped,
    largest,
    route,
    scatter,
    spread,
    total,
)
from pulsarray.compiler.training.state import BIAS, TrainState
from pulsarray.compiler.training.tables import table

__all__ = ["GUARD", "MapPass", "Scales"]

Ints = npt.NDArray[np.int64]
Part = tuple[Ints, int]
"""Part of a gradient, and its exponent."""

GUARD = 12
"""Sums of several tensors have so many bits below the exponent of the result."""
_ROOM = 14


class Scales(Protocol):
    """Exponents of a pass over the network, and statistics."""

    exact: bool

    def __getitem__(self, name: str) -> int:
        """An exponent."""

    def narrow(self, name: str, values: Ints, exponent: int) -> Ints:
        """Values requantized to 16 bits at an adaptive exponent."""

    def assign(self, name: str, exponent: int) -> None:
        """Sets an exponent in the pass that finds exponents."""


class MapPass:
    """Forward and backward pass of a network of feature maps.

    Parameters
    ----------
    network
        The network.
    segments
        Of the function tables.
    """

    def __init__(self, network: TrainingNetwork, segments: int) -> None:
        self.network, self.steps, self.segments = network, network.steps, segments
        self.flow = network.flow

    def forward(
        self, state: TrainState, scales: Scales, x: Ints, masks: Mapping[str, Ints]
    ) -> dict[str, Ints]:
        """Every ``STEP.output``, (images, H, W, C); of the last (images, N).

        ``masks`` of dropouts, by ``STEP.mask``; without them nothing is dropped.
        """
        values = self._begin(x)
        for step in self.steps:
            values[step.name] = self._step(state, scales, step, values, masks)
        rows = {f"{name}.output": found for name, found in values.items() if name != INPUT}
        last = f"{self.steps[-1].name}.output"
        return rows | {last: rows[last].reshape(len(x), -1)}

    def _begin(self, x: Ints) -> dict[str, Ints]:
        return {INPUT: x.reshape(len(x), *self.flow.input_shape)}

    def _scale(self, scales: Scales, name: str) -> int:
        return scales[self.flow.outputs[name]]

    def _step(
        self,
        state: TrainState,
        scales: Scales,
        step: Step,
        values: dict[str, Ints],
        masks: Mapping[str, Ints],
    ) -> Ints:
        if isinstance(step, DropStep):
            mask = masks.get(mask_name(step))
            return self._drop(scales, step, values[step.source], mask)
        if isinstance(step, PoolStep):
            return largest(values[step.source], step.window, step.result)
        if isinstance(step, AverageStep):
            mantissa, e_share = factor(step.share, step.name)
            sums = total(values[step.source], step.window, step.result) * mantissa
            return scales.narrow(
                f"{step.name}.output", sums, self._scale(scales, step.source) + e_share
            )
        if isinstance(step, AddStep):
            parts = [(values[name], self._scale(scales, name)) for name in step.sources]
            codes = scales.narrow(
                f"{step.name}.output", *self._total(scales, f"{step.name}.output", parts)
            )
            return np.maximum(codes, 0) if step.activation == "relu" else codes
        if isinstance(step, NormLayer):
            return self._normalize(state, scales, step, values[step.source])
        e_u = self._scale(scales, step.source) + scales[f"{step.name}.weight"]
        sums = self._sums(step, values[step.source], state.weights[step.name])
        bias = rne(state.masters[f"{step.name}.bias"], e_u - BIAS)
        return self._activate(step, scales, sums + bias, e_u)

    def _drop(self, scales: Scales, step: DropStep, x: Ints, mask: Ints | None) -> Ints:
        name, e_x = f"{step.name}.output", self._scale(scales, step.source)
        if mask is None:
            return sym(rne(x, scales[name] - e_x), 16)
        mantissa, e_share = factor(step.share, step.name)
        return scales.narrow(name, x * mask * mantissa, e_x + e_share)

    def _sums(self, layer: MapLayer, x: Ints, weight: Ints) -> Ints:
        seen = gather(x, layer.window, layer.result)
        pixels = int(np.prod(seen.shape[:3]))
        parts = [
            product(seen[..., channels].reshape(pixels, -1), weight[:, results])
            for channels, results in grouped(layer)
        ]
        return np.concatenate(parts, axis=1).reshape(*seen.shape[:3], -1)

    def _normal(self, scales: Scales, step: NormLayer, u: Ints) -> Normalized:
        exponent = self._scale(scales, step.source)
        return normalize(u, exponent, self._mean(step, u), step.epsilon, self.segments)

    def _mean(self, step: NormLayer, values: Ints) -> Mean:
        return Mean.over(int(np.prod(values.shape[:3])), step.name)

    def _normalize(self, state: TrainState, scales: Scales, step: NormLayer, u: Ints) -> Ints:
        e_u = scales[NORMAL] + scales[f"{step.name}.weight"]
        bias = rne(state.masters[f"{step.name}.bias"], e_u - BIAS)
        sums = self._normal(scales, step, u).values * state.weights[step.name] + bias
        return self._activate(step, scales, sums, e_u)

    def _activate(
        self, layer: MapLayer | NormLayer, scales: Scales, sums: Ints, exponent: int
    ) -> Ints:
        argument = layer.derivative.argument
        if argument is not None:
            codes = sym(rne(sums, argument - exponent), 16)
            return table(layer.activation, self.segments)(codes)
        if layer.activation == "step":
            return np.where(sums > 0, np.int64(1 << 14), np.int64(0))
        codes = scales.narrow(f"{layer.name}.output", sums, exponent)
        return np.maximum(codes, 0) if layer.activation == "relu" else codes

    def _total(self, scales: Scales, name: str, parts: list[Part]) -> Part:
        """The sum of several tensors, 32 bits, :data:`GUARD` bits below the exponent of a name."""
        if scales.exact:
            most = max(blen(values) + exponent for values, exponent in parts)
            scales.assign(name, limited(most - _ROOM))
        exponent = limited(scales[name] - GUARD)
        found = rne(parts[0][0], exponent - parts[0][1])
        for values, own in parts[1:]:
            found = sym(found + rne(values, exponent - own), 32)
        return found, exponent

    # Backward

    def backward(
        self, state: TrainState, scales: Scales, x: Ints, rows: dict[str, Ints], error: Part
    ) -> dict[str, Ints]:
        """``STEP.error`` of all that depends on weights: the gradient at its sums, at its exponent.

        ``error`` is the gradient of the loss at the last layer's output, or its error itself.
        """
        values = self._begin(x) | {s.name: rows[f"{s.name}.output"] for s in self.steps}
        values |= {name: found for name, found in rows.items() if name.endswith(".mask")}
        gradients: dict[str, list[Part]] = {}
        errors: dict[str, Ints] = {}
        last = self.steps[-1]
        for step in reversed(self.steps):
            if step.name not in self.flow.learning:
                continue
            own = f"{step.name}.error"
            shape = (-1, *step.result)
            if step is last:
                found = error[0]
                if own != self.network.loss_error:
                    output = rows[f"{step.name}.output"]
                    found = scales.narrow(own, *gate(step.activation, *error, output))
                errors[own] = found
            else:
                errors[own] = self._error(scales, step, values, gradients.pop(step.name))
            delta = errors[own].reshape(shape)
            for name, part in self._spread(state, scales, step, values, delta):
                if name in self.flow.learning:
                    gradients.setdefault(name, []).append(part)
        return errors

    def _error(
        self, scales: Scales, step: Step, values: dict[str, Ints], parts: list[Part]
    ) -> Ints:
        """The gradient at a step's sums from the parts of that at its output."""
        name = self.flow.errors[step.name]
        if name != f"{step.name}.error":
            return parts[0][0]
        gradient = parts[0] if len(parts) == 1 else self._total(scales, name, parts)
        if self.flow.follows_pooling(step.name):
            # The pooling has already had the derivative.
            return scales.narrow(name, *gradient)
        return scales.narrow(name, *gate(step.activation, *gradient, values[step.name]))

    def _spread(
        self,
        state: TrainState,
        scales: Scales,
        step: Step,
        values: dict[str, Ints],
        delta: Ints,
    ) -> list[tuple[str, Part]]:
        """What a step's error adds to the gradients of its sources."""
        exponent = self._error_exponent(scales, step.name)
        if isinstance(step, PoolStep):
            routed = route(delta, values[step.source], step.window, step.result)
            return [(step.source, (routed, exponent))]
        if isinstance(step, DropStep):
            mantissa, e_share = factor(step.share, step.name)
            left = delta * values[mask_name(step)] * mantissa
            return [(step.source, (left, exponent + e_share))]
        if isinstance(step, AverageStep):
            mantissa, e_share = factor(step.share, step.name)
            whole = spread(delta * mantissa, step.window, step.given, step.result)
            return [(step.source, (whole, exponent + e_share))]
        if isinstance(step, AddStep):
            return [(name, (delta, exponent)) for name in step.sources]
        if isinstance(step, NormLayer):
            part = self._through_norm(state, scales, step, values[step.source], delta)
            return [(step.source, part)]
        if step.source not in self.flow.learning:
            return []
        weight = state.weights[step.name]
        flat = delta.reshape(-1, step.result[2])
        shape = (*delta.shape[:3], *step.window.kernel, -1)
        parts = [
            product(flat[:, results], weight[:, results].T).reshape(shape)
            for _, results in grouped(step)
        ]
        whole = scatter(np.concatenate(parts, axis=-1), step.window, step.given, step.result)
        return [(step.source, (whole, exponent + scales[f"{step.name}.weight"]))]

    def _through_norm(
        self, state: TrainState, scales: Scales, step: NormLayer, u: Ints, delta: Ints
    ) -> Part:
        """The gradient at the source of a normalization, with guard bits."""
        normal = self._normal(scales, step, u)
        weight = state.weights[step.name]
        values, shifts = pull(delta, normal, weight, self._mean(step, u))
        exponent = self._error_exponent(scales, step.name) + scales[f"{step.name}.weight"]
        exponent -= 27 + self._scale(scales, step.source)
        name = self.flow.errors[step.source]
        if scales.exact:
            lanes = [blen(values[..., c]) - int(shift) for c, shift in enumerate(shifts)]
            scales.assign(name, limited(max(lanes) + exponent - _ROOM))
        guarded = limited(scales[name] - GUARD)
        return pulled(values, shifts, guarded - exponent), guarded

    def _error_exponent(self, scales: Scales, name: str) -> int:
        found = self.flow.errors[name]
        known = found in self.network.exponents
        return scales[found] if known else scales["target"]

    def shared(self, scales: Scales) -> dict[str, int]:
        """Exponents of the values and errors that have none of their own."""
        found = {}
        for step in self.steps:
            found[f"{step.name}.output"] = self._scale(scales, step.name)
            if step.name in self.flow.learning:
                found[f"{step.name}.error"] = self._error_exponent(scales, step.name)
        for layer in self.network.layers:
            found |= {f"{key}.gradient": scales[name] for key, name in layer.scales.items()}
        return found

    # Gradients

    def sums(self, scales: Scales, x: Ints, rows: dict[str, Ints]) -> dict[str, Ints]:
        """Exact gradients of weights and biases."""
        values = self._begin(x) | {s.name: rows[f"{s.name}.output"] for s in self.steps}
        found = {}
        for layer in self.network.layers:
            assert isinstance(layer, MapLayer | NormLayer)
            error = rows[f"{layer.name}.error"].reshape(-1, layer.result[2])
            if layer.learned[1:]:
                found[f"{layer.name}.bias"] = error.sum(axis=0)
            if isinstance(layer, NormLayer):
                normal = self._normal(scales, layer, values[layer.source]).values
                along = (normal.reshape(error.shape) * error).sum(axis=0)
                found[f"{layer.name}.weight"] = along.reshape(1, -1)
                continue
            seen = gather(values[layer.source], layer.window, layer.result)
            parts = [
                product(seen[..., channels].reshape(len(error), -1).T, error[:, results])
                for channels, results in grouped(layer)
            ]
            found[f"{layer.name}.weight"] = np.concatenate(parts, axis=1)
        return found

    def gradients(self, scales: Scales, sums: dict[str, Ints]) -> dict[str, Ints]:
        """Gradients of weights and biases requantized."""
        found = {}
        for layer in self.network.layers:
            assert isinstance(layer, MapLayer | NormLayer)
            e_error = self._error_exponent(scales, layer.name)
            is_norm = isinstance(layer, NormLayer)
            e_x = scales[NORMAL] if is_norm else self._scale(scales, layer.source)
            exponents = (e_x + e_error, e_error)
            for key, exponent in zip(layer.learned, exponents, strict=False):
                found[f"{key}.gradient"] = scales.narrow(layer.scales[key], sums[key], exponent)
        return found
