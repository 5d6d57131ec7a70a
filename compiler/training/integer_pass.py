"""A step of training in integers, node by node: docs/training.md with NumPy.

Written from the arithmetic alone, not from instructions: each operator is computed by its own
definition on mantissas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.graph import Node, needed
from pulsarray.compiler.ir.mantissas import Part
from pulsarray.compiler.passes.training.ends import TARGET
from pulsarray.compiler.passes.training.maps import INPUT, PROBABILITIES, is_data
from pulsarray.compiler.reference.mantissas import Mantissas, Scales
from pulsarray.compiler.reference.run import walk
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.state import TrainState

__all__ = ["IntegerPass"]

Ints = npt.NDArray[np.int64]


@dataclass(eq=False)
class IntegerPass:
    """A pass over the graph of a step: what it reads, and what it has computed so far.

    Parameters
    ----------
    network, segments
        The network, and segments of the function tables.
    state, scales
        Weights, and exponents with their statistics.

    Members
    -------
    values
        By name, with their exponents: (images, H, W, C), gradients of parameters as exact sums.
    """

    network: TrainingNetwork
    segments: int
    state: TrainState
    scales: Scales
    values: dict[str, Part] = field(default_factory=dict)

    def forward(self, x: Ints) -> dict[str, Ints]:
        """Every ``STEP.output`` of what drops nothing, and ``probabilities`` after softmax."""
        nodes = self.network.nodes
        self._run(needed(nodes.nodes, nodes.outputs[:1]), self.network.inputs(x))
        return self._rows()

    def learn(self, x: Ints, target: Ints, masks: Mapping[str, Ints]) -> dict[str, Ints]:
        """The same with masks, errors of the loss and of every step."""
        read = {**self.network.inputs(x), TARGET: target, **masks}
        self._run(self.network.chunk_nodes, read)
        return self._rows() | dict(masks)

    def update(self, gradients: Mapping[str, Ints]) -> None:
        """The state after a step, from gradients at the exponents that they have."""
        graph = self.network.nodes
        for name, array in gradients.items():
            value = graph.values[name]
            self.values[name] = array.reshape(value.shape), self.scales[value.scale]
        self._run(self.network.updates, {})
        for name, after in graph.states.items():
            self.state.keep(graph.values[name], self.values[after])

    def _run(self, nodes: Sequence[Node], inputs: Mapping[str, Ints]) -> None:
        shapes, exponents = self.network.nodes.values, self.scales.exponents
        for name, array in inputs.items():
            values = array.reshape(len(array), *shapes[name].shape)
            self.values[name] = values, exponents.get(INPUT if is_data(name) else name, 0)
        for value in self.network.kept:
            self.values[value.name] = self.state.part(value)
        arithmetic = Mantissas(self.network.nodes, self.scales, self.segments)
        for _ in walk(nodes, self.values, arithmetic):
            pass

    def _rows(self) -> dict[str, Ints]:
        """Results and errors, of vectors (images, N)."""
        shapes = self.network.nodes.values
        return {
            name: values.reshape(len(values), -1) if shapes[name].shape[:2] == (1, 1) else values
            for name, (values, _) in self.values.items()
            if name.endswith((".output", ".error")) or name == PROBABILITIES
        }

    def sums(self) -> dict[str, Ints]:
        """Exact gradients of parameters that learn, (K, N) and (N,)."""
        by_name = {}
        for layer in self.network.learning:
            for name in layer.learned:
                values, _ = self.values[f"{name}.gradient"]
                by_name[name] = values.reshape(self.state.values[name].shape)
        return by_name

    @property
    def sum_exponents(self) -> dict[str, int]:
        """The exponents of :meth:`sums`."""
        learning = self.network.learning
        return {n: self.values[f"{n}.gradient"][1] for layer in learning for n in layer.learned}

    def gradients(self, sums: Mapping[str, Ints]) -> dict[str, Ints]:
        """Gradients of weights and biases requantized."""
        by_name = {}
        for layer in self.network.learning:
            for name, scale in layer.scales.items():
                _, exponent = self.values[f"{name}.gradient"]
                by_name[f"{name}.gradient"] = self.scales.narrow(scale, sums[name], exponent)
        return by_name

    def shared(self) -> dict[str, int]:
        """Exponents of all values that have 16 bits, by the values' names."""
        values = (self.network.nodes.values[name] for name in self.values)
        return {v.name: self.scales[v.scale] for v in values if v.has_mantissas}
