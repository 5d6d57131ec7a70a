"""How far the machine's arithmetic is from float64, tensor by tensor, for one training step.

The integers are those of the training interpreter, which equal the machine's bit for bit. The
float64 step begins with the same weights; where a ReLU or the loss has a kink, it takes the side
that the machine took (one sum near a kink on the other side would be a jump, not arithmetic). The
float64 step itself is checked by central differences.

Where terms cancel, differences are measured by those of float64 steps that round at random what the
machine stores (docs/training.md, Accuracy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Shared16
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.training.activations import OUTPUT
from pulsarray.compiler.passes.training.ends import TARGET
from pulsarray.compiler.passes.training.maps import PROBABILITIES, is_layer
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.float_reference import FloatNetwork, central_differences
from pulsarray.compiler.training.interpreter import (
    StepTrace,
    TrainInterpreter,
    TrainState,
    real,
)
from pulsarray.compiler.training.layers import is_vector
from pulsarray.compiler.training.random_rounding import RandomRounding
from pulsarray.compiler.training.state import real_masters

Ints = npt.NDArray[np.int64]

__all__ = ["ROUNDINGS", "SLOPES", "TOLERANCES", "Deviation", "GradientCheck", "check_gradients"]

TOLERANCES: Mapping[str, tuple[float, float]] = {
    "forward": (1.0e-3, 1.5e-3),
    "error": (1.0e-2, 1.5e-2),
    "weight gradient": (2.5e-2, 4.0e-2),
    "bias gradient": (7.0e-2, 8.0e-2),
}
"""By kind of tensor: the root mean square of the differences divided by that of the tensor, and the
largest difference divided by the tensor's largest magnitude."""
ROUNDINGS = 8.0
"""Root mean square of the differences divided by that of float64 steps with random roundings."""
_DRAWS = 8
SLOPES = 1e-4
"""Between float64 gradients and central differences, relative to a tensor's largest magnitude."""
_RESOLUTION = 2.0**-48
"""What a loss in float64 may be off by, relative to itself."""
_BESIDE = 0.01
_DISTANCE, _SHORT = 1e-5, 1e-7
"""What parameters are moved by; less where each moves many sums, of which some are near kinks."""
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
    roundings
        Root mean square of the differences, divided by that of random roundings.
    """

    name: str
    kind: str
    rms: float
    largest: float
    free: float
    roundings: float

    @property
    def passes(self) -> bool:
        """Whether both are within the tolerances, or the difference is one of roundings."""
        rms, largest = TOLERANCES[self.kind]
        return (self.rms <= rms and self.largest <= largest) or self.roundings <= ROUNDINGS


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
        return all(deviation.passes for deviation in self.deviations) and all(
            value <= SLOPES for value in self.differences.values()
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
    trace = interpreter.step(state.copy(), [batch])
    reference = _reference(network, state, trace)
    sides = _sides(trace, batch[1])
    same = _tensors(reference, x, t, sides)
    largest = _largest(network, same)
    draws = [_tensors(_rounded(reference, largest, seed), x, t, sides) for seed in range(_DRAWS)]
    free = _tensors(reference, x, t, {})
    return GradientCheck(
        [_deviation(name, trace, same, draws, free) for name in trace.tensors if name in same],
        _differences(reference, x, t),
    )


def _sides(trace: StepTrace, target: Ints) -> dict[str, Floats]:
    """What the machine had, for operators whose gradient jumps."""
    shown = {n: real(n, trace) for n in trace.tensors if n.endswith(OUTPUT) or n == PROBABILITIES}
    return shown | {TARGET: np.ldexp(target.astype(np.float64), trace.exponents[TARGET])}


def _reference(network: TrainingNetwork, state: TrainState, trace: StepTrace) -> FloatNetwork:
    """The float network with the weights of a state, and what a step from it dropped."""
    reference = FloatNetwork(network)
    reference.parameters = real_masters(state)
    reference.kept = {name: trace.tensors[f"{name}.mask"] > 0 for name in network.drops}
    return reference


def _largest(network: TrainingNetwork, tensors: Mapping[str, Floats]) -> dict[str, Floats]:
    """By exponent that adapts, and that several runs may share, the largest tensor that has it."""
    largest: dict[str, Floats] = {}
    for name, array in tensors.items():
        form = network.nodes.values[name].format
        if not isinstance(form, Shared16) or form.fixed is not None or name.endswith(".gradient"):
            continue
        if _most(array) > _most(largest.get(form.name, np.zeros(1))):
            largest[form.name] = array
    return largest


def _most(array: Floats) -> float:
    return float(np.abs(array).max())


def _rounded(reference: FloatNetwork, largest: Mapping[str, Floats], seed: int) -> FloatNetwork:
    """The same with random roundings of all that has 16 bits."""
    rounded = FloatNetwork(reference.network)
    rounded.largest = largest
    rounded.kept, rounded.parameters = reference.kept, reference.parameters
    rounded.stored = RandomRounding(seed)
    return rounded


def _tensors(
    reference: FloatNetwork, x: Floats, t: Floats, sides: Mapping[str, Floats]
) -> dict[str, Floats]:
    """What a step stores: results, errors and gradients."""
    shapes = reference.network.nodes.values
    there = {name: array.reshape(-1, *shapes[name].shape) for name, array in sides.items()}
    return reference.backward(x, t, there)


def _deviation(
    name: str,
    trace: StepTrace,
    same: Mapping[str, Floats],
    draws: Sequence[Mapping[str, Floats]],
    free: Mapping[str, Floats],
) -> Deviation:
    wanted = same[name]
    kind = next((kind for end, kind in _KINDS if name.endswith(end)), "forward")
    values = real(name, trace).reshape(wanted.shape)
    return Deviation(
        name, kind, *_relative(values, wanted),
        free=_relative(values, free[name])[0],
        roundings=_ratio(_rms(values - wanted), _rms(*(draw[name] - wanted for draw in draws))),
    )  # fmt: skip


def _rms(*tensors: Floats) -> float:
    return float(np.sqrt(np.mean([np.mean(values**2) for values in tensors])))


def _ratio(difference: float, scale: float) -> float:
    """Relative to something; 0 where nothing differs, also from 0."""
    if not difference:
        return 0.0
    return difference / scale if scale else np.inf


def _relative(values: Floats, wanted: Floats) -> tuple[float, float]:
    """Root mean square and largest difference."""
    difference = values - wanted
    return (
        _ratio(_rms(difference), _rms(wanted)),
        _ratio(float(np.abs(difference).max()), float(np.abs(wanted).max())),
    )


def _differences(reference: FloatNetwork, x: Floats, t: Floats) -> dict[str, float]:
    """What stands for the slope of a step, as the perceptron rule does, is none of the loss's.

    Nor is a gradient without what some operators would add to it.
    """
    network = reference.network
    partly = any(
        len(network.learners(x.name)) < len(network.members[x.name]) for x in network.learning
    )
    if partly or any(step.derivative.steps for step in network.steps):
        return {}
    distance = _DISTANCE
    if not all(is_layer(s.op) and is_vector(s.result) for s in reference.network.steps):
        reference, distance = _beside_kinks(reference), _SHORT
    gradients, largest = reference.backward(x, t), {}
    # What differences cannot tell from 0.
    least = reference.loss(x, t) * len(x) * _RESOLUTION / distance
    for name, slopes in central_differences(reference, x, t, distance=distance).items():
        wanted = gradients[name]
        known = ~np.isnan(slopes)
        scale = max(float(np.abs(wanted).max()), least / SLOPES, 1e-12)
        largest[name] = float(np.abs(slopes - wanted)[known].max(initial=0.0)) / scale
    return largest


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
