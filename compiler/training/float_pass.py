"""A step of training in float64, operator by operator, from the mathematics alone.

Convolutions are products with gathered windows and their gradients the transposed products
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 9.5); pooling gives its gradient
to the first of the largest values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.flow import INPUT
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
    is_vector,
)
from pulsarray.compiler.training.random_rounding import Stored, exactly
from pulsarray.compiler.training.windows import (
    gather,
    grouped,
    largest,
    route,
    scatter,
    spread,
    total,
)

__all__ = ["Bools", "FloatPass"]

Bools = npt.NDArray[np.bool_]
_AXES = (0, 1, 2)
_GATED = {"gelu": Gelu(), "gelu-tanh": Gelu(tanh=True), "silu": Silu()}
"""Whose derivative needs their argument."""


@dataclass(eq=False)
class FloatPass:
    """A pass over a network: what it reads, and what it has computed so far.

    Parameters
    ----------
    network, parameters
        The network, and its parameters by name.
    kept
        By dropout which values are left; those without an entry drop nothing.
    stored
        What storing a tensor makes of it.
    compared
        By step, values whose order decides for a pooling; default its own.

    Members
    -------
    values
        By step, (images, H, W, C).
    sums
        By layer, the argument of its activation.
    """

    network: TrainingNetwork
    parameters: Mapping[str, Floats]
    kept: Mapping[str, Bools]
    stored: Stored = exactly
    compared: Mapping[str, Floats] = field(default_factory=dict)
    values: dict[str, Floats] = field(default_factory=dict)
    sums: dict[str, Floats] = field(default_factory=dict)

    def forward(self, x: Floats) -> dict[str, Floats]:
        """``STEP.output`` of every step and ``LAYER.sum``, (M, H, W, C), of vectors (M, N)."""
        self._begin(x)
        for step in self.network.steps:
            self.values[step.name] = self.stored(_value(step, self))
        return self._rows(self.values, "output") | self._rows(self.sums, "sum")

    def _begin(self, x: Floats) -> None:
        self.values[INPUT] = x.reshape(len(x), *self.network.flow.input_shape)

    def backward(
        self, x: Floats, outputs: Mapping[str, Floats], error: Floats, masks: Mapping[str, Bools]
    ) -> dict[str, Floats]:
        """``STEP.error`` and gradients of parameters.

        Parameters
        ----------
        x, outputs
            The input, and what :meth:`forward` gave.
        error
            The loss's gradient, at the sums of the last layer if the loss skips its derivative.
        masks
            By step, where a ReLU lets the gradient pass; default where z > 0.
        """
        steps, learning = self.network.steps, self.network.flow.learning
        self._begin(x)
        for step in steps:
            self.values[step.name] = outputs[f"{step.name}.output"].reshape(-1, *step.result)
        gradients = {steps[-1].name: error.reshape(-1, *steps[-1].result)}
        errors: dict[str, Floats] = {}
        found: dict[str, Floats] = {}
        for step in reversed(steps):
            if step.name not in learning:
                continue
            gradient = self._through(step, gradients.pop(step.name), masks.get(step.name))
            errors[step.name] = gradient = self.stored(gradient)
            if self.network.flow.learns(step):
                found |= _gradients(step, self, gradient)
            if learning.intersection(step.sources):
                for name, part in zip(step.sources, _parts(step, self, gradient), strict=True):
                    gradients[name] = gradients[name] + part if name in gradients else part
        return self._rows(errors, "error") | found

    def _through(self, step: Step, gradient: Floats, mask: Bools | None) -> Floats:
        """The gradient at a step's sums from that at its output."""
        skips = step is self.network.steps[-1] and self.network.loss.rule.skips
        if skips or self.network.flow.follows_pooling(step):
            return gradient
        if (gated := _GATED.get(step.activation)) is not None:
            x, result = self.values[step.source], self.values[step.name]
            return gradient * gated.derivative(x, result)
        mask = None if mask is None else mask.reshape(gradient.shape)
        return gradient * _derivative(step.activation, self.values[step.name], mask)

    def _rows(self, found: Mapping[str, Floats], kind: str) -> dict[str, Floats]:
        shapes: dict[str, MapShape] = {step.name: step.result for step in self.network.steps}
        return {
            f"{name}.{kind}": array.reshape(len(array), -1) if is_vector(shapes[name]) else array
            for name, array in found.items()
            if name in shapes
        }

    def parameter(self, step: Step, kind: str) -> Floats:
        """A parameter of a step."""
        return self.parameters[f"{step.name}.{kind}"]


def _activation(name: str, sums: Floats) -> Floats:
    """An activation of its sums."""
    if name == "relu":
        return np.maximum(sums, 0.0)
    if name == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * sums))
    if name == "tanh":
        return np.tanh(sums)
    if name == "step":
        return np.where(sums > 0.0, 1.0, 0.0)
    return _GATED[name].real(sums) if name in _GATED else sums


def _derivative(name: str, z: Floats, mask: Bools | None) -> Floats:
    """By the output; of a step 1, the perceptron rule."""
    if name == "relu":
        return np.where(z > 0.0 if mask is None else mask, 1.0, 0.0)
    if name == "sigmoid":
        return z * (1.0 - z)
    if name == "tanh":
        return 1.0 - z**2
    return np.ones_like(z)


