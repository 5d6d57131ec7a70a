"""Which values share an exponent: those of all runs, and those of layers that share weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pulsarray.compiler.ir.formats import Format, Shared16, Wide
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.passes.training.gradients import PART
from pulsarray.compiler.passes.training.maps import INPUT, is_layer, owner_of
from pulsarray.errors import InputError

__all__ = ["with_shared"]


def with_shared(graph: Graph, formats: Mapping[str, Format]) -> dict[str, Format]:
    """Formats by value, of which each has an exponent of its own, with those that are one.

    Raises
    ------
    InputError
        If layers that share weights read values that cannot share an exponent.
    """
    common = _Common(formats)
    for first, other in _runs(graph):
        if common.can(first, other):
            common.join(first, other)
    for name, first, other in _sharing(graph):
        if not common.can(first, other):
            raise InputError(
                f"{name}: layers that share weights must read alike values, inputs of the network "
                f"or results of one activation; {first} and {other} are not"
            )
        common.join(first, other)
    return {name: common.of(name) for name in graph.values}


def _runs(graph: Graph) -> Iterator[tuple[str, str]]:
    """Values that are the same one of several runs, whose names end with ``@RUN``."""
    firsts: dict[str, str] = {}
    for name in graph.values:
        step, _, kind = name.rpartition(".")
        plain, run, _ = step.partition("@")
        if run:
            yield firsts.setdefault(f"{plain}.{kind}", name), name


def _sharing(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Layers that share weights, with sources, and errors: what they learn is one exact sum."""
    firsts: dict[str, Node] = {}
    for node in graph.nodes:
        if is_layer(node.op) and f"{node.name}.weight{PART}" in graph.values:
            first = firsts.setdefault(owner_of(node), node)
            yield node.name, first.inputs[0], node.inputs[0]
            yield node.name, f"{first.name}.error", f"{node.name}.error"


class _Common:
    """Values whose exponents are one.

    Parameters
    ----------
    formats
        By value, each with an exponent of its own.
    """

    def __init__(self, formats: Mapping[str, Format]) -> None:
        self.formats = formats
        self.names: dict[str, str] = {}

    def can(self, first: str, other: str) -> bool:
        """Whether two values may share an exponent: both adapt, or neither and they are equal."""
        one, two = self.formats[first], self.formats[other]
        if not isinstance(one, Shared16) or not isinstance(two, Shared16):
            return False
        return one.fixed == two.fixed and (one.name == INPUT) == (two.name == INPUT)

    def join(self, first: str, other: str) -> None:
        """Have two values share one."""
        before, after = (self._root(self._name(name)) for name in (other, first))
        if before != after:
            self.names[before] = after

    def of(self, name: str) -> Format:
        """The format of a value."""
        form = self.formats[name]
        if isinstance(form, Shared16):
            return replace(form, name=self._root(form.name))
        if isinstance(form, Wide) and form.guards:
            return replace(form, guards=self._root(form.guards))
        return form

    def _name(self, value: str) -> str:
        form = self.formats[value]
        assert isinstance(form, Shared16)
        return form.name

    def _root(self, name: str) -> str:
        while name in self.names:
            name = self.names[name]
        return name
