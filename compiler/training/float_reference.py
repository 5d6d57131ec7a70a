"""A training step in float64, to compare the machine's with.

Written from the mathematics alone (Rumelhart, Hinton and Williams, "Learning representations by
back-propagating errors", 1986), not from the rules that the machine's step is lowered from, and
checked by :func:`central_differences`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.float_pass import (
    Bools,
    FloatPass,
)
from pulsarray.compiler.training.layers import DropStep
from pulsarray.compiler.training.losses import Loss, loss_value
from pulsarray.compiler.training.random_rounding import Stored, exactly
from pulsarray.errors import InputError

__all__ = ["FloatNetwork", "central_differences"]


class FloatNetwork:
    """A network that trains in float64.

    Parameters
    ----------
    network
        What is trained, with the initial weights.

    Attributes
    ----------
    parameters
        ``LAYER.weight`` (K, N) and ``LAYER.bias`` (N,), changed by :meth:`step`.
    velocities
        By the same names; zeros at first, used with momentum.
    kept
        By dropout the values that are left; those without an entry drop nothing. :meth:`step`
        draws its own.
    stored
        What storing a value or an error makes of it: nothing, unless it is set.
    """

    def __init__(self, network: TrainingNetwork) -> None:
        self.network = network
        self.parameters: dict[str, Floats] = {}
        for layer in network.layers:
            self.parameters[f"{layer.name}.weight"] = np.array(layer.weight, np.float64, order="C")
            self.parameters[f"{layer.name}.bias"] = np.array(layer.bias, np.float64)
        self.kept: dict[str, Bools] = {}
        self.stored: Stored = exactly
        self._random = np.random.default_rng(0)
        self.velocities = {name: np.zeros_like(v) for name, v in self.parameters.items()}

    def _drawn(self, count: int) -> dict[str, Bools]:
        steps = [step for step in self.network.steps if isinstance(step, DropStep)]
        return {s.name: self._random.random((count, *s.result)) >= s.rate for s in steps}

    @property
    def softmax(self) -> bool:
        """Whether the network ends with softmax."""
        return host_function(self.network.graph) == "softmax"

    def forward(self, x: Floats) -> dict[str, Floats]:
        """Everything between input and result.

        Parameters
        ----------
        x
            Samples, (M, K).

        Returns
        -------
        ``STEP.output`` of every step and ``LAYER.sum``, (M, H, W, C), of vectors (M, N), and
        ``probabilities`` after softmax.
        """
        found = self._pass().forward(x)
        if self.softmax:
            x = found[f"{self.network.layers[-1].name}.output"]
            powers = np.exp(x - x.max(axis=1, keepdims=True))
            found["probabilities"] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def _pass(self, compared: Mapping[str, Floats] = MappingProxyType({})) -> FloatPass:
        return FloatPass(self.network, self.parameters, self.kept, self.stored, compared)

    def result(self, x: Floats) -> Floats:
        """What the network answers, (M, N): probabilities if it ends with softmax."""
        return self._result(self.forward(x))

    def _result(self, outputs: Mapping[str, Floats]) -> Floats:
        last = f"{self.network.layers[-1].name}.output"
        return outputs["probabilities" if self.softmax else last]

    def loss(self, x: Floats, t: Floats) -> float:
        """Mean loss over samples (M, K) with targets (M, N)."""
        return float(loss_value(self.network.loss, self.result(x), t).mean())

    def backward(
        self,
        x: Floats,
        t: Floats,
        outputs: Mapping[str, Floats] | None = None,
        masks: Mapping[str, Bools] | None = None,
        error: Floats | None = None,
        compared: Mapping[str, Floats] | None = None,
    ) -> dict[str, Floats]:
        """Gradients of the loss summed over the batch.

        Parameters
        ----------
        x, t
            Samples (M, K) and targets (M, N).
        outputs
            What :meth:`forward` gave for x, to save the work.
        masks
            By layer, (M, N), where a ReLU lets the gradient pass: imposed from elsewhere, since
            one sum near 0 with the other sign would be more than rounding. Default: where z > 0.
        error
            The loss's gradient (M, N), imposed for the same reason where it jumps (mae, quantile,
            hinge).
        compared
            By step, values whose order decides which of them a pooling took: imposed, too.

        Returns
        -------
        ``loss.error`` where the last activation's derivative follows it, and for all layers from
        the first that learns ``LAYER.error``, the gradient at the sums; for those that learn
        ``LAYER.weight.gradient`` (K, N) and ``LAYER.bias.gradient`` (N,).
        """
        outputs = self.forward(x) if outputs is None else outputs
        network, last = self.network, self.network.layers[-1]
        through = network.loss.name not in ("cross-entropy", "binary-cross-entropy")
        if error is None:
            error = self.stored(_loss_gradient(network.loss, self._result(outputs), t))
        found: dict[str, Floats] = {}
        if through and last.activation in ("relu", "sigmoid", "tanh"):
            found["loss.error"] = error
        run = self._pass(compared or {})
        return found | run.backward(x, outputs, error, masks or {})

    def step(self, x: Floats, t: Floats, learning_rate: float) -> float:
        """One step of gradient descent; the mean loss before it.

        With the optimizer's momentum and weight decay: ``W -= learning_rate * weight_decay * W``
        for weights alone, then ``v = momentum * v + g`` and ``W -= learning_rate / M * v``, where
        g sums over the batch: the decay is not divided by the batch and leaves v alone.

        Parameters
        ----------
        x, t
            Samples (M, K) and targets (M, N).
        learning_rate
            Of the mean over the batch.
        """
        self.kept = self._drawn(len(x))
        outputs = self.forward(x)
        gradients = self.backward(x, t, outputs)
        self.kept = {}
        optimizer = self.network.optimizer
        for layer in self.network.learning:
            weight = f"{layer.name}.weight"
            self.parameters[weight] *= 1.0 - learning_rate * optimizer.weight_decay
            for name in layer.learned:
                velocity = (
                    optimizer.momentum * self.velocities[name] + gradients[f"{name}.gradient"]
                )
                self.velocities[name] = velocity
                self.parameters[name] -= learning_rate / len(x) * velocity
        return float(loss_value(self.network.loss, self._result(outputs), t).mean())


def _loss_gradient(loss: Loss, z: Floats, t: Floats) -> Floats:
    """At the last output, but at its sums for the two losses of probabilities."""
    d, parameter = z - t, 0.0 if loss.parameter is None else loss.parameter
    if loss.name == "mae":
        return np.sign(d)
    if loss.name == "huber":
        return np.clip(d, -parameter, parameter)
    if loss.name == "log-cosh":
        return np.tanh(d)
    if loss.name == "quantile":
        return np.where(d > 0.0, 1.0 - parameter, np.where(d < 0.0, -parameter, 0.0))
    if loss.name == "hinge":
        return np.where(z * t < 1.0, -t, 0.0)
    return d


def central_differences(
    network: FloatNetwork,
    x: Floats,
    t: Floats,
    *,
    distance: float = 1e-5,
    most: int = 200,
    seed: int = 0,
) -> dict[str, Floats]:
    """Gradients of the summed loss from its values alone, (f(w + h) - f(w - h)) / 2h.

    Parameters
    ----------
    network
        The network; its parameters are as before afterwards.
    x, t
        Samples (M, K) and targets (M, N).
    distance
        h.
    most
        Parameters that are tried in each tensor; of larger ones a sample.
    seed
        Seed of the sample.

    Returns
    -------
    ``LAYER.weight.gradient`` and ``LAYER.bias.gradient`` of the layers that learn, NaN for
    parameters not tried.

    Raises
    ------
    InputError
        If a layer is a step: its rule is no derivative.
    """
    for layer in network.network.layers:
        if layer.activation == "step":
            raise InputError(f"{layer.name}: step has no derivative to compare with differences")
    rng = np.random.default_rng(seed)
    found: dict[str, Floats] = {}
    for layer in network.network.learning:
        for name in layer.learned:
            values = network.parameters[name]
            gradient = np.full(values.size, np.nan)
            for place in rng.permutation(values.size)[:most]:
                gradient[place] = _difference(network, x, t, values.reshape(-1)[place:], distance)
            found[f"{name}.gradient"] = gradient.reshape(values.shape)
    return found


def _difference(network: FloatNetwork, x: Floats, t: Floats, at: Floats, distance: float) -> float:
    """With a view of the parameters that begins at the one to move."""
    before = float(at[0])
    losses = []
    for moved in (before + distance, before - distance):
        at[0] = moved
        losses.append(network.loss(x, t) * len(x))
    at[0] = before
    return (losses[0] - losses[1]) / (2.0 * distance)
