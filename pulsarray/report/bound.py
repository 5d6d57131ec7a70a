"""The fewest cycles that any program can take for the same mathematics on one configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsarray.config import Config
from pulsarray.program import Layer

__all__ = ["Bound", "bound_of_layer", "bound_of_run"]


@dataclass(frozen=True)
class Bound:
    """A lower bound.

    Parameters
    ----------
    compute
        Cycles that the array needs: every tile of weights occupies it for max(M, D) cycles.
    memory
        Cycles that the bus needs, reading and writing side by side.
    fill
        Part of ``compute`` that fills and empties the array once.
    words
        Words that must be streamed: the cycles of ``compute`` in which the array takes one.
    """

    compute: int
    memory: int
    fill: int
    words: int

    @property
    def cycles(self) -> int:
        """The larger of the two."""
        return max(self.compute, self.memory)


def bound_of_layer(layer: Layer, config: Config) -> Bound:
    """The bound of one layer amid others.

    It counts the array alone: filling and emptying it overlaps with the neighbours' work, and a
    layer's operands may be read while the layer before runs.
    """
    tiles = -(-layer.k // config.dim) * -(-layer.n // config.dim)
    rows = max(layer.m, config.dim) if layer.macs else 0
    return Bound(tiles * rows, 0, 0, tiles * layer.m)


def bound_of_run(layers: Sequence[Layer], config: Config, interval: int) -> Bound:
    """The bound of a whole run.

    The first weights take D cycles to enter; the last word read is summed and stored 2D + 3
    cycles later; the machine stops 2 cycles after that. After the very last pass nothing waits
    for D cycles, so it takes M cycles even if M is less than D.
    """
    bounds = [bound_of_layer(layer, config) for layer in layers]
    short = [max(0, config.dim - layer.m) for layer in layers if layer.macs]
    fill = 3 * config.dim + 5 if short else 0
    read = sum(layer.read_bytes for layer in layers)
    written = sum(layer.write_bytes for layer in layers)
    return Bound(
        compute=sum(bound.compute for bound in bounds) - max(short, default=0) + fill,
        memory=-(-max(read, written) // config.bus_bytes) * interval,
        fill=fill,
        words=sum(bound.words for bound in bounds),
    )
