"""What is minimized, and what learns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Role, network_input
from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.ops.loss import Loss, LossGradient
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.passes.training.activations import SUM
from pulsarray.compiler.passes.training.maps import is_layer, owner_of
from pulsarray.errors import InputError

__all__ = ["LOSS_ERROR", "TARGET", "frozen_but", "with_loss"]

TARGET = "target"
"""Name of what the outputs should be."""
LOSS_ERROR = "loss.error"
"""The loss's gradient where a derivative follows."""


def with_loss(graph: Graph, loss: Loss) -> Graph:
    """The gradient of a loss behind the outputs, and the targets.

    Raises
    ------
    InputError
        If nothing can learn, the last operator is no dense layer, or the loss does not fit it.
    """
    end = host_function(graph)
    last, *after = _last(graph, graph.nodes[:-1] if end else graph.nodes)
    function = after[0].op.variant if after else "identity"
    shape, answer = graph.output.shape, graph.output.name
    _check(graph, loss, end or function, shape[-1])
    joined = DERIVATIVES[function].own_error and not loss.rule.skips
    error = LOSS_ERROR if joined else f"{last.name}.error"
    node = Node("loss", LossGradient(loss), (answer, TARGET), error)
    more = [network_input(TARGET, shape)]
    return graph.rebuilt([*graph.nodes, node], more=more, outputs=(answer, error))


def _last(graph: Graph, nodes: Sequence[Node]) -> Sequence[Node]:
    """The last layer, and its activation."""
    if not _layers(graph):
        raise InputError(f"{graph.name}: nothing in it can learn; training needs a dense layer")
    ends = nodes[-2:] if nodes[-1].inputs[0].endswith(SUM) else nodes[-1:]
    last = ends[0]
    if not is_layer(last.op):
        hint = f"; add one after {last.name}"
        if last.op.only_trains:
            hint = "; what is dropped there would be compared with the target: leave it out"
        raise InputError(f"{last.name}: training needs a dense layer at the end{hint}")
    return ends


def _layers(graph: Graph) -> Sequence[Node]:
    """The operators with parameters, in order."""
    learned = {value.name for value in graph.declared if value.role is Role.PARAMETER}
    return [node for node in graph.nodes if len(learned.intersection(node.inputs)) == 2]


def _check(graph: Graph, loss: Loss, end: str, outputs: int) -> None:
    wanted = loss.rule.after
    if wanted and end != wanted:
        raise InputError(
            f"loss: {loss.name} needs a network that ends with {wanted}, "
            f"{graph.name} ends with {end}"
        )
    if end == "softmax" and not wanted:
        raise InputError(f"loss: after softmax it must be cross-entropy, not {loss.name}")
    if end == "step" and loss.name != "perceptron":
        raise InputError(f"loss: after step it must be perceptron, not {loss.name}")
    if wanted == "softmax" and outputs < 2:
        raise InputError(
            f"loss: cross-entropy needs at least 2 outputs, {graph.name} has {outputs}; "
            "use sigmoid with binary-cross-entropy"
        )


def frozen_but(graph: Graph, frozen: Collection[str]) -> Graph:
    """Parameters of layers that do not learn as constants; those that some operators learn stay.

    Raises
    ------
    InputError
        If there is no layer of such a name, or no other that learns.
    """
    layers = _layers(graph)
    names = list(dict.fromkeys(owner_of(node) for node in layers))
    if unknown := set(frozen) - {*names, *(node.name for node in layers)}:
        known = ", ".join(names)
        raise InputError(f"frozen: must be layers of {known}, not {', '.join(sorted(unknown))}")
    if set(names) == set(frozen):
        raise InputError(f"frozen: {graph.name} has no layer left that learns")
    fixed = {name for node in layers if owner_of(node) in frozen for name in node.inputs[1:]}
    more = [replace(v, role=Role.CONSTANT) for v in graph.constants if v.name in fixed]
    return graph.rebuilt(graph.nodes, more=more)
