"""Training of classifiers on the host, in float32: Adam on softmax cross-entropy.

Built-in networks are made with it, once, and kept; training on the machine is another matter
(docs/training.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pulsarray.compiler.float_layers import FORWARD, Backward, Batch, parameters
from pulsarray.compiler.graph import Dense, Graph, Node, Softmax
from pulsarray.compiler.spatial import BatchNorm, Convolution, Dropout
from pulsarray.errors import InputError

__all__ = ["Recipe", "fit", "gradients"]

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
        A classifier of convolutions, dense layers, pooling, batch normalization, additions and
        activations; a last Softmax and Dropout are passed over.
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
    values = {node.name: parameters(node) for node in graph.nodes if parameters(node)}
    norms = {n.name: _Running(n.mean, n.variance) for n in graph.nodes if isinstance(n, BatchNorm)}
    first = {name: [np.zeros_like(v) for v in learned] for name, learned in values.items()}
    second = {name: [np.zeros_like(v) for v in learned] for name, learned in values.items()}
    step, rate = 0, recipe.rate
    with threadpool_limits(1):  # so that results do not depend on the number of cores
        for _ in range(recipe.epochs):
            order = rng.permutation(len(images))
            for start in range(0, len(order), recipe.batch):
                chosen, step = order[start : start + recipe.batch], step + 1
                batch = np.asarray(images[chosen], np.float32)
                batch = batch if change is None else change(batch, rng)
                slopes = gradients(graph, values, batch, labels[chosen], norms)
                size = rate * np.sqrt(1 - _SECOND**step) / (1 - _FIRST**step)
                for name, learned in values.items():
                    for k, slope in enumerate(slopes[name]):
                        slope = slope + np.float32(recipe.weight_decay) * learned[k]
                        first[name][k] += (1 - _FIRST) * (slope - first[name][k])
                        second[name][k] += (1 - _SECOND) * (slope**2 - second[name][k])
                        root = np.sqrt(second[name][k]) + _TINY
                        learned[k] -= np.float32(size) * first[name][k] / root
            rate *= recipe.decay
    return replace(graph, nodes=[_trained(node, values, norms) for node in graph.nodes])


class _Running:
    """Running statistics of one batch normalization."""

    def __init__(self, mean: npt.NDArray[np.float64], variance: npt.NDArray[np.float64]) -> None:
        self.mean, self.variance = mean.copy(), variance.copy()

    def update(self, values: Batch) -> None:
        axes = tuple(range(values.ndim - 1))
        self.mean = _KEEP * self.mean + (1 - _KEEP) * values.mean(axis=axes)
        self.variance = _KEEP * self.variance + (1 - _KEEP) * values.var(axis=axes)


def gradients(
    graph: Graph,
    values: Mapping[str, list[Batch]],
    images: Batch,
    labels: Labels,
    norms: Mapping[str, _Running] | None = None,
) -> dict[str, list[Batch]]:
    """Gradients of the mean cross-entropy by every operator's parameters."""
    results: dict[str, Batch] = {graph.input.name: images}
    backs: list[tuple[Node, Backward]] = []
    aliases: dict[str, str] = {}
    for node in graph.nodes:
        inputs = [aliases.get(name, name) for name in node.inputs]
        if isinstance(node, Softmax | Dropout):
            aliases[node.output] = inputs[0]
            continue
        if norms is not None and node.name in norms:
            norms[node.name].update(results[inputs[0]])
        given = [results[name] for name in inputs]
        learned = values.get(node.name, [])
        results[node.output], back = FORWARD[type(node)](node, learned, given)
        backs.append((node, back))
    last = aliases.get(graph.output.name, graph.output.name)
    errors = {last: _cross_entropy(results[last], labels)}
    slopes: dict[str, list[Batch]] = {}
    for node, back in reversed(backs):
        parts, learned = back(errors.pop(node.output))
        for name, part in zip(node.inputs, parts, strict=True):
            source = aliases.get(name, name)
            errors[source] = errors[source] + part if source in errors else part
        slopes[node.name] = learned
    return slopes


def _cross_entropy(scores: Batch, labels: Labels) -> Batch:
    """Gradient of the mean cross-entropy by the scores."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1.0
    return np.asarray(error / np.float32(len(labels)), np.float32)


def _check(graph: Graph, images: npt.NDArray[np.floating], labels: Labels) -> None:
    for node in graph.nodes:
        if type(node) not in FORWARD and not isinstance(node, Softmax | Dropout):
            kind = type(node).__name__
            raise InputError(f"{graph.name}: {node.name}: {kind} cannot be trained on the host")
    if images.shape[1:] != graph.input.shape or len(images) != len(labels) or not len(labels):
        raise InputError(
            f"{graph.name}: samples must have shape (samples, "
            f"{', '.join(map(str, graph.input.shape))}) and one label each, "
            f"not {images.shape} and {labels.shape}"
        )
    if len(graph.output.shape) != 1:
        raise InputError(f"{graph.name}: result must be one vector, not {graph.output.shape}")


def _trained(node: Node, values: Mapping[str, list[Batch]], norms: Mapping[str, _Running]) -> Node:
    """The operator with what it learned."""
    if isinstance(node, Dense | Convolution):
        weight, bias = (v.astype(np.float64) for v in values[node.name])
        return replace(node, weight=weight, bias=bias)
    if isinstance(node, BatchNorm):
        scale, shift = (v.astype(np.float64) for v in values[node.name])
        running = norms[node.name]
        return replace(node, scale=scale, shift=shift, mean=running.mean, variance=running.variance)
    return node
