"""Residual networks (He et al. 2016) for tests of shapes and speed, with seeded random weights.

They answer nothing: neither CIFAR-10 nor ImageNet comes with a package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import host_shape
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import ToolMissing
from pulsarray.extras import require

__all__ = ["random_images", "resnet8", "resnet50", "resnet50_file"]

_SEED = 1
_CALIBRATION = {"resnet8": 16, "resnet50": 2}
"""Random images to calibrate with."""


class _Blocks:
    """Adds layers with random parameters to a builder."""

    def __init__(self, builder: Builder, seed: int) -> None:
        self.builder, self._rng = builder, np.random.default_rng(seed)

    def normalized(self, kernel: int, channels: int, count: int, stride: int, name: str) -> None:
        """A convolution and its batch normalization."""
        self.convolution(kernel, channels, count, stride, name, self.builder.last)
        rng = self._rng
        self.builder.batch_norm(
            rng.uniform(0.8, 1.2, count),
            rng.normal(0.0, 0.1, count),
            rng.normal(0.0, 0.1, count),
            rng.uniform(0.8, 1.2, count),
            name=f"norm_{name}",
        )

    def convolution(
        self, kernel: int, channels: int, count: int, stride: int, name: str, source: str
    ) -> None:
        """A convolution that keeps rows and columns, or halves them."""
        rng, shape = self._rng, (kernel, kernel, channels, count)
        weight = rng.normal(0.0, np.sqrt(2.0 / (kernel * kernel * channels)), shape)
        # As TensorFlow's "same": what is odd of the padding is at bottom and right.
        cut = kernel - stride if kernel > stride else 0
        before, after = cut // 2, cut - cut // 2
        self.builder.convolution(
            weight,
            rng.normal(0.0, 0.1, count),
            stride=stride,
            padding=(before, before, after, after),
            name=name,
            source=source,
        )

    def stack(self, number: int, channels: int, count: int, stride: int) -> None:
        """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution if needed."""
        start, name = self.builder.last, f"stack{number}"
        self.normalized(3, channels, count, stride, f"{name}_conv1")
        self.builder.relu(f"{name}_relu1")
        self.normalized(3, count, count, 1, f"{name}_conv2")
        main, shortcut = self.builder.last, start
        if stride > 1:
            shortcut = f"{name}_shortcut"
            self.convolution(1, channels, count, stride, shortcut, start)
        self.builder.add(shortcut, f"{name}_add", source=main).relu(f"{name}_relu2")

    def dense(self, inputs: int, outputs: int, name: str) -> None:
        """A dense layer."""
        weight = self._rng.normal(0.0, np.sqrt(1.0 / inputs), (inputs, outputs))
        self.builder.dense(weight, self._rng.normal(0.0, 0.1, outputs), name=name)


def resnet8(seed: int = _SEED) -> Graph:
    """ResNet-8 of MLPerf Tiny (Banbury et al. 2021) for images of 32 x 32 pixels, 10 classes."""
    blocks = _Blocks(Builder("resnet8", (32, 32, 3), "image", "probabilities"), seed)
    blocks.normalized(3, 3, 16, 1, "conv")
    blocks.builder.relu("relu")
    channels = 16
    for number, (count, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        blocks.stack(number, channels, count, stride)
        channels = count
    blocks.builder.average_pool(8, name="pool").flatten()
    blocks.dense(channels, 10, "fc")
    return blocks.builder.softmax().build()


def resnet50_file() -> Path:
    """The file of ResNet-50 without weights that the onnx package carries for its tests.

    Raises
    ------
    ToolMissing
        If onnx is not installed, or carries none.
    """
    require("resnet50's file", "onnx")
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = folder / "light_resnet50.onnx"
    if not path.is_file():
        raise ToolMissing(f"{path} is missing: pip install onnx, of a version that carries it")
    return path


def resnet50(seed: int = _SEED) -> Graph:
    """ResNet-50 for images of 224 x 224 pixels, 1,000 classes."""
    from pulsarray.compiler.importers.onnx.importer import import_onnx

    return import_onnx(resnet50_file(), random_weights=seed)


def random_images(graph: Graph, seed: int = _SEED) -> Floats:
    """Normal noise to calibrate a network of this module with, as a host gives images."""
    count = _CALIBRATION.get(graph.name, 2)
    return np.random.default_rng(seed).normal(0.0, 1.0, (count, *host_shape(graph)))
