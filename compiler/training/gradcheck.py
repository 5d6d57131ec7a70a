"""How far the machine's arithmetic is from float64, tensor by tensor, for one training step.

The integers are those of the training interpreter, which equal the machine's bit for bit. The
float64 step begins with the same weights; where a ReLU or the loss has a kink, it takes the side
that the machine took (one sum near a kink on the other side would be a jump, not arithmetic). The
float64 step itself is checked by central differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Floats
from pulsarray.compiler.training.conv_train_drop import mask_name
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.float_reference import FloatNetwork, central_differences
from pulsarray.compiler.training.train_interpreter import (
    StepTrace,
    TrainInterpreter,
    TrainState,
    real,
)
from pulsarray.compiler.training.train_layers import DropStep, PoolStep
from pulsarray.compiler.training.train_state import real_master

__all__ = ["TOLERANCES", "Deviation", "GradientCheck", "check_gradients"]

TOLERANCES: Mapping[str, tuple[float, float]] = {
    "forward": (1.0e-3, 1.5e-3),
    "error": (1.0e-2, 1.5e-2),
    "weight gradient": (2.5e-2, 4.0e-2),
    "bias gradient": (7.0e-2, 8.0e-2),
}
"""By kind of tensor: the root mean square of the differences divided by that of the tensor, and the
largest difference divided by the tensor's largest magnitude."""
_DIFFERENCES = 1e-4
"""Between float64 gradients and central differences, relative to a tensor's largest magnitude."""
_ROUNDING = 2.0**-48
"""What a sum in float64 may be off by, relative to the magnitudes of its terms."""
_BESIDE = 0.01
_DISTANCE, _SHORT = 1e-5, 1e-7
"""What parameters are moved by; less where each moves many sums, of which some are near kinks."""
_JUMPS = ("mae", "quantile", "hinge")
_KINDS = (
    (".weight.gradient", "weight gradient"),
    (".bias.gradient", "bias gradient"),
    (".error", "error"),
)


@dataclass(frozen=True)
class Deviation:
    """One tensor.

    Parameters
    ----------
    name, kind
        Its name, and a key of :data:`TOLERANCES`.
    rms, largest
        Relative differences, as :data:`TOLERANCES` says.
    free
        ``rms`` where float64 decides at kinks by itself.
    """

    name: str
    kind: str
    rms: float
    largest: float
    free: float

    @property
    def passes(self) -> bool:
        """Whether both are within the tolerances."""
        rms, largest = TOLERANCES[self.kind]
        return self.rms <= rms and self.largest <= largest


@dataclass(frozen=True)
class GradientCheck:
    """All tensors of a step.

    Parameters
    ----------
    deviations
        Of the machine's arithmetic from float64.
    differences
        By gradient, of float64 from central differences.
    """

    deviations: Sequence[Deviation]
    differences: Mapping[str, float]

    @property
    def passes(self) -> bool:
        """Whether everything is within tolerances."""
        return all(found.passes for found in self.deviations) and all(
            value <= _DIFFERENCES for value in self.differences.values()
        )


def check_gradients(
    network: TrainingNetwork,
    x: Floats,
    t: Floats,
    *,
    learning_rate: float = 0.1,
    steps: int = 0,
    segments: int = 256,
) -> GradientCheck:
    """Compare one training step in integers with float64.

    Parameters
    ----------
    network
        What is trained.
    x, t
        A batch: inputs (M, K) and targets (M, N).
    learning_rate, steps
        Steps on the batch before the one that is compared.
    segments
        Of the function tables.
    """
    interpreter = TrainInterpreter(network, segments)
    state = interpreter.initial(x, t, learning_rate=learning_rate, batch=len(x))
    batch = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *batch)
    for _ in range(steps):
        interpreter.step(state, [batch])
    reference = _reference(network, state)
    trace = interpreter.step(state.copy(), [batch])
    masks = {
        layer.name: trace.tensors[f"{layer.name}.output"] > 0
        for layer in network.steps or network.layers
        if layer.activation == "relu"
    }
    compared = {step.source: real(f"{step.source}.output", trace) for step in _pools(network)}
    reference.kept = {
        step.name: trace.tensors[mask_name(step)] > 0
        for step in network.steps
        if isinstance(step, DropStep)
    }
    error = real(network.loss_error, trace) if network.loss.name in _JUMPS else None
    same = reference.backward(x, t, masks=masks, error=error, compared=compared)
    rows = reference.forward(x)
    return GradientCheck(
        _deviations(trace, rows | same, rows | reference.backward(x, t)),
        _differences(reference, x, t),
    )


