"""What becomes of parameters, and what an optimizer keeps from step to step: nodes, and states."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Role, network_input, network_state
from pulsarray.compiler.ops.optimizer import Descend, Narrow, Optimizer, Stateful

__all__ = ["MASTER", "NEXT", "RATES", "with_updates"]

RATES = ("rate", "decay", "epsilon")
"""What the host gives of each step: of the learning rate, and Adam's epsilon."""
MASTER = ".master"
"""Ends the name of weights as they are kept in 32 bits."""
NEXT = ".next"
"""Ends the name of what a parameter or a state is after a step."""


def with_updates(graph: Graph, optimizer: Optimizer) -> Graph:
    """What becomes of parameters, and of what the optimizer keeps of their gradients."""
    updates = _Updates(graph, optimizer)
    for value in graph.declared:
        if value.role is Role.PARAMETER and f"{value.name}.gradient" in graph.values:
            updates.learn(value.name, value.array)
    return updates.done()


@dataclass
class _Updates:
    """The network while it is made."""

    graph: Graph
    optimizer: Optimizer
    states: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draft = Draft.of(self.graph)
        for node in self.graph.nodes:
            self.draft.emit(node)
        used = {"decay": self.optimizer.weight_decay > 0, "epsilon": self.optimizer.divides}
        for name in RATES:
            if used.get(name, True):
                self.draft.values[name] = network_input(name, ())

    def learn(self, name: str, first: Array) -> None:
        """All updates of a parameter; weights, which products read, are kept in 32 bits, too."""
        optimizer, is_weight = self.optimizer, name.endswith(".weight")
        whole = self._state(f"{name}{MASTER}", first) if is_weight else name
        last = whole
        if is_weight and optimizer.weight_decay:
            last = self._put(f"{name}.decayed", Descend(), whole, name, "decay")
        step = optimizer.direction(
            f"{name}.gradient",
            lambda op, *inputs: self._kept(name, op, np.zeros(first.shape), *inputs),
            lambda end, op, *inputs: self._put(f"{name}.{end}", op, *inputs),
        )
        last = self._next(whole, Descend(), last, step, "rate")
        if is_weight:
            self._next(name, Narrow(), last)

    def _kept(self, name: str, op: Stateful, first: Array, *inputs: str) -> str:
        state = self._state(f"{name}.{op.memory.name}", first)
        return self._next(state, op, state, *inputs)

    def _state(self, name: str, first: Array) -> str:
        self.draft.values[name] = network_state(name, first)
        return name

    def _next(self, kept: str, op: Operator, *inputs: str) -> str:
        """What a parameter or a state becomes."""
        self.states[kept] = self._put(f"{kept}{NEXT}", op, *inputs)
        return self.states[kept]

    def _put(self, name: str, op: Operator, *inputs: str) -> str:
        return self.draft.emit(Node(name, op, inputs, name)).name

    def done(self) -> Graph:
        """The network with all updates."""
        self.draft.states = self.states
        return self.draft.graph((*self.graph.outputs, *self.states.values()))
