"""A training step in float64, to compare the machine's with.

Every operator of the graph of a step, gradients too, is computed by its own definition in real
numbers; the gradients are checked by :func:`central_differences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Shared16
from pulsarray.compiler.ir.graph import Node, needed
from pulsarray.compiler.ir.value import Array, Floats
from pulsarray.compiler.passes.training.ends import TARGET
from pulsarray.compiler.passes.training.updates import MASTER
from pulsarray.compiler.reference.gradcheck import slopes
from pulsarray.compiler.reference.run import real, walk
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.losses import loss_value
from pulsarray.compiler.training.random_rounding import Stored, exactly
from pulsarray.errors import InputError

__all__ = ["FloatNetwork", "central_differences"]

Bools = npt.NDArray[np.bool_]
_NONE: Mapping[str, Floats] = MappingProxyType({})


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
    states
        What the optimizer keeps, by name; zeros at first.
    steps
        Steps so far.
    kept
        By dropout the values that are left; those without an entry drop nothing. :meth:`step`
        draws its own.
    stored
        What storing a value of 16 bits makes of it: nothing, unless it is set.
    largest
        By exponent the largest value that has it, where that is known.
    """

    def __init__(self, network: TrainingNetwork) -> None:
        self.network = network
        self.parameters: dict[str, Floats] = {}
        for layer in network.layers:
            self.parameters[f"{layer.name}.weight"] = np.array(layer.weight, np.float64, order="C")
            self.parameters[f"{layer.name}.bias"] = np.array(layer.bias, np.float64)
        self.kept: dict[str, Bools] = {}
        self.stored: Stored = exactly
        self.largest: Mapping[str, Floats] = _NONE
        self._random = np.random.default_rng(0)
        self.states = {name: np.zeros(()) for name in network.nodes.states}
        self.steps = 0

    def _drawn(self, count: int) -> dict[str, Bools]:
        shapes = self.network.nodes.values
        return {
            name: self._random.random((count, *shapes[f"{name}.mask"].shape)) >= rate
            for name, rate in self.network.drops.items()
        }

    def forward(self, x: Floats) -> dict[str, Floats]:
        """Everything between input and result.

        Parameters
        ----------
        x
            Samples, (M, K).

        Returns
        -------
        ``STEP.output`` of every step, ``STEP.sum`` where an activation is part of it, both
        (M, H, W, C), of vectors (M, N), and ``probabilities`` after softmax.
        """
        nodes = needed(self.network.nodes.nodes, self.network.nodes.outputs[:1])
        return self._computed(nodes, self.network.inputs(x), _NONE)

    def result(self, x: Floats) -> Floats:
        """What the network answers, (M, N): probabilities if it ends with softmax."""
        return self.forward(x)[self.network.answer].reshape(len(x), -1)

    def loss(self, x: Floats, t: Floats) -> float:
        """Mean loss over samples (M, K) with targets (M, N), and over the pixels of a result."""
        return self._mean(self.result(x), t)

    def _mean(self, result: Floats, t: Floats) -> float:
        rows = result.reshape(len(t) * self.network.judged, -1)
        return float(loss_value(self.network.loss, rows, t.reshape(rows.shape)).mean())

    def backward(
        self, x: Floats, t: Floats, sides: Mapping[str, Floats] = _NONE
    ) -> dict[str, Floats]:
        """Everything that a step computes, with gradients of the loss summed over the batch.

        Parameters
        ----------
        x, t
            Samples (M, K) and targets (M, N).
        sides
            Values by name that operators whose gradient jumps read in the place of those that are
            computed here: one sum near a kink with the other sign would be more than rounding.

        Returns
        -------
        Besides what :meth:`forward` gives ``loss.error`` where the last activation's derivative
        follows it, for all steps from the first that learns ``STEP.error``, the gradient at the
        sums, and ``LAYER.weight.gradient`` (K, N) and ``LAYER.bias.gradient`` (N,).
        """
        read = {**self.network.inputs(x), TARGET: t}
        return self._computed(self.network.chunk_nodes, read, sides)

    def _computed(
        self, nodes: Sequence[Node], inputs: Mapping[str, Floats], sides: Mapping[str, Floats]
    ) -> dict[str, Floats]:
        """The results of some operators; those that a mask is missing for drop nothing."""
        shapes, arithmetic = self.network.nodes.values, _Storing(self, sides)
        masks = {f"{name}.mask": kept.astype(np.float64) for name, kept in self.kept.items()}
        values: dict[str, Array] = {}
        for name, array in {**self.parameters, **inputs, **masks}.items():
            shape = shapes[name].shape
            whole = shape if shapes[name].role.is_constant else (len(array), *shape)
            values[name] = arithmetic.kept(name, array.reshape(whole))
        return {
            node.output: self._flat(node.output, values[node.output])
            for node in walk(nodes, values, arithmetic)
        }

    def _flat(self, name: str, array: Array) -> Floats:
        """A value as the machine has it: parameters and vectors as matrices."""
        parameter = name.removesuffix(".gradient")
        if parameter in self.parameters:
            return array.reshape(self.parameters[parameter].shape)
        is_vector = self.network.nodes.values[name].shape[:-1] == (1, 1)
        return array.reshape(len(array), -1) if is_vector else array

    def step(self, x: Floats, t: Floats, learning_rate: float) -> float:
        """One step of gradient descent; the mean loss before it.

        With the optimizer's momentum and weight decay: ``W -= learning_rate * weight_decay * W``
        for weights alone, then ``v = momentum * v + g`` and ``W -= learning_rate / M * v``, where
        g sums over the batch: the decay is not divided by the batch and leaves v alone. Adam is
        that of Kingma and Ba (2015) on the mean over the batch, its decay the same (AdamW).

        Parameters
        ----------
        x, t
            Samples (M, K) and targets (M, N).
        learning_rate
            Of the mean over the batch.
        """
        self.kept = self._drawn(len(x))
        gradients = self.backward(x, t)
        self.kept = {}
        self.steps += 1
        network, count = self.network, len(x) * self.network.judged
        rates = network.optimizer.rates(learning_rate, count, self.steps)
        masters = {f"{name}{MASTER}": values for name, values in self.parameters.items()}
        values = {**self.states, **gradients, **self.parameters, **masters}
        values |= {name: np.array(rate) for name, rate in rates.items()}
        for _ in walk(network.updates, values, real):
            pass
        for name, after in network.nodes.states.items():
            kept = self.parameters if name in self.parameters else self.states
            kept[name] = values[after]
        return self._mean(gradients[network.answer], t)


