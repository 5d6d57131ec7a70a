"""A network of LeNet-5's class for 28 x 28 digits (LeCun et al. 1998), with ReLU and max pooling.

Two 5 x 5 convolutions of 6 and 16 filters, each pooled by two, then 120, 84 and 10 neurons.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.zoo.fit import Batch, Recipe, fit

__all__ = ["RECIPE", "lenet", "moved", "train_lenet"]

RECIPE = Recipe(epochs=15, batch=50, rate=2e-3, decay=0.85, seed=1)
"""How it is trained."""

_SHAPES = {
    "conv1": (5, 5, 1, 6),
    "conv2": (5, 5, 6, 16),
    "fc1": (400, 120),
    "fc2": (120, 84),
    "fc3": (84, 10),
}
_SEED = 1


def lenet(arrays: Mapping[str, Floats], name: str = "lenet") -> Graph:
    """The network with weights and biases ``conv1.weight``, ``conv1.bias``, and so on."""
    builder = Builder(name, (28, 28, 1), "image", "logits")
    for layer, padding in (("conv1", 2), ("conv2", 0)):
        weight, bias = arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]
        builder.convolution(weight, bias, padding=padding, name=layer)
        builder.relu(f"relu_{layer}").max_pool(2, name=f"pool_{layer}")
    builder.flatten()
    for layer in ("fc1", "fc2", "fc3"):
        builder.dense(arrays[f"{layer}.weight"], arrays[f"{layer}.bias"], name=layer)
        if layer != "fc3":
            builder.relu(f"relu_{layer}")
    return builder.build()


def train_lenet(
    images: Floats, labels: npt.NDArray[np.int64], recipe: Recipe = RECIPE
) -> dict[str, Floats]:
    """Weights and biases, trained on images (samples, 28, 28, 1)."""
    rng = np.random.default_rng(_SEED)
    first: dict[str, Floats] = {}
    for layer, shape in _SHAPES.items():
        inputs = np.prod(shape[:-1])
        first[f"{layer}.weight"] = rng.normal(0.0, np.sqrt(2.0 / inputs), shape)
        first[f"{layer}.bias"] = np.zeros(shape[-1])
    graph = fit(lenet(first), images, labels, recipe, change=moved)
    return {name: graph.values[name].array for name in first}


def moved(images: Batch, rng: np.random.Generator) -> Batch:
    """Images moved by up to two rows and columns, each batch by others."""
    down, right = (int(by) for by in rng.integers(-2, 3, 2))
    return np.roll(images, (down, right), (1, 2))
