"""Products by their shapes: layers of a network, of a list, or by themselves."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from pulsarray.compiler.api import compile  # noqa: A004
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.passes.pipeline import folded
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program

__all__ = ["LayerShape", "compile_layer", "layers_of", "read_layers"]

_CONVOLUTION = ("height", "width", "kernel rows", "kernel columns", "channels", "filters", "stride")
_LIMIT = 127
_POINT = Window((1, 1))


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """A product of a window with weights.

    Parameters
    ----------
    height, width, channels
        Of the map; 1 x 1 for a plain matrix.
    filters, groups
        Channels of the result, and groups of channels.
    window
        What a filter sees.
    rows
        Samples: rows of a plain matrix.
    """

    height: int
    width: int
    channels: int
    filters: int
    window: Window = _POINT
    groups: int = 1
    rows: int = 1

    def __str__(self) -> str:
        if (self.height, self.width) == (1, 1):
            return f"{self.rows}x{self.channels}x{self.filters}"
        groups = f" groups {self.groups}" if self.groups > 1 else ""
        return f"{self.height}x{self.width}x{self.channels} {self.window} to {self.filters}{groups}"


def compile_layer(shape: LayerShape, config: Config, *, batch: int, effort: int) -> Program:
    """Compile one product on random int8 weights; its input is zeros, which cost the same.

    Parameters
    ----------
    shape
        The product.
    config
        The machine.
    batch
        How many times its samples.
    effort
        Instructions that the search for a fast program may look at.

    Raises
    ------
    InputError
        If it does not fit the machine.
    """
    return compile(_graph(shape, config), config, batch=batch * shape.rows, effort=effort)


def _graph(shape: LayerShape, config: Config) -> Graph:
    depth = shape.channels // shape.groups
    kernel = shape.window.kernel
    weight = np.random.default_rng(0).integers(
        -_LIMIT, _LIMIT + 1, (*kernel, depth, shape.filters), np.int8
    )
    unit = 6.0 * sqrt(depth * kernel[0] * kernel[1]) * 73.0 * 73.0 / 127.0
    size = shape.window.output(shape.height, shape.width)
    parts, scale = Parts(), Scale.of_ratios([1 / unit], config.scale_bits)
    parts.input("x", (shape.height, shape.width, shape.channels), Affine8(1.0))
    parts.map("y", (*size, shape.filters), Affine8(unit))
    op = Convolution(shape.window, shape.groups, scale)
    bias = np.zeros(shape.filters, np.int64)
    parts.product("layer", op, "x", weight, bias, "y", "convolution")
    return parts.graph(str(shape), ("y",))


def layers_of(graph: Graph) -> Counter[LayerShape]:
    """The products with weights of a network, each shape with how often it occurs.

    Other operators (pooling, sums, functions) are not among them.
    """
    steps = graph if graph.is_quantized else folded(graph)
    shapes: Counter[LayerShape] = Counter()
    for node in steps.nodes:
        window = getattr(node.op, "window", None)
        if len(node.inputs) < 2 or not isinstance(window, Window) or not steps.macs_of(node):
            continue
        height, width, channels = steps.values[node.inputs[0]].shape
        filters = steps.values[node.output].shape[-1]
        groups = getattr(node.op, "groups", 1)
        shape = LayerShape(
            height=height, width=width, channels=channels, filters=filters, window=window,
            groups=groups,
        )  # fmt: skip
        shapes[shape] += 1
    return shapes


def read_layers(path: Path) -> list[tuple[str, LayerShape]]:
    """Layers by name from a CSV as SCALE-Sim takes it.

    Convolutions: name, height and width of the map (padding included), height and width of the
    filter, channels, filters, stride (and another for columns). Products: name, M, N, K, where the
    heading says so.

    Raises
    ------
    InputError
        If it cannot be read, or a row is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read: {error}") from None
    lines = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    if len(lines) < 2:
        raise InputError(f"{path}: needs a heading and at least one layer")
    heading = [cell.strip().lower() for cell in lines[0] if cell.strip()]
    plain = heading[1:4] == ["m", "n", "k"]
    return [_layer(f"{path}: row {n}", row, plain) for n, row in enumerate(lines[1:], 2)]


def _layer(where: str, row: Sequence[str], plain: bool) -> tuple[str, LayerShape]:
    name, *cells = (cell.strip() for cell in row)
    numbers = list(_numbers(where, name, [cell for cell in cells if cell]))
    if plain:
        if len(numbers) < 3:
            raise InputError(f"{where}, {name!r}: needs M, N, K, not {', '.join(cells)}")
        m, n, k = numbers[:3]
        return name, LayerShape(height=1, width=1, channels=k, filters=n, rows=m)
    if len(numbers) < len(_CONVOLUTION):
        raise InputError(f"{where}, {name!r}: needs {', '.join(_CONVOLUTION)}, not {len(numbers)}")
    height, width, rows, columns, channels, filters, stride = numbers[:7]
    across = numbers[7] if len(numbers) > 7 else stride
    window = Window((rows, columns), (stride, across))
    try:
        window.output(height, width)
    except InputError as error:
        raise InputError(f"{where}, {name!r}: {error}") from None
    return name, LayerShape(
        height=height, width=width, channels=channels, filters=filters, window=window
    )


def _numbers(where: str, name: str, cells: Sequence[str]) -> Iterator[int]:
    for cell in cells:
        if not re.fullmatch(r"[1-9]\d{0,8}", cell):
            if re.fullmatch(r"\d+:\d+", cell):
                raise InputError(f"{where}, {name!r}: sparsity {cell} is not supported")
            raise InputError(f"{where}, {name!r}: must be a positive number, not {cell!r}")
        yield int(cell)
