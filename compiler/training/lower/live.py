"""Which values and errors a program still needs: what nothing needs any more leaves the chip."""

from __future__ import annotations

from collections import Counter

from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import FeatureMap

__all__ = ["Live"]


class Live:
    """Values and errors by step, and how often they are still used.

    Parameters
    ----------
    lowering
        The program.
    """

    def __init__(self, lowering: Lowering) -> None:
        self.flow, self.rows, self.training = lowering.flow, lowering.rows, lowering.training
        self.values: dict[str, FeatureMap] = {}
        self.errors: dict[str, FeatureMap] = {}
        self._uses: Counter[str] = Counter()
        self._held: Counter[FeatureMap] = Counter()
        for step in lowering.network.steps:
            self._count(step)

    def _count(self, step: Step) -> None:
        for source in step.sources:
            if self._returns_for(step) or not self.returns_to(source):
                self._uses[source] += 1
        if step.op.keeps_others:
            for source, other in zip(step.sources, reversed(step.sources), strict=True):
                self._uses[source] += self.returns_to(other)
        if self.returns_to(step.name):
            self._uses[step.name] += 1 + step.op.keeps_result

    def returns_to(self, value: str) -> bool:
        """Whether the way back comes by a value."""
        return self.training and value in self.flow.errors

    def _returns_for(self, step: Step) -> bool:
        """Whether the gradient of a step's weights needs what it reads."""
        return self.training and bool(step.scales) and not step.op.mixes_samples

    def release(self, name: str) -> None:
        """One use less of a value."""
        self._uses[name] -= 1
        if not self._uses[name]:
            self.rows.drop(self.values[name].segments)

    def release_read(self, step: Step) -> None:
        """A step has read what nothing needs on the way back."""
        for source in step.sources:
            if not self._returns_for(step) and not self.returns_to(source):
                self.release(source)

    def share(self, step: Step, error: FeatureMap) -> None:
        """A step's error is known; several steps may share one."""
        self.errors[step.name] = error
        self._held[error] += sum(source in self.flow.errors for source in step.sources)
        self._held[error] += bool(step.scales)

    def let_go(self, name: str) -> None:
        """One use less of a step's error."""
        error = self.errors[name]
        self._held[error] -= 1
        if not self._held[error]:
            self.rows.drop(error.segments)
