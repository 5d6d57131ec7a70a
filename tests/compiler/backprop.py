"""Rounding by fractions and gradients in floating point, for the tests of training."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.interpreter import TrainState

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def rounded(value: int, shift: int) -> int:
    """``rne`` of one number, from fractions."""
    shift = min(max(shift, -63), 63)
    exact = round(Fraction(value) / Fraction(2) ** shift)
    return min(max(exact, -(1 << 47)), (1 << 47) - 1)


def targets_of(network: TrainingNetwork, batch: int, rng: np.random.Generator) -> Floats:
    """Random targets that the loss accepts."""
    outputs = network.graph.output.size
    allowed = network.loss.rule.targets
    if network.loss.name == "cross-entropy":
        return np.eye(outputs)[rng.integers(0, outputs, batch)]
    if allowed is not None:
        return rng.choice(np.array(allowed), (batch, outputs))
    return rng.uniform(-1, 1, (batch, outputs))


def backprop(network: TrainingNetwork, state: TrainState, x: Ints, t: Ints) -> dict[str, Floats]:
    """Outputs, and by name the gradients of the sum over the batch, at a state's weights."""
    values = x * 2.0 ** state.exponents["input"]
    target = t * 2.0 ** state.exponents["target"]
    inputs, outputs = [], []
    for layer in network.layers:
        inputs.append(values)
        name = f"{layer.name}.weight"
        weight = state.values[name] * 2.0 ** state.exponents[name]
        sums = values @ weight + state.values[f"{layer.name}.bias"] * 2.0**-24
        values = _activation(layer.activation, sums)
        outputs.append(values)
    result = network.graph.nodes[-1].op.real(values) if host_function(network.graph) else values
    results = {"outputs": result}
    error = _loss(network, result, target)
    for place, layer in reversed(list(enumerate(network.layers))):
        if not (layer is network.layers[-1] and network.loss.rule.skips):
            error = error * _derivative(layer.activation, outputs[place])
        results[f"{layer.name}.error"] = error
        results[f"{layer.name}.weight.gradient"] = inputs[place].T @ error
        results[f"{layer.name}.bias.gradient"] = error.sum(axis=0)
        name = f"{layer.name}.weight"
        weight = state.values[name] * 2.0 ** state.exponents[name]
        error = error @ weight.T
    return results


def _activation(name: str, sums: Floats) -> Floats:
    if name == "relu":
        return np.maximum(sums, 0.0)
    if name == "tanh":
        return np.tanh(sums)
    if name == "step":
        return np.where(sums > 0, 1.0, 0.0)
    return 1 / (1 + np.exp(-sums)) if name == "sigmoid" else sums


def _derivative(name: str, output: Floats) -> Floats:
    if name == "relu":
        return np.where(output > 0, 1.0, 0.0)
    if name == "tanh":
        return 1 - output**2
    return output * (1 - output) if name == "sigmoid" else np.ones_like(output)


def _loss(network: TrainingNetwork, output: Floats, target: Floats) -> Floats:
    name, parameter = network.loss.name, network.loss.parameter or 0.0
    difference = output - target
    if name == "mae":
        return np.sign(difference)
    if name == "huber":
        return np.clip(difference, -parameter, parameter)
    if name == "log-cosh":
        return np.tanh(difference)
    if name == "quantile":
        return np.where(difference > 0, 1 - parameter, -parameter)
    if name == "hinge":
        return np.where(output * target < 1, -target, 0.0)
    return difference
