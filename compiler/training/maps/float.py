"""A step of a network of feature maps in float64, from the mathematics alone.

Convolutions are products with gathered windows and their gradients the transposed products
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 9.5); pooling gives its gradient
to the first of the largest values.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.layers import (
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.compiler.training.maps.flow import INPUT
from pulsarray.compiler.training.maps.windows import (
    gather,
    grouped,
    largest,
    route,
    scatter,
    spread,
    total,
)
from pulsarray.compiler.training.random_rounding import Stored, exactly

__all__ = ["activation", "derivative", "map_backward", "map_forward"]

Bools = npt.NDArray[np.bool_]


def activation(name: str, sums: Floats) -> Floats:
    """An activation of its sums."""
    if name == "relu":
        return np.maximum(sums, 0.0)
    if name == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * sums))
    if name == "tanh":
        return np.tanh(sums)
    if name == "step":
        return np.where(sums > 0.0, 1.0, 0.0)
    return sums


def derivative(name: str, z: Floats, mask: Bools | None) -> Floats:
    """By the output; of a step 1, the perceptron rule."""
    if name == "relu":
        return np.where(z > 0.0 if mask is None else mask, 1.0, 0.0)
    if name == "sigmoid":
        return z * (1.0 - z)
    if name == "tanh":
        return 1.0 - z**2
    return np.ones_like(z)


def map_forward(
    network: TrainingNetwork,
    parameters: Mapping[str, Floats],
    x: Floats,
    kept: Mapping[str, Bools],
    stored: Stored = exactly,
) -> dict[str, Floats]:
    """``STEP.output`` of every step, (images, H, W, C); of the last (images, N).

    ``kept`` says by dropout which values are left; those without it drop nothing. ``stored`` is
    what storing a tensor makes of it.
    """
    values = {INPUT: _images(network, x)}
    for step in network.steps:
        values[step.name] = stored(_forward(step, parameters, values, kept, stored))
    last = network.steps[-1].name
    values[last] = values[last].reshape(len(x), -1)
    return {f"{name}.output": found for name, found in values.items() if name != INPUT}


def _images(network: TrainingNetwork, x: Floats) -> Floats:
    return x.reshape(len(x), *network.flow.input_shape)


def _forward(
    step: Step,
    parameters: Mapping[str, Floats],
    values: Mapping[str, Floats],
    kept: Mapping[str, Bools],
    stored: Stored,
) -> Floats:
    if isinstance(step, DropStep):
        return _dropped(step, values[step.source], kept)
    if isinstance(step, PoolStep):
        return largest(values[step.source], step.window, step.result)
    if isinstance(step, AverageStep):
        return total(values[step.source], step.window, step.result) * step.share
    if isinstance(step, AddStep):
        both = values[step.sources[0]] + values[step.sources[1]]
        return activation(step.activation, both)
    if isinstance(step, NormLayer):
        normal, _ = _normal(step, values[step.source], stored)
        weight, bias = (parameters[f"{step.name}.{kind}"] for kind in ("weight", "bias"))
        return activation(step.activation, normal * weight + bias)
    seen = gather(values[step.source], step.window, step.result)
    weight = parameters[f"{step.name}.weight"]
    parts = [
        seen[..., channels].reshape(-1, len(weight)) @ weight[:, results]
        for channels, results in grouped(step)
    ]
    sums = np.concatenate(parts, axis=1) + parameters[f"{step.name}.bias"]
    return activation(step.activation, sums.reshape(len(seen), *step.result))


def _dropped(step: DropStep, values: Floats, kept: Mapping[str, Bools]) -> Floats:
    return values * kept[step.name] * step.share if step.name in kept else values


def _normal(layer: NormLayer, u: Floats, stored: Stored) -> tuple[Floats, Floats]:
    """Normalized values, and what each channel was divided by (Ioffe and Szegedy 2015)."""
    axes = (0, 1, 2)
    centred = u - stored(u.mean(axis=axes), u)
    root = np.sqrt((centred**2).mean(axis=axes) + layer.epsilon)
    return stored(centred / root), root


def map_backward(
    network: TrainingNetwork,
    parameters: Mapping[str, Floats],
    x: Floats,
    outputs: Mapping[str, Floats],
    error: Floats,
    masks: Mapping[str, Bools],
    compared: Mapping[str, Floats],
    kept: Mapping[str, Bools],
    stored: Stored = exactly,
) -> dict[str, Floats]:
    """``STEP.error`` and gradients of weights and biases.

    Parameters
    ----------
    network, parameters, x
        The network and its input.
    outputs
        What :func:`map_forward` gave.
    error
        The loss's gradient, at the sums of the last layer if the loss skips its derivative.
    masks
        By step, where a ReLU lets the gradient pass; default where z > 0.
    compared
        By step, values whose order decides for a pooling; default its own.
    kept
        By dropout, which values are left.
    stored
        What storing a tensor makes of it.
    """
    steps = network.steps
    values = {INPUT: _images(network, x)}
    values |= {s.name: outputs[f"{s.name}.output"].reshape(len(x), *s.result) for s in steps}
    gradients = {steps[-1].name: error.reshape(len(x), *steps[-1].result)}
    found: dict[str, Floats] = {}
    for step in reversed(steps):
        if step.name not in network.flow.learning:
            continue
        gradient = gradients.pop(step.name)
        skips = step is steps[-1] and network.loss.rule.skips
        pooled = network.flow.follows_pooling(step.name)
        if not skips and not pooled:
            mask = masks.get(step.name)
            mask = None if mask is None else mask.reshape(gradient.shape)
            gradient = gradient * derivative(step.activation, values[step.name], mask)
        found[f"{step.name}.error"] = gradient = stored(gradient)
        if isinstance(step, MapLayer):
            found |= _gradients(step, values[step.source], gradient)
        elif isinstance(step, NormLayer):
            normal, _ = _normal(step, values[step.source], stored)
            along = (normal * gradient).sum(axis=(0, 1, 2))
            found[f"{step.name}.weight.gradient"] = along.reshape(1, -1)
            found[f"{step.name}.bias.gradient"] = gradient.sum(axis=(0, 1, 2))
        for name, part in _spread(
            step, parameters, values | dict(compared), gradient, kept, stored
        ).items():
            gradients[name] = gradients[name] + part if name in gradients else part
    last = f"{steps[-1].name}.error"
    return found | {last: found[last].reshape(len(x), -1)}


def _gradients(layer: MapLayer, source: Floats, error: Floats) -> dict[str, Floats]:
    seen = gather(source, layer.window, layer.result)
    flat = error.reshape(-1, layer.result[2])
    parts = [
        seen[..., channels].reshape(len(flat), -1).T @ flat[:, results]
        for channels, results in grouped(layer)
    ]
    found = {
        f"{layer.name}.weight.gradient": np.concatenate(parts, axis=1),
        f"{layer.name}.bias.gradient": flat.sum(axis=0),
    }
    return {name: found[name] for name in found if name.removesuffix(".gradient") in layer.learned}


def _spread(
    step: Step,
    parameters: Mapping[str, Floats],
    values: Mapping[str, Floats],
    error: Floats,
    kept: Mapping[str, Bools],
    stored: Stored,
) -> dict[str, Floats]:
    """What an error adds to the gradients of a step's sources."""
    if isinstance(step, DropStep):
        return {step.source: _dropped(step, error, kept)}
    if isinstance(step, PoolStep):
        return {step.source: route(error, values[step.source], step.window, step.result)}
    if isinstance(step, AverageStep):
        whole = spread(error * step.share, step.window, step.given, step.result)
        return {step.source: whole}
    if isinstance(step, AddStep):
        first, second = step.sources
        return {first: 2.0 * error} if first == second else {first: error, second: error}
    if isinstance(step, NormLayer):
        axes = (0, 1, 2)
        normal, root = _normal(step, values[step.source], stored)
        along = stored((normal * error).mean(axis=axes), error)
        slope = parameters[f"{step.name}.weight"] / root
        return {step.source: slope * (error - error.mean(axis=axes) - normal * along)}
    if step.source == INPUT:
        return {}
    weight = parameters[f"{step.name}.weight"]
    flat = error.reshape(-1, step.result[2])
    shape = (*error.shape[:3], *step.window.kernel, -1)
    parts = [
        (flat[:, results] @ weight[:, results].T).reshape(shape) for _, results in grouped(step)
    ]
    whole = np.concatenate(parts, axis=-1)
    return {step.source: scatter(whole, step.window, step.given, step.result)}
