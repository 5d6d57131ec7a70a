"""Training in the quantized integers, without a machine: docs/training.md with NumPy.

Written from the arithmetic alone, not from instructions: a machine's weights, exponents and
gradients must equal these bit for bit after every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.numerics.exponents import PROBABILITY
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.reference.mantissas import Scales
from pulsarray.compiler.training.clipping import clipped
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.drop import draw_masks
from pulsarray.compiler.training.integer_pass import IntegerPass
from pulsarray.compiler.training.rules import adapt, make_room
from pulsarray.compiler.training.state import (
    StepTrace,
    TrainState,
    add_layer,
    data_exponent,
    encode,
    real,
    samples,
)
from pulsarray.errors import InputError

__all__ = ["StepTrace", "TrainInterpreter", "TrainState", "real"]

Ints = npt.NDArray[np.int64]


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
        state = TrainState({}, exponents, dict.fromkeys(self._adaptive, 0), seed=seed)
        for layer in self.network.layers:
            add_layer(state, layer)
        for name, ops in self.network.stateful.items():
            for memory in (op.memory for op in ops):
                state.exponents[memory.format(name).name] = memory.first
                state.values[f"{name}.{memory.name}"] = np.zeros_like(state.values[name])
        self.set_rate(state, learning_rate, batch)
        return state

    def set_rate(self, state: TrainState, learning_rate: float, batch: int) -> None:
        """Sets the mantissas and exponents of ``rate`` and ``decay``, and of ``epsilon`` with Adam.

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
        optimizer, state.learning_rate = self.network.optimizer, learning_rate
        batch *= self.network.judged
        texts = {
            "rate": "learning rate" if optimizer.divides else "learning rate / batch",
            "decay": "learning rate x weight decay",
            "epsilon": "epsilon x batch",
        }
        rates = optimizer.rates(learning_rate, batch, state.steps + 1, rounded=True)
        for name, value in rates.items():
            state.rates[name], state.exponents[name] = factor(value, texts[name])

    def calibrate(self, state: TrainState, x_codes: Ints, t_codes: Ints) -> None:
        """Sets every adaptive exponent to what the first batch needs, and its count to 0."""
        scales = Scales(dict(state.exponents), exact=True)
        run = self._pass(state, scales)
        run.learn(x_codes, t_codes, self.masks(state, len(x_codes)))
        run.gradients(run.sums())
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
        return self._pass(state, Scales(dict(state.exponents))).forward(x_codes)

    def outputs(self, state: TrainState, x_codes: Ints) -> Floats:
        """Real values of the network's output, (samples, N), softmax applied."""
        rows = self.forward(state, x_codes)
        last = self.network.last.name
        codes, exponent = rows[f"{last}.output"], state.exponents[self.network.flow.outputs[last]]
        if self._softmax:
            codes, exponent = rows["probabilities"], PROBABILITY
        return np.ldexp(codes.reshape(len(codes), -1).astype(np.float64), exponent)

    def step(
        self, state: TrainState, chunks: Sequence[tuple[Ints, Ints]], clip: float | None = None
    ) -> StepTrace:
        """One training step, in place.

        Parameters
        ----------
        state
            Is changed.
        chunks
            The batch: codes of inputs (rows, K) and targets (rows, N), in one piece or in several.
        clip
            The largest norm that the gradients may have together; None for any.
        """
        batch_size = sum(len(x_codes) for x_codes, _ in chunks)
        self.begin(state, batch_size)
        scales = Scales(dict(state.exponents))
        masks = self.masks(state, batch_size)
        sums: dict[str, Ints] = {}
        parts, first = [], 0
        for batch in chunks:
            last = first + len(batch[0])
            part = {name: mask[first:last] for name, mask in masks.items()}
            run = self._pass(state, scales)
            rows = run.learn(*batch, part)
            sums, first = _added(sums, run.sums()), last
            parts.append(rows)
        tensors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if clip is not None:
            sums = clipped(sums, run.sum_exponents, batch_size * self.network.judged, clip)
        gradients = run.gradients(sums)
        run.update(gradients)
        saturated = adapt(state, scales.statistics)
        state.steps += 1
        self.make_room(state)
        return StepTrace(tensors | gradients, scales.exponents | run.shared(), saturated)

    def sum_exponents(self, state: TrainState) -> dict[str, int]:
        """Exponents that exact sums of gradients have in the next step, by weight and bias."""
        graph = self.network.graph
        run = self._pass(state, Scales(dict(state.exponents)))
        zeros = [np.zeros((1, size), np.int64) for size in
                 (sum(value.size for value in graph.inputs), graph.output.size)]  # fmt: skip
        run.learn(zeros[0], zeros[1], self.masks(state, 1))
        return run.sum_exponents

    def begin(self, state: TrainState, batch: int) -> bool:
        """Rates of the step that is next, where they change from step to step: whether they do."""
        if self.network.optimizer.divides:
            self.set_rate(state, state.learning_rate, batch)
        return self.network.optimizer.divides

    def masks(self, state: TrainState, batch: int) -> dict[str, Ints]:
        """What a step that begins with a state drops, by ``STEP.mask``."""
        return draw_masks(self.network.steps, state, batch)

    def make_room(self, state: TrainState) -> None:
        """Halves weights that are near their limit, as every step does at its end."""
        make_room(state)

    def _inputs(self, x: npt.ArrayLike) -> Floats:
        return samples(x, self.network.input_shape, "input")

    def _targets(self, t: npt.ArrayLike) -> Floats:
        values = samples(t, self.network.graph.output.shape, "target")
        allowed = self.network.loss.rule.targets
        if allowed is not None and not (good := np.isin(values, allowed)).all():
            row, place = np.argwhere(~good)[0]
            known = " or ".join(f"{value:g}" for value in allowed)
            target = values[row, place]
            raise InputError(
                f"target: sample {row} must be {known} with {self.network.loss.name}, "
                f"not {target:g}"
            )
        return values

    def _pass(self, state: TrainState, scales: Scales) -> IntegerPass:
        return IntegerPass(self.network, self.segments, state, scales)


def _added(first: Mapping[str, Ints], second: Mapping[str, Ints]) -> dict[str, Ints]:
    """Sums of two chunks."""
    return {name: first.get(name, 0) + values for name, values in second.items()}
