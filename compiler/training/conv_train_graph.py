"""From a graph of feature maps to the steps of its training, and their shared exponents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from pulsarray.compiler.graph import Activate, Dense, Flatten, Graph, Node, Softmax
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    BatchNorm,
    Convolution,
    Dropout,
    MaxPool,
    Window,
)
from pulsarray.compiler.training.train_layers import (
    DERIVATIVES,
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    MapShape,
    NormLayer,
    PoolStep,
    Step,
)
from pulsarray.errors import InputError

__all__ = [
    "INPUT",
    "NORMAL",
    "consumers",
    "error_name",
    "needs_steps",
    "output_name",
    "step_exponents",
    "steps_of",
]

NORMAL = "normal"
"""Name of the exponent of normalized values."""
_NORMAL_EXPONENT = -12
INPUT = "input"
"""Name of the network's input."""


def needs_steps(graph: Graph) -> bool:
    """Whether a network is more than a chain of dense layers."""
    return not graph.is_chain or any(
        not isinstance(node, Dense | Activate | Flatten | Softmax) for node in graph.nodes
    )


def steps_of(graph: Graph) -> list[Step]:
    """The steps that train a network.

    Raises
    ------
    InputError
        If an operator cannot be trained.
    """
    return _Translation(graph).run()


class _Translation:
    """One graph being translated."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.names = {graph.input.name: INPUT}
        self.shapes: dict[str, MapShape] = {INPUT: _map_shape(graph.input.shape)}
        self.reads = [name for node in graph.nodes for name in node.inputs]

    def run(self) -> list[Step]:
        """All steps."""
        for node in self.graph.nodes:
            self._node(node)
        return self.steps

    def _node(self, node: Node) -> None:
        if isinstance(node, Flatten | Softmax):
            self.names[node.output] = self.names[node.input]
        elif isinstance(node, Activate):
            self._activate(node)
        else:
            step = self._step(node)
            if step.name in self.shapes:
                raise InputError(f"{step.name}: two operators have this name")
            self.steps.append(step)
            self.names[node.output] = step.name
            self.shapes[step.name] = step.result

    def _step(self, node: Node) -> Step:
        sources = [self.names[name] for name in node.inputs]
        given = self.shapes[sources[0]]
        if isinstance(node, Dense):
            window = Window(given[:2])
            shape = (1, 1, node.weight.shape[1])
            return MapLayer(
                node.name, node.weight, node.bias, "identity",
                source=sources[0], window=window, given=given, result=shape,
            )  # fmt: skip
        if isinstance(node, Convolution):
            weight = node.weight.reshape(-1, node.weight.shape[3])
            result = (*node.window.output(*given[:2], node.name), weight.shape[1])
            return MapLayer(
                node.name, weight, node.bias, "identity", source=sources[0],
                window=node.window, given=given, result=result, groups=node.groups,
            )  # fmt: skip
        if isinstance(node, MaxPool):
            return self._pool(node, sources[0], given)
        if isinstance(node, Dropout):
            return DropStep(node.name, sources[0], node.rate, given)
        if isinstance(node, AveragePool):
            result = self._beside(node, given)
            return AverageStep(node.name, sources[0], node.window, given, result)
        if isinstance(node, BatchNorm):
            return self._norm(node, sources[0], given)
        if isinstance(node, Add):
            return AddStep(node.name, tuple(sources), given)
        kind = type(node).__name__
        raise InputError(f"{node.name}: {kind} cannot be trained")

    def _norm(self, node: BatchNorm, source: str, given: MapShape) -> NormLayer:
        place = next((i for i, step in enumerate(self.steps) if step.name == source), None)
        step = None if place is None else self.steps[place]
        alone = self.reads.count(node.input) == 1
        if not isinstance(step, MapLayer) or step.activation != "identity" or not alone:
            raise InputError(
                f"{node.name}: training needs a convolution or dense layer right before it, "
                "whose result nothing else reads"
            )
        assert place is not None
        self.steps[place] = replace(step, normalized=True)
        return NormLayer(
            node.name, node.scale.reshape(1, -1), node.shift, "identity",
            source=source, given=given, epsilon=node.epsilon,
        )  # fmt: skip

    def _pool(self, node: MaxPool, source: str, given: MapShape) -> PoolStep:
        result = (*node.window.output(*given[:2], node.name), given[2])
        if self.reads.count(node.input) > 1 or source == INPUT:
            raise InputError(f"{node.name}: training needs a value that only this pooling reads")
        before = next(step for step in self.steps if step.name == source)
        return PoolStep(node.name, source, node.window, given, result, before.activation)

    def _beside(self, node: AveragePool, given: MapShape) -> MapShape:
        """Shape of the result of windows that do not overlap."""
        window, one = node.window, node.window.kernel == given[:2]
        if any(window.padding) or window.dilation != (1, 1):
            raise InputError(f"{node.name}: training needs windows without padding and dilation")
        if window.stride != window.kernel and not one:
            raise InputError(
                f"{node.name}: training needs windows side by side, "
                f"not {window.kernel} with stride {window.stride}"
            )
        return (*window.output(*given[:2], node.name), given[2])

    def _activate(self, node: Activate) -> None:
        source = self.names[node.input]
        if node.function not in DERIVATIVES:
            known = ", ".join(DERIVATIVES)
            raise InputError(f"{node.name}: training needs one of {known}, not {node.function}")
        place = next((i for i, step in enumerate(self.steps) if step.name == source), None)
        step = self.steps[place] if place is not None else None
        fits = isinstance(step, MapLayer) or (
            isinstance(step, AddStep | NormLayer) and node.function == "relu"
        )
        if not fits or step is None or step.activation != "identity":
            raise InputError(f"{node.name}: training needs {node.function} right after a product")
        if self.reads.count(node.input) > 1:
            raise InputError(f"{node.name}: something else reads {node.input!r}, too")
        assert place is not None
        self.steps[place] = replace(step, activation=node.function)
        self.names[node.output] = source


def _map_shape(shape: tuple[int, ...]) -> MapShape:
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return 1, 1, prod(shape)


def consumers(steps: Sequence[Step], name: str) -> list[Step]:
    """The steps that read a value, once for each time that they do."""
    return [step for step in steps for source in step.sources if source == name]


def output_name(steps: Sequence[Step], name: str) -> str:
    """Name of the exponent of a value."""
    step = next((step for step in steps if step.name == name), None)
    if step is None:
        return INPUT
    if isinstance(step, PoolStep):
        return output_name(steps, step.source)
    return f"{name}.output"


def error_name(steps: Sequence[Step], name: str) -> str:
    """Name of the exponent of the gradient at a step's sums."""
    step = next(step for step in steps if step.name == name)
    readers = consumers(steps, name)
    if len(readers) == 1:
        reader = readers[0]
        if isinstance(reader, PoolStep) and reader.apart:
            return f"{reader.name}.error"
        if isinstance(reader, AddStep) and step.activation == "identity":
            return error_name(steps, reader.name)
    return f"{name}.error"


def step_exponents(steps: Sequence[Step]) -> dict[str, int | None]:
    """Every exponent of values and errors: fixed, or None where it adapts."""
    found: dict[str, int | None] = {}
    for step in steps:
        own = output_name(steps, step.name)
        if own not in found:
            found[own] = DERIVATIVES[step.activation].output
        found.setdefault(error_name(steps, step.name))
        if isinstance(step, NormLayer):
            found[NORMAL] = _NORMAL_EXPONENT
    return found
