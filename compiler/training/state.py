"""What training keeps between steps, and how real data and rates become integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import frexp

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Kept, Shared16
from pulsarray.compiler.ir.mantissas import Part
from pulsarray.compiler.ir.value import Floats, Role, Value
from pulsarray.compiler.numerics.exponents import (
    BIAS,
    MASTER_BITS,
    PROBABILITY,
)
from pulsarray.compiler.numerics.mantissas import LARGEST, limited, rne, sym
from pulsarray.compiler.training.layers import Step
from pulsarray.errors import InputError

__all__ = [
    "NO_ROOT",
    "StepTrace",
    "TrainState",
    "add_layer",
    "data_exponent",
    "encode",
    "real",
    "real_master",
    "samples",
    "working",
]

Ints = npt.NDArray[np.int64]

_NO_VELOCITY = -128
NO_ROOT = -64
"""Exponent of roots of squares at first: twice as much is the least exponent there is."""
_MASTER_LIMIT = (1 << 31) - 1


@dataclass(eq=False)
class TrainState:
    """Everything that persists between steps, in integers.

    Parameters
    ----------
    weights
        By layer the working weights, 16 bits, (K, N).
    masters
        By ``LAYER.weight`` (K, N) and ``LAYER.bias`` (N,), 32 bits.
    velocities, squares
        The same keys, 32 and 48 bits; empty without momentum, and without Adam.
    exponents
        By the names of docs/training.md.
    counts
        Of adaptive exponents.
    rate, decay, momentum, epsilon
        Mantissas; decay, momentum and epsilon are 0 without.
    learning_rate
        As it was set.
    seed, steps
        Of everything random, and how many steps came before.
    """

    weights: dict[str, Ints]
    masters: dict[str, Ints]
    velocities: dict[str, Ints]
    exponents: dict[str, int]
    counts: dict[str, int]
    rate: int
    decay: int
    momentum: int
    squares: dict[str, Ints] = field(default_factory=dict)
    epsilon: int = 0
    learning_rate: float = 0.0
    seed: int = 0
    steps: int = 0

    def part(self, value: Value) -> Part:
        """What it holds of a parameter, state or rate of the graph of a step."""
        form = value.format
        if value.role is Role.INPUT:
            return np.array(getattr(self, value.name)), self.exponents[value.name]
        exponent = BIAS
        if isinstance(form, Kept):
            exponent = form.times * self.exponents[form.name] - form.less
        elif isinstance(form, Shared16):
            exponent = self.exponents[form.name]
        places, name = self._place(value.name)
        return places[name].reshape(value.shape), exponent

    def keep(self, value: Value, part: Part) -> None:
        """What a parameter or state has become."""
        (places, name), (array, exponent) = self._place(value.name), part
        places[name] = array.reshape(places[name].shape)
        if isinstance(value.format, Kept):
            self.exponents[value.format.name] = (exponent + value.format.less) // value.format.times

    def _place(self, value: str) -> tuple[dict[str, Ints], str]:
        name, _, kind = value.rpartition(".")
        places = {
            "weight": self.weights, "master": self.masters, "velocity": self.velocities,
            "squares": self.squares,
        }  # fmt: skip
        return (places[kind], name) if kind in places else (self.masters, value)

    def copy(self) -> TrainState:
        """A state that shares nothing with this one."""
        return replace(
            self,
            weights={name: values.copy() for name, values in self.weights.items()},
            masters={name: values.copy() for name, values in self.masters.items()},
            velocities={name: values.copy() for name, values in self.velocities.items()},
            squares={name: values.copy() for name, values in self.squares.items()},
            exponents=dict(self.exponents),
            counts=dict(self.counts),
        )


@dataclass(frozen=True, eq=False)
class StepTrace:
    """What a step computed.

    Parameters
    ----------
    tensors
        Mantissas, int64: ``LAYER.output`` and ``LAYER.error`` (batch, N), ``loss.error`` where it
        is not the last layer's, ``probabilities`` with softmax, ``LAYER.weight.gradient`` (K, N),
        ``LAYER.bias.gradient`` (N,).
    exponents
        As they were during the step.
    saturated
        Adaptive exponents that were too small, so that a mantissa was cut.
    """

    tensors: dict[str, Ints]
    exponents: dict[str, int]
    saturated: list[str]


def real(name: str, trace: StepTrace) -> Floats:
    """The real values of a tensor of a step.

    Raises
    ------
    InputError
        If the step has no tensor of that name.
    """
    if name not in trace.tensors:
        known = ", ".join(trace.tensors)
        raise InputError(f"tensor: must be one of {known}, not {name!r}")
    # Only the error of the hinge loss has no exponent of its own.
    exponent = trace.exponents.get(name, trace.exponents["target"])
    exponent = PROBABILITY if name == "probabilities" else exponent
    return np.ldexp(trace.tensors[name].astype(np.float64), exponent)


def samples(values: npt.ArrayLike, shape: Sequence[int], what: str) -> Floats:
    """Finite samples as (samples, elements), float64.

    Raises
    ------
    InputError
        If the shape is wrong, there is no sample, or a value is not finite.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: must be an array of numbers") from None
    size = int(np.prod(shape))
    if array.ndim < 1 or array.shape[1:] not in (tuple(shape), (size,)):
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{what}: shape must be (samples, {wanted}), not {array.shape}")
    if not len(array):
        raise InputError(f"{what}: at least one sample is needed")
    array = array.reshape(len(array), size)
    bad = ~np.isfinite(array)
    if bad.any():
        row, place = np.argwhere(bad)[0]
        raise InputError(f"{what}: sample {row} must be finite, not {array[row, place]:g}")
    return array


