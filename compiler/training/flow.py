"""How values and errors flow through the steps of a network: who reads what, and at what scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pulsarray.compiler.passes.training.exponents import NORMAL
from pulsarray.compiler.passes.training.maps import INPUT
from pulsarray.compiler.training.layers import (
    ActivateStep,
    AddStep,
    MapLayer,
    MapShape,
    NormLayer,
    PoolStep,
    Step,
)

__all__ = ["INPUT", "NORMAL", "Flow"]


@dataclass(frozen=True, eq=False)
class Flow:
    """What follows from the steps of a network alone.

    Parameters
    ----------
    steps
        The steps, each after those whose values it reads.
    frozen
        Names of layers that do not learn.

    Members
    -------
    outputs
        By value, the name of its exponent.
    learning
        Values that depend on something that learns: they alone have errors.
    errors
        By value of ``learning``, the name of the exponent of the gradient at its step's sums.
    """

    steps: Sequence[Step]
    frozen: frozenset[str]
    outputs: Mapping[str, str] = field(init=False)
    learning: frozenset[str] = field(init=False)
    errors: Mapping[str, str] = field(init=False)
    _readers: Mapping[str, list[Step]] = field(init=False)

    def __post_init__(self) -> None:
        readers: dict[str, list[Step]] = {}
        outputs = {INPUT: INPUT}
        learning: set[str] = set()
        for step in self.steps:
            for source in step.sources:
                readers.setdefault(source, []).append(step)
            outputs[step.name] = f"{step.name}.output"
            if isinstance(step, PoolStep):
                outputs[step.name] = outputs[step.source]
            if self.learns(step) or learning.intersection(step.sources):
                learning.add(step.name)
        for name, value in (
            ("_readers", readers),
            ("outputs", outputs),
            ("learning", frozenset(learning)),
        ):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "errors", self._errors())

    def _errors(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for step in reversed(self.steps):
            if step.name not in self.learning:
                continue
            name, readers = f"{step.name}.error", self.readers(step.name)
            if len(readers) == 1:
                reader = readers[0]
                if isinstance(reader, PoolStep) and reader.in_place:
                    name = names[reader.name]
                if isinstance(reader, AddStep | ActivateStep) and step.activation == "identity":
                    name = names[reader.name]
            names[step.name] = name
        return names

    def learns(self, step: Step) -> bool:
        """Whether a step has parameters that learn."""
        return isinstance(step, MapLayer | NormLayer) and step.name not in self.frozen

    def readers(self, name: str) -> list[Step]:
        """The steps that read a value, once for each time that they do."""
        return self._readers.get(name, [])

    def follows_pooling(self, step: Step) -> bool:
        """Whether a maximum pooling reads a step's value and has its activation's derivative."""
        return not step.derivative.gated and any(
            isinstance(reader, PoolStep) for reader in self.readers(step.name)
        )

    @property
    def input_shape(self) -> MapShape:
        """Shape of the network's input as its first reader sees it."""
        return self.readers(INPUT)[0].given
