"""A step of training in integers, operator by operator: docs/training.md with NumPy.

Written from the arithmetic alone, not from instructions: windows are gathered and scattered, and
every sum is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.activations import FRACTION, SLOPE
from pulsarray.compiler.training.arithmetic import blen, factor, limited, product, rne, sym
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.drop import mask_name
from pulsarray.compiler.training.flow import INPUT, NORMAL
from pulsarray.compiler.training.gradients import gate
from pulsarray.compiler.training.layers import (
    ActivateStep,
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    MapShape,
    NormLayer,
    PoolStep,
    Step,
    TrainingLayer,
    is_vector,
)
from pulsarray.compiler.training.norm import Mean, Normalized, normalize, pull, pulled
from pulsarray.compiler.training.scales import Scales
from pulsarray.compiler.training.state import BIAS, TrainState
from pulsarray.compiler.training.tables import table
from pulsarray.compiler.training.windows import (
    gather,
    grouped,
    largest,
    route,
    scatter,
    spread,
    total,
)

__all__ = ["GUARD", "IntegerPass"]

Ints = npt.NDArray[np.int64]
Part = tuple[Ints, int]
"""Part of a gradient, and its exponent."""

GUARD = 12
"""Sums of several tensors have so many bits below the exponent of the result."""


@dataclass(eq=False)
class IntegerPass:
    """A pass over a network: what it reads, and what it has computed so far.

    Parameters
    ----------
    network, segments
        The network, and segments of the function tables.
    state, scales
        Weights, and exponents with their statistics.
    masks
        Of dropouts, by ``STEP.mask``; without them nothing is dropped.

    Members
    -------
    values, errors
        By step, (images, H, W, C).
    """

    network: TrainingNetwork
    segments: int
    state: TrainState
    scales: Scales
    masks: Mapping[str, Ints]
    values: dict[str, Ints] = field(default_factory=dict)
    errors: dict[str, Ints] = field(default_factory=dict)

    def forward(self, x: Ints) -> dict[str, Ints]:
        """Every ``STEP.output``, (images, H, W, C), of vectors (images, N)."""
        flow = self.network.flow
        self.values[INPUT] = x.reshape(len(x), *flow.input_shape)
        for step in self.network.steps:
            self.values[step.name] = _value(step, self)
        return self._rows(self.values, "output")

    def backward(self, error: Part) -> dict[str, Ints]:
        """``STEP.error`` of all that depends on what learns: the gradient at its sums.

        ``error`` is the gradient of the loss at the last layer's output, or its error itself.
        """
        steps, learning = self.network.steps, self.network.flow.learning
        gradients = {steps[-1].name: [(error[0].reshape(-1, *steps[-1].result), error[1])]}
        for step in reversed(steps):
            if step.name not in learning:
                continue
            self.errors[step.name] = self._error(step, gradients.pop(step.name))
            if learning.intersection(step.sources):
                for name, part in zip(step.sources, _parts(step, self), strict=True):
                    gradients.setdefault(name, []).append(part)
        return self._rows(self.errors, "error")

    def _rows(self, found: Mapping[str, Ints], kind: str) -> dict[str, Ints]:
        shapes: dict[str, MapShape] = {step.name: step.result for step in self.network.steps}
        return {
            f"{name}.{kind}": array.reshape(len(array), -1) if is_vector(shapes[name]) else array
            for name, array in found.items()
            if name in shapes
        }

    def _error(self, step: Step, parts: list[Part]) -> Ints:
        """The gradient at a step's sums from the parts of that at its output."""
        network, name = self.network, self.network.flow.errors[step.name]
        last = step is network.steps[-1]
        if name != f"{step.name}.error" or (last and name == network.loss_error):
            return parts[0][0]
        gradient = parts[0] if len(parts) == 1 else self.total(name, parts)
        return self.scales.narrow(name, *self._through(step, *gradient))

    def _through(self, step: Step, gradient: Ints, exponent: int) -> Part:
        """A gradient times the derivative of a step's activation."""
        if self.network.flow.follows_pooling(step):
            # The pooling has already had it.
            return gradient, exponent
        slope = step.derivative.slope
        if step.derivative.gated and slope is not None:
            return gradient * self.looked_up(step, *self.source(step), SLOPE), exponent + slope
        return gate(step.activation, gradient, exponent, self.values[step.name])

    def total(self, name: str, parts: list[Part]) -> Part:
        """The sum of several tensors, 32 bits, :data:`GUARD` bits below the exponent of a name."""
        self.scales.expect(name, max(blen(values) + exponent for values, exponent in parts))
        exponent = limited(self.scales[name] - GUARD)
        found = rne(parts[0][0], exponent - parts[0][1])
        for values, own in parts[1:]:
            found = sym(found + rne(values, exponent - own), 32)
        return found, exponent

    # What operators ask

    def source(self, step: Step) -> Part:
        """The first value that a step reads, and its exponent."""
        return self.values[step.source], self.exponent(step.source)

    def exponent(self, name: str) -> int:
        """Exponent of a value."""
        return self.scales[self.network.flow.outputs[name]]

    def error(self, step: Step) -> Part:
        """A step's error, and its exponent."""
        return self.errors[step.name], self.error_exponent(step.name)

    def error_exponent(self, name: str) -> int:
        """Exponent of a step's error: where it is a target itself, that of the targets."""
        found = self.network.flow.errors[name]
        return self.scales[found if found in self.network.exponents else "target"]

    def narrowed(self, step: Step, values: Ints, exponent: int) -> Ints:
        """A step's result from its sums: requantized, through the activation."""
        if step.derivative.argument is not None:
            return self.looked_up(step, values, exponent)
        if step.activation == "step":
            return np.where(values > 0, np.int64(1 << 14), np.int64(0))
        codes = self.scales.narrow(f"{step.name}.output", values, exponent)
        return np.maximum(codes, 0) if step.activation == "relu" else codes

    def looked_up(self, step: Step, values: Ints, exponent: int, kind: str = "") -> Ints:
        """A function table of a step's activation."""
        codes = sym(rne(values, (step.derivative.argument or 0) - exponent), 16)
        return table(f"{step.activation}{kind}", self.segments)(codes)

    def normal(self, step: NormLayer) -> Normalized:
        """Normalized values."""
        u, exponent = self.source(step)
        return normalize(u, exponent, _mean(step, u), step.epsilon, self.segments)

    # Gradients of parameters

    def sums(self) -> dict[str, Ints]:
        """Exact gradients of parameters that learn."""
        found: dict[str, Ints] = {}
        for layer in self.network.learning:
            error = self.errors[layer.name].reshape(-1, layer.result[2])
            sums = _weight_sums(layer, self, error), error.sum(axis=0)
            found |= dict(zip(layer.learned, sums, strict=False))
        return found

    def gradients(self, sums: Mapping[str, Ints]) -> dict[str, Ints]:
        """Gradients of weights and biases requantized."""
        found = {}
        for layer in self.network.learning:
            e_error = self.error_exponent(layer.name)
            is_norm = isinstance(layer, NormLayer)
            e_x = self.scales[NORMAL] if is_norm else self.exponent(layer.source)
            for key, exponent in zip(layer.learned, (e_x + e_error, e_error), strict=False):
                gradient = self.scales.narrow(layer.scales[key], sums[key], exponent)
                found[f"{key}.gradient"] = gradient
        return found

    def shared(self) -> dict[str, int]:
        """Exponents of the values, errors and gradients that have none of their own."""
        network, scales = self.network, self.scales
        found = {f"{step.name}.output": self.exponent(step.name) for step in network.steps}
        found |= {f"{name}.error": self.error_exponent(name) for name in network.flow.learning}
        for layer in network.learning:
            found |= {f"{key}.gradient": scales[name] for key, name in layer.scales.items()}
        return found