class _Storing:
    """Real numbers as they are stored; the largest so far of one exponent says how all are.

    Only gradients of parameters are rounded each by itself.
    """

    def __init__(self, network: FloatNetwork, sides: Mapping[str, Floats]) -> None:
        self._values, self._stored = network.network.nodes.values, network.stored
        self._sides = sides
        self._largest: dict[str, Array] = {**network.largest}

    def __call__(self, node: Node, values: Mapping[str, Array]) -> Array:
        """The result of an operator."""
        read = {**values, **self._sides} if node.op.jumps else values
        return self.kept(node.output, real(node, read))

    def kept(self, name: str, array: Array) -> Array:
        """A value as it is stored."""
        form = self._values[name].format
        if not isinstance(form, Shared16):
            return array
        largest = self._largest.get(form.name)
        if largest is not None and np.abs(array).max() > np.abs(largest).max():
            largest = None  # Where terms cancel, what they were rounded by may be all that is left.
        array = self._stored(array, largest)
        if largest is None and form.fixed is None and not name.endswith(".gradient"):
            self._largest[form.name] = array
        return array


def central_differences(
    network: FloatNetwork,
    x: Floats,
    t: Floats,
    *,
    distance: float = 1e-5,
    most: int = 200,
    seed: int = 0,
) -> dict[str, Floats]:
    """Gradients of the summed loss by all that learns, from its values alone.

    Parameters
    ----------
    network
        The network; its parameters are as before afterwards.
    x, t
        Samples (M, K) and targets (M, N).
    distance, most
        As for :func:`~pulsarray.compiler.reference.gradcheck.slopes`.
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
    for step in network.network.steps:
        if step.derivative.steps:
            raise InputError(f"{step.name}: step has no derivative to compare with differences")

    def total() -> float:
        return network.loss(x, t) * len(x) * network.network.judged

    rng = np.random.default_rng(seed)
    names = [name for layer in network.network.learning for name in layer.learned]
    return {
        f"{name}.gradient": slopes(total, network.parameters[name], rng, distance, most)
        for name in names
    }
