"""Training in the quantized integers, without a machine: docs/training.md with NumPy.

Written from the arithmetic alone, not from instructions: a machine's weights, exponents and
gradients must equal these bit for bit after every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.training.arithmetic import (
    LARGEST,
    blen,
    factor,
    limited,
    product,
    rne,
    softmax,
    sym,
)
from pulsarray.compiler.training.differentiate import ALIGNED, TrainingLayer, TrainingNetwork
from pulsarray.compiler.training.gradients import class_gradient, gate, loss_gradient
from pulsarray.compiler.training.maps.drop import draw_masks
from pulsarray.compiler.training.maps.interpreter import MapPass
from pulsarray.compiler.training.rules import ROOM, adapt, make_room, update
from pulsarray.compiler.training.state import (
    BIAS,
    PROBABILITY,
    StepTrace,
    TrainState,
    add_layer,
    data_exponent,
    encode,
    real,
    samples,
)
from pulsarray.compiler.training.tables import table
from pulsarray.errors import InputError

__all__ = ["StepTrace", "TrainInterpreter", "TrainState", "real"]

Ints = npt.NDArray[np.int64]


@dataclass
class _Scales:
    """Exponents of one pass over the network, and the statistics it gathers."""

    exponents: dict[str, int]
    exact: bool = False
    statistics: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.exponents[name]

    def assign(self, name: str, exponent: int) -> None:
        """Sets an exponent in the pass that finds exponents."""
        self.exponents[name] = exponent

    def narrow(self, name: str, values: Ints, exponent: int) -> Ints:
        """Values requantized to 16 bits at the adaptive exponent of a tensor."""
        level = blen(values) + exponent
        if level > exponent:
            # Zeros do not say how large the values of other batches are.
            self.statistics[name] = max(level, self.statistics.get(name, level))
        if self.exact:
            self.exponents[name] = limited(self.statistics.get(name, 0) - ROOM)
        return sym(rne(values, self.exponents[name] - exponent), 16)


class TrainInterpreter:
    """Trains a network in integers.

    Parameters
    ----------
    network
        Layers, loss and optimizer.
    segments
        Segments of the function tables.
    """

    def __init__(self, network: TrainingNetwork, segments: int = 256) -> None:
        self.network = network
        self.segments = segments
        self._softmax = host_function(network.graph) == "softmax"
        self._maps = MapPass(network, segments) if network.steps else None
        self._adaptive = [name for name, fixed in network.exponents.items() if fixed is None]

    def initial(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        learning_rate: float,
        batch: int,
        seed: int = 0,
    ) -> TrainState:
        """The state before the first step; adaptive exponents are 0 until :meth:`calibrate`.

        Parameters
        ----------
        x, t
            All the data that training will see, (samples, K) and (samples, N): the exponents of
            input and target come from them.
        learning_rate, batch
            As for :meth:`set_rate`.
        seed
            Of what dropouts drop, 0 or more.

        Raises
        ------
        InputError
            If data, rate or weights do not fit.
        """
        inputs, targets = self._inputs(x), self._targets(t)
        if len(inputs) != len(targets):
            raise InputError(f"target: must have {len(inputs)} samples, not {len(targets)}")
        exponents = {"input": data_exponent(inputs), "target": data_exponent(targets)}
        exponents |= {name: fixed or 0 for name, fixed in self.network.exponents.items()}
        optimizer = self.network.optimizer
        momentum = min(round(optimizer.momentum * (1 << 15)), LARGEST)
        counts = dict.fromkeys(self._adaptive, 0)
        state = TrainState({}, {}, {}, exponents, counts, 0, 0, momentum, seed)
        for layer in self.network.layers:
            add_layer(state, layer, velocities=optimizer.momentum > 0)
        self.set_rate(state, learning_rate, batch)
        return state

    def set_rate(self, state: TrainState, learning_rate: float, batch: int) -> None:
        """Sets the mantissas and exponents of ``rate`` and ``decay``.

        Parameters
        ----------
        state
            Is changed.
        learning_rate
            Of the mean over the batch.
        batch
            Samples of a step.

        Raises
        ------
        InputError
            If one is not positive, or a product is out of range.
        """
        if batch < 1:
            raise InputError(f"batch: must be 1 or more, not {batch}")
        state.rate, state.exponents["rate"] = factor(learning_rate / batch, "learning rate / batch")
        decay = self.network.optimizer.weight_decay
        state.decay, state.exponents["decay"] = (
            factor(learning_rate * decay, "learning rate x weight decay") if decay else (0, 0)
        )

    def calibrate(self, state: TrainState, x_codes: Ints, t_codes: Ints) -> None:
        """Sets every adaptive exponent to what the first batch needs, and its count to 0."""
        scales = _Scales(dict(state.exponents), exact=True)
        rows = self._forward(state, scales, x_codes, self.masks(state, len(x_codes)))
        rows |= self._backward(state, scales, x_codes, rows, t_codes)
        self._gradients(scales, self._sums(scales, x_codes, rows))
        for name in self._adaptive:
            state.exponents[name], state.counts[name] = scales[name], 0

    def encode(self, state: TrainState, x: npt.ArrayLike) -> Ints:
        """Mantissas of real inputs, (samples, K).

        Raises
        ------
        InputError
            If the shape is wrong, or a sample is not finite or beyond 16 bits.
        """
        return encode(self._inputs(x), state.exponents["input"], "input")

    def encode_target(self, state: TrainState, t: npt.ArrayLike) -> Ints:
        """Mantissas of real targets, (samples, N).

        Raises
        ------
        InputError
            If the shape is wrong, or a sample is not finite, beyond 16 bits or not of the loss.
        """
        return encode(self._targets(t), state.exponents["target"], "target")

    def forward(self, state: TrainState, x_codes: Ints) -> dict[str, Ints]:
        """Mantissas of every ``LAYER.output``, and ``probabilities`` at 2^-31 with softmax."""
        return self._forward(state, _Scales(dict(state.exponents)), x_codes)

    def outputs(self, state: TrainState, x_codes: Ints) -> Floats:
        """Real values of the network's output, (samples, N), softmax applied."""
        rows = self.forward(state, x_codes)
        last = f"{self.network.layers[-1].name}.output"
        if self._softmax:
            return np.ldexp(rows["probabilities"].astype(np.float64), PROBABILITY)
        return np.ldexp(rows[last].astype(np.float64), state.exponents[last])

    def step(self, state: TrainState, chunks: Sequence[tuple[Ints, Ints]]) -> StepTrace:
        """One training step, in place.

        Parameters
        ----------
        state
            Is changed.
        chunks
            The batch: codes of inputs (rows, K) and targets (rows, N), in one piece or in several.
        """
        scales = _Scales(dict(state.exponents))
        sums: dict[str, Ints] = {}
        parts = []
        masks = self.masks(state, sum(len(x_codes) for x_codes, _ in chunks))
        first = 0
        for x_codes, t_codes in chunks:
            last = first + len(x_codes)
            part = {name: mask[first:last] for name, mask in masks.items()}
            rows, first = self._forward(state, scales, x_codes, part), last
            rows |= self._backward(state, scales, x_codes, rows, t_codes)
            for name, values in self._sums(scales, x_codes, rows).items():
                sums[name] = sums[name] + values if name in sums else values
            parts.append(rows)
        tensors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        gradients = self._gradients(scales, sums)
        for layer in self.network.learning:
            update(state, layer, gradients)
        saturated = adapt(state, scales.statistics)
        state.steps += 1
        self.make_room(state)
        shared = {} if self._maps is None else self._maps.shared(scales)
        return StepTrace(tensors | gradients, scales.exponents | shared, saturated)

    def masks(self, state: TrainState, batch: int) -> dict[str, Ints]:
        """What a step that begins with a state drops, by ``STEP.mask``."""
        return draw_masks(self.network.steps, state, batch)

    def make_room(self, state: TrainState) -> None:
        """Halves weights that are near their limit, as every step does at its end."""
        make_room(state)

    def _inputs(self, x: npt.ArrayLike) -> Floats:
        return samples(x, self.network.graph.input.shape, "input")

    def _targets(self, t: npt.ArrayLike) -> Floats:
        values = samples(t, self.network.graph.output.shape, "target")
        allowed = self.network.loss.rule.targets
        if allowed is not None and not (good := np.isin(values, allowed)).all():
            row, place = np.argwhere(~good)[0]
            known = " or ".join(f"{value:g}" for value in allowed)
            found = values[row, place]
            raise InputError(
                f"target: sample {row} must be {known} with {self.network.loss.name}, not {found:g}"
            )
        return values

    def _forward(
        self,
        state: TrainState,
        scales: _Scales,
        x: Ints,
        masks: Mapping[str, Ints] = MappingProxyType({}),
    ) -> dict[str, Ints]:
        rows: dict[str, Ints] = {}
        e_x = scales["input"]
        if self._maps is not None:
            rows = self._maps.forward(state, scales, x, masks) | dict(masks)
            name = f"{self.network.layers[-1].name}.output"
            x, e_x = rows[name], scales[name]
        for layer in self.network.layers if self._maps is None else ():
            e_u = e_x + scales[f"{layer.name}.weight"]
            bias = rne(state.masters[f"{layer.name}.bias"], e_u - BIAS)
            name = f"{layer.name}.output"
            x = self._activate(layer, scales, product(x, state.weights[layer.name]) + bias, e_u)
            rows[name], e_x = x, scales[name]
        if self._softmax:
            rows["probabilities"] = softmax(x, e_x, self.segments)
        return rows

    def _activate(self, layer: TrainingLayer, scales: _Scales, sums: Ints, exponent: int) -> Ints:
        argument = layer.derivative.argument
        if argument is not None:
            codes = sym(rne(sums, argument - exponent), 16)
            return table(layer.activation, self.segments)(codes)
        if layer.activation == "step":
            return np.where(sums > 0, np.int64(1 << 14), np.int64(0))
        codes = scales.narrow(f"{layer.name}.output", sums, exponent)
        return np.maximum(codes, 0) if layer.activation == "relu" else codes

    def _backward(
        self, state: TrainState, scales: _Scales, x: Ints, rows: dict[str, Ints], target: Ints
    ) -> dict[str, Ints]:
        """The errors of the loss and of every layer."""
        name = self.network.loss_error
        errors = {name: self._loss_error(scales, rows, target)}
        gradient, exponent = errors[name], scales.exponents.get(name, scales["target"])
        if self._maps is not None:
            error = gradient, exponent
            return errors | self._maps.backward(state, scales, x, rows, error)
        first = self.network.layers[self.network.first]
        for layer in reversed(self.network.layers[self.network.first :]):
            own = f"{layer.name}.error"
            if own != name:
                output = rows[f"{layer.name}.output"]
                errors[own] = scales.narrow(
                    own, *gate(layer.activation, gradient, exponent, output)
                )
                exponent = scales[own]
            if layer is not first:
                gradient = product(errors[own], state.weights[layer.name].T)
                exponent += scales[f"{layer.name}.weight"]
        return errors

    def _loss_error(self, scales: _Scales, rows: dict[str, Ints], target: Ints) -> Ints:
        loss, name = self.network.loss, self.network.loss_error
        if self._softmax:
            gradient = class_gradient(rows["probabilities"], target)
            return scales.narrow(name, gradient, PROBABILITY)
        output = f"{self.network.layers[-1].name}.output"
        gradient = loss_gradient(
            loss, rows[output], scales[output], target, scales["target"], self.segments
        )
        return gradient if loss.rule.error is not None else scales.narrow(name, gradient, ALIGNED)

    def _sums(self, scales: _Scales, x: Ints, rows: dict[str, Ints]) -> dict[str, Ints]:
        """Exact gradients of weights and biases."""
        if self._maps is not None:
            return self._maps.sums(scales, x, rows)
        sums = {}
        for layer in self.network.layers:
            if layer.name not in self.network.frozen:
                error = rows[f"{layer.name}.error"]
                sums[f"{layer.name}.weight"] = product(x.T, error)
                sums[f"{layer.name}.bias"] = error.sum(axis=0)
            x = rows[f"{layer.name}.output"]
        return sums

    def _gradients(self, scales: _Scales, sums: dict[str, Ints]) -> dict[str, Ints]:
        if self._maps is not None:
            return self._maps.gradients(scales, sums)
        gradients = {}
        source = "input"
        for layer in self.network.layers:
            e_error = scales.exponents.get(f"{layer.name}.error", scales["target"])
            weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
            for key, exponent in ((weight, scales[source] + e_error), (bias, e_error)):
                if key in sums:
                    name = f"{key}.gradient"
                    gradients[name] = scales.narrow(name, sums[key], exponent)
            source = f"{layer.name}.output"
        return gradients