def _mean(step: NormLayer, values: Ints) -> Mean:
    return Mean.over(int(np.prod(values.shape[:3])), step.name)


@singledispatch
def _value(step: Step, _run: IntegerPass) -> Ints:
    """A step's result."""
    raise TypeError(step)


@_value.register
def _(step: MapLayer, run: IntegerPass) -> Ints:
    x, e_x = run.source(step)
    seen, weight = gather(x, step.window, step.result), run.state.weights[step.name]
    pixels = int(np.prod(seen.shape[:3]))
    parts = [
        product(seen[..., channels].reshape(pixels, -1), weight[:, results])
        for channels, results in grouped(step)
    ]
    sums = np.concatenate(parts, axis=1).reshape(*seen.shape[:3], -1)
    return _biased(step, run, sums, e_x + run.scales[f"{step.name}.weight"])


@_value.register
def _(step: NormLayer, run: IntegerPass) -> Ints:
    e_u = run.scales[NORMAL] + run.scales[f"{step.name}.weight"]
    return _biased(step, run, run.normal(step).values * run.state.weights[step.name], e_u)


def _biased(step: TrainingLayer, run: IntegerPass, sums: Ints, exponent: int) -> Ints:
    bias = rne(run.state.masters[f"{step.name}.bias"], exponent - BIAS)
    return run.narrowed(step, sums + bias, exponent)


@_value.register
def _(step: PoolStep, run: IntegerPass) -> Ints:
    return largest(run.values[step.source], step.window, step.result)


