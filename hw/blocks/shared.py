"""Components whose Verilog module is written once, however often they are instantiated."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from amaranth.hdl import Elaboratable, Instance, Value
from amaranth.lib import wiring

__all__ = ["ModuleWriter", "Shared", "ports_of"]


class ModuleWriter(ABC):
    """A platform that collects the modules of shared components while a design is elaborated."""

    @abstractmethod
    def elaborate_shared(self, component: Shared) -> Elaboratable | Instance:
        """A cell of the component's module, or its body where that module is being written."""


class Shared(wiring.Component):
    """Base of components that are emitted once for each set of parameters.

    A subclass passes its ports and the parameters that tell its variants apart, and describes
    itself in :meth:`body` instead of ``elaborate``. Under :mod:`amaranth.sim` it is an ordinary
    component. ``EnableInserter`` and ``ResetInserter`` have no effect on it when it is emitted.

    Parameters
    ----------
    members
        Ports, by name.
    parameters
        Every parameter on which the body depends.

    Members
    -------
    inline
        Whether Verilator may inline the module; False for a large module with many instances.
    """

    inline: ClassVar[bool] = True

    def __init__(self, members: Mapping[str, Any], **parameters: int) -> None:
        self.parameters = parameters
        super().__init__(wiring.Signature(members))

    if TYPE_CHECKING:  # ports are attributes that the signature makes

        def __getattr__(self, name: str) -> Any: ...

    @property
    def module_name(self) -> str:
        """Name of the Verilog module: the class and the parameters in order."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return "_".join([words, *(str(int(value)) for value in self.parameters.values())])

    def verilog(self, name: str) -> str | None:
        """Text of the Verilog module ``name``, where the body is not what should be emitted."""
        return None

    @abstractmethod
    def body(self, platform: Any) -> Elaboratable:
        """The logic, as ``elaborate`` of an ordinary component returns it."""

    def elaborate(self, platform: Any) -> Any:
        """The body, or a cell of the shared module when Verilog is being written."""
        if isinstance(platform, ModuleWriter):
            return platform.elaborate_shared(self)
        return self.body(platform)


def ports_of(component: wiring.Component) -> Iterator[tuple[str, bool, Value]]:
    """Name, whether it is an input, and value of every port of a component."""
    for path, member, value in component.signature.flatten(component):
        yield "__".join(map(str, path)), member.flow == wiring.In, Value.cast(value)
