"""Who reads what in a network that learns, and at which exponents: read off its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.passes.training.activations import OUTPUT
from pulsarray.compiler.passes.training.maps import INPUT, is_data
from pulsarray.compiler.training.layers import MapShape, Step

__all__ = ["ERROR", "Flow"]

ERROR = ".error"
"""Ends the name of the gradient at a step's sums."""


@dataclass(frozen=True, eq=False)
class Flow:
    """What the graph of a step says of its steps.

    Parameters
    ----------
    nodes
        The graph.
    steps
        The steps, each after those whose values it reads.
    """

    nodes: Graph
    steps: Sequence[Step]

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """By value, the name of its exponent."""
        values = self.nodes.values
        inputs = dict.fromkeys(self.inputs, INPUT)
        return inputs | {s.name: values[f"{s.name}{OUTPUT}"].scale for s in self.steps}

    @cached_property
    def errors(self) -> Mapping[str, str]:
        """By step that depends on something that learns, the name of its error's exponent."""
        known = {s.name: self.nodes.values.get(f"{s.name}{ERROR}") for s in self.steps}
        return {name: value.scale for name, value in known.items() if value is not None}

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """By value, the operator that writes it."""
        return {node.output: node for node in self.nodes.nodes}

    @cached_property
    def _readers(self) -> Mapping[str, list[Step]]:
        readers: dict[str, list[Step]] = {}
        for step in self.steps:
            for source in step.sources:
                readers.setdefault(source, []).append(step)
        return readers

    def readers(self, name: str) -> list[Step]:
        """The steps that read a value, once for each time that they do."""
        return self._readers.get(name, [])

    def pooling(self, step: Step) -> Step | None:
        """The maximum pooling of a step's result, which is then its only reader."""
        return next((s for s in self.readers(step.name) if s.op.only_chooses), None)

    @cached_property
    def inputs(self) -> Mapping[str, MapShape]:
        """Shapes of the inputs by name as their readers see them; several are vectors."""
        shapes = {v.name: v.shape for v in self.nodes.inputs if is_data(v.name)}
        return {name: (rows, across, depth) for name, (rows, across, depth) in shapes.items()}

    @property
    def input_shape(self) -> MapShape:
        """Shape of the network's input as its first reader sees it; of several side by side."""
        *_, (height, width, _) = self.inputs.values()
        return height, width, sum(depth for *_, depth in self.inputs.values())
