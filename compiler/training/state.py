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
from pulsarray.compiler.passes.training.updates import MASTER
from pulsarray.compiler.training.layers import Step
from pulsarray.errors import InputError

__all__ = [
    "StepTrace",
    "TrainState",
    "add_layer",
    "data_exponent",
    "encode",
    "real",
    "real_masters",
    "samples",
    "working",
]

Ints = npt.NDArray[np.int64]

_MASTER_LIMIT = (1 << 31) - 1


@dataclass(eq=False)
class TrainState:
    """Everything that persists between steps, in integers.

    Parameters
    ----------
    values
        Of every layer ``LAYER.weight`` (K, N), 16 bits, ``LAYER.weight.master``, 32 bits, and
        ``LAYER.bias`` (N,), 32 bits; beside those that learn what updates keep of their gradients
        (:class:`~pulsarray.compiler.ops.optimizer.Memory`).
    exponents
        By the names of docs/training.md.
    counts
        Of adaptive exponents.
    rates
        Mantissas of what the updates of a step read
        (:data:`~pulsarray.compiler.passes.training.updates.RATES`).
    learning_rate
        As it was set.
    seed, steps
        Of everything random, and how many steps came before.
    """

    values: dict[str, Ints]
    exponents: dict[str, int]
    counts: dict[str, int]
    rates: dict[str, int] = field(default_factory=dict)
    learning_rate: float = 0.0
    seed: int = 0
    steps: int = 0

    @property
    def weights(self) -> list[str]:
        """Names of the weights of all layers."""
        return [name.removesuffix(MASTER) for name in self.values if name.endswith(MASTER)]

    def part(self, value: Value) -> Part:
        """What it holds of a parameter, state or rate of the graph of a step."""
        form = value.format
        if value.role is Role.INPUT:
            return np.array(self.rates[value.name]), self.exponents[value.name]
        exponent = BIAS
        if isinstance(form, Kept):
            exponent = form.times * self.exponents[form.name] - form.less
        elif isinstance(form, Shared16):
            exponent = self.exponents[form.name]
        return self.values[value.name].reshape(value.shape), exponent

    def keep(self, value: Value, part: Part) -> None:
        """What a parameter or state has become."""
        array, exponent = part
        self.values[value.name] = array.reshape(self.values[value.name].shape)
        if isinstance(value.format, Kept):
            self.exponents[value.format.name] = (exponent + value.format.less) // value.format.times

    def copy(self) -> TrainState:
        """A state that shares nothing with this one."""
        return replace(
            self,
            values={name: values.copy() for name, values in self.values.items()},
            exponents=dict(self.exponents),
            counts=dict(self.counts),
            rates=dict(self.rates),
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


def add_layer(state: TrainState, layer: Step) -> None:
    """Adds a layer's parameters, as they are before the first step, to a state.

    Raises
    ------
    InputError
        If a value is beyond 32 bits.
    """
    weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
    exponent = _weight_exponent(layer.weight)
    state.exponents[weight] = exponent
    master = _master(weight, layer.weight, exponent - MASTER_BITS)
    state.values |= {weight: working(master), f"{weight}{MASTER}": master}
    state.values[bias] = _master(bias, layer.bias, BIAS)


def _weight_exponent(weight: Floats) -> int:
    fraction, bits = frexp(float(np.abs(weight).max()))
    return limited(bits - (fraction == 0.5) + 2 - 15)


def _master(name: str, values: Floats, exponent: int) -> Ints:
    codes = np.rint(np.ldexp(values, -exponent))
    if (np.abs(codes) > _MASTER_LIMIT).any():
        largest, most = float(np.abs(values).max()), float(np.ldexp(1.0, exponent + 31))
        raise InputError(f"{name}: values must be within +-{most:g}, not {largest:g}")
    return codes.astype(np.int64)


def real_masters(state: TrainState) -> dict[str, Floats]:
    """Real values of ``LAYER.weight`` (K, N), as they are kept in 32 bits, and ``LAYER.bias``."""
    by_name = {}
    for weight in state.weights:
        bias = f"{weight.removesuffix('.weight')}.bias"
        exponent = state.exponents[weight] - MASTER_BITS
        by_name[weight] = np.ldexp(state.values[f"{weight}{MASTER}"].astype(np.float64), exponent)
        by_name[bias] = np.ldexp(state.values[bias].astype(np.float64), BIAS)
    return by_name


def working(master: Ints) -> Ints:
    """Working weights of master weights."""
    return sym(rne(master, 16), 16)
