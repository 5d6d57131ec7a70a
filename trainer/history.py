"""What is known of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Epoch", "History", "Overflow", "Progress"]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training data.

    Parameters
    ----------
    epoch
        Its number, from 1.
    rate
        The learning rate.
    loss, accuracy
        Means over the training data, from the outputs of the steps themselves; the accuracy is
        None where the loss has none.
    test_loss, test_accuracy
        On the test data after the last step; None without.
    steps, cycles
        Training steps, and the machine's cycles of them all.
    seconds
        Time taken, the tests included.
    """

    epoch: int
    rate: float
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    steps: int
    cycles: int
    seconds: float

    @property
    def step_cycles(self) -> float:
        """Machine cycles of a step."""
        return self.cycles / self.steps

    @property
    def judged_loss(self) -> float:
        """The loss that says whether training improves: of the test data, if there are any."""
        return self.loss if self.test_loss is None else self.test_loss

    @property
    def judged_accuracy(self) -> float | None:
        """The accuracy that says whether training is done."""
        return self.accuracy if self.test_loss is None else self.test_accuracy


@dataclass(kw_only=True)
class Overflow:
    """Steps in a row in which values of a tensor exceeded its shared scale and were cut.

    Parameters
    ----------
    tensor
        Its name.
    first, steps
        Number of the first step, and how many.
    """

    tensor: str
    first: int
    steps: int


@dataclass
class Progress:
    """Sums over the steps of an epoch that has not ended.

    Parameters
    ----------
    loss, correct
        Sums over samples; ``correct`` is None where the loss has no accuracy.
    samples, steps, cycles, seconds
        So many so far.
    """

    loss: float = 0.0
    correct: int | None = 0
    samples: int = 0
    steps: int = 0
    cycles: int = 0
    seconds: float = 0.0


@dataclass
class History:
    """Everything that a training run tells.

    Parameters
    ----------
    epochs
        Those that have ended.
    losses
        Of every step, in order: the mean over its batch, before its update.
    overflows
        Where a shared scale stayed too small for several steps.
    stopped
        Why training ended before the last epoch; empty if it did not.
    """

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    overflows: list[Overflow] = field(default_factory=list)
    stopped: str = ""

    @property
    def cycles(self) -> int:
        """Machine cycles of all training steps of whole epochs."""
        return sum(epoch.cycles for epoch in self.epochs)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a report or a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The inverse of :meth:`as_dict`."""
        return cls(
            epochs=[Epoch(**epoch) for epoch in data["epochs"]],
            losses=list(data["losses"]),
            overflows=[Overflow(**overflow) for overflow in data["overflows"]],
            stopped=data["stopped"],
        )
