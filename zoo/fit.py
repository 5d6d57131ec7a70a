"""Training of classifiers on the host, in float32: Adam on softmax cross-entropy.

Built-in networks are made with it, once, and kept; training on the machine is another matter
(docs/training.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Floats, Role
from pulsarray.compiler.ops.batch_norm import BatchNorm, BatchStatisticsNorm
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.reference.gradcheck import backward
from pulsarray.compiler.reference.run import run
from pulsarray.errors import InputError

__all__ = ["Batch", "Recipe", "fit", "learning", "slopes_of"]

Batch = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8
_KEEP = 0.9
"""Share of the running statistics of batch normalization that a batch leaves."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Parameters
    ----------
    epochs, batch
        Passes over the samples, and samples of a step.
    rate, decay
        Learning rate, and its factor after each epoch.
    weight_decay
        Share of a weight that is added to its gradient.
    seed
        Seed of the order of samples.
    """

    epochs: int
    batch: int = 50
    rate: float = 2e-3
    decay: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 1


def fit(
    graph: Graph,
    images: npt.NDArray[np.floating],
    labels: Labels,
    recipe: Recipe,
    *,
    change: Callable[[Batch, np.random.Generator], Batch] | None = None,
) -> Graph:
    """The network with weights that answer these labels; the given ones are where it starts.

    Parameters
    ----------
    graph
        A classifier of operators that have a gradient; a last Softmax is passed over.
    images, labels
        Samples (samples, *input shape), and the class of each.
    recipe
        How to train.
    change
        Makes another batch of a batch, such as moved images.

    Raises
    ------
    InputError
        If an operator cannot be trained here, or the samples do not fit.
    """
    _check(graph, images, labels)
    rng = np.random.default_rng(recipe.seed)
    learner, adam, norms = learning(graph), _Adam(), _norms(graph)
    rate = recipe.rate
    with threadpool_limits(1):  # so that results do not depend on the number of cores
        for _ in range(recipe.epochs):
            order = rng.permutation(len(images))
            for start in range(0, len(order), recipe.batch):
                chosen = order[start : start + recipe.batch]
                batch = np.asarray(images[chosen], np.float32)
                batch = batch if change is None else change(batch, rng)
                values = run(learner, batch)
                for norm in norms:
                    norm.update(values[norm.source])
                slopes = _backward(learner, values, labels[chosen])
                learner = adam.step(learner, slopes, rate, recipe.weight_decay)
            rate *= recipe.decay
    trained = {name: data.astype(np.float64) for name, data in _learned(learner).items()}
    return _with(graph, trained | {k: v for norm in norms for k, v in norm.results()})


def learning(graph: Graph) -> Graph:
    """The network as it learns: parameters in float32, statistics those of each batch."""
    nodes = [replace(n, op=_learning_op(n.op), inputs=_reads(n)) for n in graph.nodes]
    output = graph.output.name
    if host_function(graph):
        output = nodes.pop().inputs[0]
    made = graph.rebuilt(nodes, outputs=(output,))
    return _with(made, {name: data.astype(np.float32) for name, data in _learned(made).items()})


@singledispatch
def _learning_op(op: Operator) -> Operator:
    """What an operator is while a network learns."""
    return op


@_learning_op.register
def _(op: BatchNorm) -> Operator:
    return BatchStatisticsNorm(op.epsilon)


def _reads(node: Node) -> tuple[str, ...]:
    return node.inputs[: len(_learning_op(node.op).reads)] if node.op.reads else node.inputs


def slopes_of(learner: Graph, images: Array, labels: Labels) -> dict[str, Array]:
    """Gradients of the mean cross-entropy by every value and parameter of a learning network."""
    return _backward(learner, run(learner, images), labels)


def _backward(learner: Graph, values: Mapping[str, Array], labels: Labels) -> dict[str, Array]:
    output = learner.output.name
    return backward(learner, values, {output: _cross_entropy(values[output], labels)})


def _cross_entropy(scores: Array, labels: Labels) -> Array:
    """Gradient of the mean cross-entropy by the scores."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1.0
    return np.asarray(error / scores.dtype.type(len(labels)))


def _learned(graph: Graph) -> dict[str, Array]:
    """Parameters by name."""
    return {v.name: v.array for v in graph.declared if v.role is Role.PARAMETER}


def _with(graph: Graph, arrays: Mapping[str, Array]) -> Graph:
    """The network with other constants and parameters."""
    changed = [replace(graph.values[name], data=data) for name, data in arrays.items()]
    return graph.rebuilt(graph.nodes, more=changed)


@dataclass(eq=False)
class _Adam:
    """Running means of gradients and their squares (Kingma and Ba 2015), by parameter."""

    steps: int = 0
    first: dict[str, Array] = field(default_factory=dict)
    second: dict[str, Array] = field(default_factory=dict)

    def step(self, graph: Graph, slopes: Mapping[str, Array], rate: float, decay: float) -> Graph:
        """The network one step further."""
        self.steps += 1
        size = rate * np.sqrt(1 - _SECOND**self.steps) / (1 - _FIRST**self.steps)
        changed = {}
        for name, old in _learned(graph).items():
            slope = slopes[name] + np.float32(decay) * old
            first = self.first.setdefault(name, np.zeros_like(old))
            second = self.second.setdefault(name, np.zeros_like(old))
            first += (1 - _FIRST) * (slope - first)
            second += (1 - _SECOND) * (slope**2 - second)
            changed[name] = old - np.float32(size) * first / (np.sqrt(second) + _TINY)
        return _with(graph, changed)


@dataclass(eq=False)
class _Running:
    """Running statistics of one batch normalization: what it reads, and names of the two."""

    source: str
    names: tuple[str, ...]
    mean: Floats
    variance: Floats

    def update(self, values: Array) -> None:
        axes = tuple(range(values.ndim - 1))
        self.mean = _KEEP * self.mean + (1 - _KEEP) * values.mean(axis=axes)
        self.variance = _KEEP * self.variance + (1 - _KEEP) * values.var(axis=axes)

    def results(self) -> list[tuple[str, Array]]:
        return list(zip(self.names, (self.mean, self.variance), strict=True))


def _norms(graph: Graph) -> list[_Running]:
    """Statistics of those operators that learn without them."""
    left = [(node, node.inputs[len(_reads(node)) :]) for node in graph.nodes]
    return [
        _Running(node.inputs[0], names, *(graph.values[name].array for name in names))
        for node, names in left
        if names
    ]


def _check(graph: Graph, images: npt.NDArray[np.floating], labels: Labels) -> None:
    if images.shape[1:] != graph.input.shape or len(images) != len(labels) or not len(labels):
        raise InputError(
            f"{graph.name}: samples must have shape (samples, "
            f"{', '.join(map(str, graph.input.shape))}) and one label each, "
            f"not {images.shape} and {labels.shape}"
        )
    if len(graph.output.shape) != 1:
        raise InputError(f"{graph.name}: result must be one vector, not {graph.output.shape}")