def _pools(network: TrainingNetwork) -> list[PoolStep]:
    """The poolings that errors come by."""
    learning = network.flow.learning
    return [s for s in network.steps if isinstance(s, PoolStep) and s.source in learning]


def _reference(network: TrainingNetwork, state: TrainState) -> FloatNetwork:
    """The float network with the weights of a state."""
    reference = FloatNetwork(network)
    for name in reference.parameters:
        reference.parameters[name] = real_master(state, name)
    return reference


def _deviations(
    trace: StepTrace, same: Mapping[str, Floats], free: Mapping[str, Floats]
) -> list[Deviation]:
    found = []
    for name in trace.tensors:
        if name not in same:
            continue
        kind = next((kind for end, kind in _KINDS if name.endswith(end)), "forward")
        values = real(name, trace).reshape(same[name].shape)
        rms, largest = _relative(values, _known(name, same))
        found.append(Deviation(name, kind, rms, largest, _relative(values, _known(name, free))[0]))
    return found


def _known(name: str, tensors: Mapping[str, Floats]) -> Floats:
    """A tensor; sums of errors that float64 cannot tell from 0 are 0."""
    values, error = tensors[name], tensors.get(name.removesuffix(".bias.gradient") + ".error")
    if error is None or not name.endswith(".bias.gradient"):
        return values
    terms = np.abs(error.reshape(-1, values.size)).sum(axis=0)
    return np.where(np.abs(values) <= terms * _ROUNDING, 0.0, values)


def _relative(values: npt.NDArray[np.float64], wanted: Floats) -> tuple[float, float]:
    """Root mean square and largest difference; 0 for a tensor of zeros that is one."""
    difference = values - wanted
    if not difference.any():
        return 0.0, 0.0
    scale = float(np.abs(wanted).max())
    if not scale:
        return np.inf, np.inf
    rms = float(np.sqrt(np.mean(difference**2) / np.mean(wanted**2)))
    return rms, float(np.abs(difference).max()) / scale


def _differences(reference: FloatNetwork, x: Floats, t: Floats) -> dict[str, float]:
    """The perceptron rule is no gradient: a step's slope is 0 or none."""
    if any(layer.activation == "step" for layer in reference.network.layers):
        return {}
    distance = _DISTANCE
    if reference.network.steps:
        reference, distance = _beside_kinks(reference), _SHORT
    gradients, found = reference.backward(x, t), {}
    for name, slopes in central_differences(reference, x, t, distance=distance).items():
        wanted = gradients[name]
        known = ~np.isnan(slopes)
        scale = max(float(np.abs(wanted).max()), 1e-12)
        found[name] = float(np.abs(slopes - wanted)[known].max(initial=0.0)) / scale
    return found


def _beside_kinks(reference: FloatNetwork) -> FloatNetwork:
    """The same with other biases: where an image is empty, sums of 0 are on the kink of ReLU."""
    moved = FloatNetwork(reference.network)
    moved.kept = reference.kept
    random = np.random.default_rng(0)
    for name, values in reference.parameters.items():
        moved.parameters[name] = values.copy()
        if name.endswith(".bias"):
            moved.parameters[name] += random.uniform(_BESIDE, 2 * _BESIDE, values.shape)
    return moved
