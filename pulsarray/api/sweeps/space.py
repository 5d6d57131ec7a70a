"""What a sweep goes through: works, machines, batches, memories."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from pulsarray.api.machine import Machine, machine_of
from pulsarray.api.sweeps.values import Value
from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean

__all__ = ["MOST_POINTS", "Design", "Point", "Space"]

MOST_POINTS = 100_000
"""Points that nobody is asked about."""
_KEYS = tuple(field.name for field in dataclasses.fields(Config))


@dataclass(frozen=True)
class Design:
    """A machine, or why there is none.

    Parameters
    ----------
    settings
        Every parameter by name, as it was asked for.
    config
        The machine; None if it breaks a rule.
    refusal
        The rule that it breaks.
    """

    settings: Mapping[str, Value]
    config: Config | None
    refusal: str = ""


@dataclass(frozen=True)
class Point:
    """One design with one work; all memories are timed with one program.

    Parameters
    ----------
    work, batch
        What is run: its name, and samples of a run.
    design
        On which machine.
    memories
        Latency and interval of each memory.
    """

    work: str
    batch: int
    design: Design
    memories: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All combinations.

    Parameters
    ----------
    works
        Names of what is run.
    machines
        Where designs start from.
    settings
        Parameters of the machine with the values that they take.
    batches, latencies, intervals
        Samples of a run, and cycles of the memory.

    Raises
    ------
    InputError
        If a parameter is unknown.
    """

    works: Sequence[str]
    machines: Sequence[Machine]
    settings: Mapping[str, Sequence[Value]]
    batches: Sequence[int] = (1,)
    latencies: Sequence[int] = (64,)
    intervals: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        for name in self.settings:
            if name not in _KEYS:
                raise InputError(
                    f"--set: unknown parameter {name!r}; known: {', '.join(_KEYS)}"
                    f"{did_you_mean(name, _KEYS)}"
                )

    @property
    def size(self) -> int:
        """Rows of the result."""
        axes = (self.works, self.machines, self.batches, self.latencies, self.intervals)
        return prod(map(len, axes)) * prod(map(len, self.settings.values()))

    def require_size(self, allowed: bool) -> None:
        """Check that the sweep is of a size that was meant.

        Raises
        ------
        InputError
            If it has more than :data:`MOST_POINTS` points and those are not ``allowed``.
        """
        if self.size > MOST_POINTS and not allowed:
            raise InputError(
                f"sweep: {self.size:,} points are more than {MOST_POINTS:,}; say --yes if they are "
                "meant"
            )

    def designs(self) -> Iterator[Design]:
        """Every machine."""
        for machine in self.machines:
            base = machine_of(machine, {})
            for chosen in product(*self.settings.values()):
                yield _design(base, dict(zip(self.settings, chosen, strict=True)))

    def points(self) -> Iterator[Point]:
        """Every point, the works of a machine one after the other."""
        memories = tuple(product(self.latencies, self.intervals))
        for design in self.designs():
            for work, batch in product(self.works, self.batches):
                yield Point(work, batch, design, memories)


def _design(base: Config, chosen: Mapping[str, Value]) -> Design:
    """A machine with parameters changed; the bus keeps its share of a word unless it is set."""
    settings: dict[str, Value] = {**base.to_dict(), **chosen}
    dim = chosen.get("dim")
    if type(dim) is int and "bus_bits" not in chosen and dim > 0:
        word = (1 << (dim - 1).bit_length()) * base.operand_bytes
        settings["bus_bits"] = 8 * word // base.beats_per_word
    try:
        return Design(settings, Config.from_dict(settings, "config"))
    except InputError as error:
        return Design(settings, None, str(error))