def _normal(layer: NormLayer, run: FloatPass) -> tuple[Floats, Floats]:
    """Normalized values, and what each channel was divided by (Ioffe and Szegedy 2015)."""
    u = run.values[layer.source]
    centred = u - run.stored(u.mean(axis=_AXES), u)
    root = np.sqrt((centred**2).mean(axis=_AXES) + layer.epsilon)
    return run.stored(centred / root), root


@singledispatch
def _value(step: Step, _run: FloatPass) -> Floats:
    """A step's result."""
    raise TypeError(step)


@_value.register
def _(step: MapLayer, run: FloatPass) -> Floats:
    seen = gather(run.values[step.source], step.window, step.result)
    weight = run.parameter(step, "weight")
    parts = [
        seen[..., channels].reshape(-1, len(weight)) @ weight[:, results]
        for channels, results in grouped(step)
    ]
    sums = np.concatenate(parts, axis=1) + run.parameter(step, "bias")
    run.sums[step.name] = sums = sums.reshape(len(seen), *step.result)
    return _activation(step.activation, sums)


@_value.register
def _(step: NormLayer, run: FloatPass) -> Floats:
    sums = _normal(step, run)[0] * run.parameter(step, "weight") + run.parameter(step, "bias")
    return _activation(step.activation, sums)


@_value.register
def _(step: PoolStep, run: FloatPass) -> Floats:
    return largest(run.values[step.source], step.window, step.result)


@_value.register
def _(step: AverageStep, run: FloatPass) -> Floats:
    return total(run.values[step.source], step.window, step.result) * step.share


@_value.register
def _(step: DropStep, run: FloatPass) -> Floats:
    return _dropped(step, run, run.values[step.source])


@_value.register
def _(step: AddStep, run: FloatPass) -> Floats:
    first, second = (run.values[name] for name in step.sources)
    return _activation(step.activation, first + second)


def _dropped(step: DropStep, run: FloatPass, values: Floats) -> Floats:
    return values * run.kept[step.name] * step.share if step.name in run.kept else values


@_value.register
def _(step: ActivateStep, run: FloatPass) -> Floats:
    run.sums[step.name] = x = run.values[step.source]
    return _activation(step.activation, x)


@singledispatch
def _parts(step: Step, _run: FloatPass, _error: Floats) -> list[Floats]:
    """What an error adds to the gradients of a step's sources."""
    raise TypeError(step)


@_parts.register
def _(step: MapLayer, run: FloatPass, error: Floats) -> list[Floats]:
    weight, flat = run.parameter(step, "weight"), error.reshape(-1, step.result[2])
    shape = (*error.shape[:3], *step.window.kernel, -1)
    parts = [
        (flat[:, results] @ weight[:, results].T).reshape(shape) for _, results in grouped(step)
    ]
    whole = np.concatenate(parts, axis=-1)
    return [scatter(whole, step.window, step.given, step.result)]


@_parts.register
def _(step: NormLayer, run: FloatPass, error: Floats) -> list[Floats]:
    normal, root = _normal(step, run)
    along = run.stored((normal * error).mean(axis=_AXES), error)
    slope = run.parameter(step, "weight") / root
    return [slope * (error - error.mean(axis=_AXES) - normal * along)]


@_parts.register
def _(step: PoolStep, run: FloatPass, error: Floats) -> list[Floats]:
    values = run.compared.get(step.source, run.values[step.source])
    return [route(error, values.reshape(-1, *step.given), step.window, step.result)]


@_parts.register
def _(step: AverageStep, _run: FloatPass, error: Floats) -> list[Floats]:
    return [spread(error * step.share, step.window, step.given, step.result)]


@_parts.register
def _(step: DropStep, run: FloatPass, error: Floats) -> list[Floats]:
    return [_dropped(step, run, error)]


@_parts.register
def _(_step: ActivateStep, _run: FloatPass, error: Floats) -> list[Floats]:
    return [error]


@_parts.register
def _(step: AddStep, _run: FloatPass, error: Floats) -> list[Floats]:
    return [error] * len(step.sources)


@singledispatch
def _gradients(layer: Step, _run: FloatPass, _error: Floats) -> dict[str, Floats]:
    """Gradients of a layer's parameters."""
    raise TypeError(layer)


@_gradients.register
def _(layer: MapLayer, run: FloatPass, error: Floats) -> dict[str, Floats]:
    seen = gather(run.values[layer.source], layer.window, layer.result)
    flat = error.reshape(-1, layer.result[2])
    parts = [
        seen[..., channels].reshape(len(flat), -1).T @ flat[:, results]
        for channels, results in grouped(layer)
    ]
    gradients = np.concatenate(parts, axis=1), flat.sum(axis=0)
    names = (f"{name}.gradient" for name in layer.learned)
    return dict(zip(names, gradients, strict=False))


@_gradients.register
def _(layer: NormLayer, run: FloatPass, error: Floats) -> dict[str, Floats]:
    along = (_normal(layer, run)[0] * error).sum(axis=_AXES)
    return {
        f"{layer.name}.weight.gradient": along.reshape(1, -1),
        f"{layer.name}.bias.gradient": error.sum(axis=_AXES),
    }