def data_exponent(values: Floats) -> int:
    """The smallest exponent at which every value fits 16 bits; zeros count as 1."""
    most = float(np.abs(values).max()) or 1.0
    exponent = frexp(most)[1] - 16
    while np.rint(np.ldexp(most, -exponent)) > LARGEST:
        exponent += 1
    return limited(exponent)


def encode(values: Floats, exponent: int, what: str) -> Ints:
    """Mantissas of finite samples (samples, elements).

    Raises
    ------
    InputError
        If a value is beyond 16 bits.
    """
    codes = np.rint(np.ldexp(values, -exponent))
    bad = np.abs(codes) > LARGEST
    if bad.any():
        row, place = np.argwhere(bad)[0]
        most = float(np.ldexp(LARGEST, exponent))
        words = values[row, place]
        raise InputError(f"{what}: sample {row} must be within +-{most:g}, not {words:g}")
    return codes.astype(np.int64)


def add_layer(state: TrainState, layer: Step, *, velocities: bool, squares: bool) -> None:
    """Adds a layer's parameters, as they are before the first step, to a state.

    Raises
    ------
    InputError
        If a value is beyond 32 bits.
    """
    weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
    exponent = _weight_exponent(layer.weight)
    state.exponents[weight] = exponent
    state.masters[weight] = _master(weight, layer.weight, exponent - MASTER_BITS)
    state.masters[bias] = _master(bias, layer.bias, BIAS)
    state.weights[layer.name] = working(state.masters[weight])
    if velocities:
        for name in layer.learned:
            state.velocities[name] = np.zeros_like(state.masters[name])
            state.exponents[f"{name}.velocity"] = _NO_VELOCITY
    for name in layer.learned if squares else ():
        state.squares[name] = np.zeros_like(state.masters[name])
        state.exponents[f"{name}.root"] = NO_ROOT


def _weight_exponent(weight: Floats) -> int:
    fraction, bits = frexp(float(np.abs(weight).max()))
    return limited(bits - (fraction == 0.5) + 2 - 15)


def _master(name: str, values: Floats, exponent: int) -> Ints:
    codes = np.rint(np.ldexp(values, -exponent))
    if (np.abs(codes) > _MASTER_LIMIT).any():
        largest, most = float(np.abs(values).max()), float(np.ldexp(1.0, exponent + 31))
        raise InputError(f"{name}: values must be within +-{most:g}, not {largest:g}")
    return codes.astype(np.int64)


def real_master(state: TrainState, name: str) -> Floats:
    """Real values of the master weights or biases of a name."""
    exponent = state.exponents[name] - MASTER_BITS if name in state.exponents else BIAS
    return np.ldexp(state.masters[name].astype(np.float64), exponent)


def working(master: Ints) -> Ints:
    """Working weights of master weights."""
    return sym(rne(master, 16), 16)
