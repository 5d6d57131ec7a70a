"""From assembled code to programs, which may share one memory image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.machine.assemble import Assembly
from pulsarray.compiler.machine.layout import Layout
from pulsarray.program import Layer, Program, Tensor

__all__ = ["Part", "programs_of"]


@dataclass(frozen=True)
class Part:
    """A program on its way.

    Parameters
    ----------
    assembly
        Its code.
    layers
        Its layers, whose instructions are found here.
    network, batch, notes
        As of a program.
    """

    assembly: Assembly
    layers: Sequence[Layer]
    network: str
    batch: int
    notes: dict[str, object]


def programs_of(
    parts: Sequence[Part], layout: Layout, tensors: Sequence[Tensor] | None = None
) -> list[Program]:
    """Programs of one memory, in which their codes lie one behind the other.

    Parameters
    ----------
    parts, layout
        The programs, and the memory.
    tensors
        Its tensors in another order.
    """
    memory, addresses = layout.image([part.assembly.code for part in parts])
    return [
        Program(
            config=layout.config,
            code=part.assembly.code,
            code_address=address,
            memory=memory,
            tensors=list(layout.tensors if tensors is None else tensors),
            layers=_ranged(part),
            network=part.network,
            batch=part.batch,
            notes=part.notes,
        )
        for part, address in zip(parts, addresses, strict=True)
    ]


def _ranged(part: Part) -> list[Layer]:
    ranges = part.assembly.boundaries(len(part.layers))
    return [
        replace(layer, first=first, last=last)
        for layer, (first, last) in zip(part.layers, ranges, strict=True)
    ]