@_value.register
def _(step: AverageStep, run: IntegerPass) -> Ints:
    (mantissa, e_share), (x, e_x) = factor(step.share, step.name), run.source(step)
    return run.narrowed(step, total(x, step.window, step.result) * mantissa, e_x + e_share)


@_value.register
def _(step: DropStep, run: IntegerPass) -> Ints:
    (mantissa, e_share), (x, e_x) = factor(step.share, step.name), run.source(step)
    mask = run.masks.get(mask_name(step))
    if mask is None:
        return sym(rne(x, run.exponent(step.name) - e_x), 16)
    return run.narrowed(step, x * mask * mantissa, e_x + e_share)


@_value.register
def _(step: AddStep, run: IntegerPass) -> Ints:
    parts = [(run.values[name], run.exponent(name)) for name in step.sources]
    return run.narrowed(step, *run.total(f"{step.name}.output", parts))


@_value.register
def _(step: ActivateStep, run: IntegerPass) -> Ints:
    x, e_x = run.source(step)
    if not step.derivative.gated:
        return run.narrowed(step, x, e_x)
    gated = x * run.looked_up(step, x, e_x)
    return run.scales.narrow(f"{step.name}.output", gated, e_x + FRACTION)


@singledispatch
def _parts(step: Step, _run: IntegerPass) -> list[Part]:
    """What a step's error adds to the gradients of its sources."""
    raise TypeError(step)


@_parts.register
def _(step: MapLayer, run: IntegerPass) -> list[Part]:
    (delta, exponent), weight = run.error(step), run.state.weights[step.name]
    flat, shape = delta.reshape(-1, step.result[2]), (*delta.shape[:3], *step.window.kernel, -1)
    parts = [
        product(flat[:, results], weight[:, results].T).reshape(shape)
        for _, results in grouped(step)
    ]
    whole = scatter(np.concatenate(parts, axis=-1), step.window, step.given, step.result)
    return [(whole, exponent + run.scales[f"{step.name}.weight"])]


@_parts.register
def _(step: NormLayer, run: IntegerPass) -> list[Part]:
    """With guard bits."""
    (delta, e_delta), (u, e_u) = run.error(step), run.source(step)
    values, shifts = pull(delta, run.normal(step), run.state.weights[step.name], _mean(step, u))
    exponent = e_delta + run.scales[f"{step.name}.weight"] - 27 - e_u
    name = run.network.flow.errors[step.source]
    lanes = (blen(values[..., c]) - int(shift) for c, shift in enumerate(shifts))
    run.scales.expect(name, max(lanes) + exponent)
    guarded = limited(run.scales[name] - GUARD)
    return [(pulled(values, shifts, guarded - exponent), guarded)]


@_parts.register
def _(step: PoolStep, run: IntegerPass) -> list[Part]:
    delta, exponent = run.error(step)
    return [(route(delta, run.values[step.source], step.window, step.result), exponent)]


@_parts.register
def _(step: AverageStep, run: IntegerPass) -> list[Part]:
    (mantissa, e_share), (delta, exponent) = factor(step.share, step.name), run.error(step)
    whole = spread(delta * mantissa, step.window, step.given, step.result)
    return [(whole, exponent + e_share)]


@_parts.register
def _(step: DropStep, run: IntegerPass) -> list[Part]:
    (mantissa, e_share), (delta, exponent) = factor(step.share, step.name), run.error(step)
    return [(delta * run.masks[mask_name(step)] * mantissa, exponent + e_share)]


@_parts.register
def _(step: ActivateStep, run: IntegerPass) -> list[Part]:
    return [run.error(step)]


@_parts.register
def _(step: AddStep, run: IntegerPass) -> list[Part]:
    return [run.error(step)] * len(step.sources)


@singledispatch
def _weight_sums(layer: TrainingLayer, _run: IntegerPass, _error: Ints) -> Ints:
    """The exact gradient of a layer's weights; its error as (pixels, N)."""
    raise TypeError(layer)


@_weight_sums.register
def _(layer: MapLayer, run: IntegerPass, error: Ints) -> Ints:
    seen = gather(run.values[layer.source], layer.window, layer.result)
    parts = [
        product(seen[..., channels].reshape(len(error), -1).T, error[:, results])
        for channels, results in grouped(layer)
    ]
    return np.concatenate(parts, axis=1)


@_weight_sums.register
def _(layer: NormLayer, run: IntegerPass, error: Ints) -> Ints:
    normal = run.normal(layer).values.reshape(error.shape)
    along: Ints = (normal * error).sum(axis=0)
    return along.reshape(1, -1)
