"""Random networks of feature maps in int8: single convolutions, and graphs of every operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.integer import (
    FeatureMap,
    IntegerGraph,
    Scale,
    count_scale,
    fixed_point,
)
from pulsarray.compiler.maps.integer_api import compile_integer
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.images import host_shape, to_matrix
from pulsarray.program import Program, pack

__all__ = [
    "MAP_DIMS",
    "draw_convolution",
    "draw_network",
    "map_config",
    "random_map_program",
    "with_inputs",
]

MAP_DIMS = (2, 4, 5, 8)
"""Values of D that are drawn."""
_MOST_WORDS = 40_000
"""Bound on the words that a convolution streams at D = 8, so that simulators take seconds."""

Random = np.random.Generator


def map_config(random: Random, dim: int) -> Config:
    """A configuration with room for windows of 7 x 7 over 17 columns."""
    word = 8 << (dim - 1).bit_length()
    buses = [bits for bits in (word, word // 2, word // 4) if bits >= 8]
    bus = int(random.choice(buses))
    return Config(
        dim=dim,
        bus_bits=bus,
        burst_beats=int(random.choice([b for b in (16, 64, 256) if b * bus >= 256])),
        scale_bits=int(random.choice((24, 31, 31))),
        scratchpad_banks=int(random.integers(4, 9)),
        scratchpad_depth=int(random.choice((256, 512, 1024))),
        accumulator_banks=int(random.integers(2, 5)),
        accumulator_depth=int(random.choice((64, 128, 256))),
        parameter_depth=int(random.choice((8, 64))),
        tables=int(random.integers(1, 3)),
        outstanding=int(random.integers(1, 9)),
        queue_depth=int(random.integers(1, 8)),
    )


def with_inputs(program: Program, codes: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """The program's memory with codes (samples, H, W, C) as its input."""
    memory = program.memory.copy()
    tensor = program.with_role("input")[0]
    values = np.asarray(codes, np.int64)
    if tensor.view:
        values = tensor.view.to_host(values)
    matrix = to_matrix(values.reshape(host_shape(tensor)), tensor, tensor.name)
    data = pack(matrix, tensor, program.config)
    memory[tensor.address : tensor.address + data.size] = data
    return memory


def draw_convolution(random: Random, config: Config) -> IntegerGraph:
    """A convolution: kernel 1 to 7, stride 1 to 3, dilation 1 or 2, padding 0 to 3, groups.

    Channels 1 to 40, images to 17 x 17.
    """
    while True:
        groups = int(random.choice((1, 1, 1, 2, 3)))
        channels, count = (-(-int(random.integers(1, 41)) // groups) * groups for _ in range(2))
        if random.random() < 0.2:
            groups, count = channels, channels * int(random.integers(1, 3))
        kernel = int(random.integers(1, 8)), int(random.integers(1, 8))
        window = Window(
            kernel,
            (int(random.integers(1, 4)), int(random.integers(1, 4))),
            _four(random, 4, 4),
            (int(random.integers(1, 3)), int(random.integers(1, 3))),
        )
        height, width = (int(n) for n in random.integers(1, 18, 2))
        try:
            size = window.output(height, width)
        except InputError:
            continue
        work = size[0] * size[1] * kernel[0] * kernel[1] * channels * count // groups
        if work <= _MOST_WORDS * 64:
            break
    draw = _Draw(random, config)
    draw.map("x", height, width, channels)
    draw.convolution("x", "y", window, count, groups, tflite=bool(random.integers(2)))
    return draw.graph()


def draw_network(random: Random, config: Config) -> IntegerGraph:
    """Two to eight operators of any kind on small maps, each on recent results."""
    draw = _Draw(random, config)
    height, width = (int(n) for n in random.integers(3, 13, 2))
    draw.map("x", height, width, int(random.integers(1, 30)))
    for number in range(int(random.integers(2, 9))):
        source = str(random.choice(list(draw.maps)[-3:]))
        kinds = list(_KINDS)
        _KINDS[str(random.choice(kinds))](draw, source, f"m{number}")
    return draw.graph() if draw.nodes else draw_network(random, config)


def _four(random: Random, high: int, wide: int) -> tuple[int, int, int, int]:
    top, bottom = (int(n) for n in random.integers(0, high, 2))
    left, right = (int(n) for n in random.integers(0, wide, 2))
    return top, left, bottom, right


@dataclass
class _Draw:
    """A network that grows."""

    random: Random
    config: Config

    def __post_init__(self) -> None:
        self.maps: dict[str, FeatureMap] = {}
        self.nodes: list[integer.Node] = []

    def map(
        self, name: str, height: int, width: int, channels: int, zero: int | None = None
    ) -> None:
        """A map with a zero point."""
        point = int(self.random.integers(-128, 128)) if zero is None else zero
        self.maps[name] = FeatureMap(name, height, width, channels, 1.0, point)

    def graph(self) -> IntegerGraph:
        """The operators that the last one needs."""
        needed, kept = {self.nodes[-1].output}, []
        for node in reversed(self.nodes):
            if node.output in needed:
                kept.append(node)
                needed.update(node.inputs)
        kept.reverse()
        first = self.maps["x"] if "x" in needed else self.maps[kept[0].inputs[0]]
        return IntegerGraph("random", first, kept, self.maps, kept[-1].output)

    def scale(self, count: int, ratio: float, *, tflite: bool = False) -> Scale:
        """Multipliers around a ratio."""
        bits = self.config.scale_bits
        pairs = [fixed_point(ratio * self.random.uniform(0.5, 2), bits) for _ in range(count)]
        table = self.random.integers(-128, 128, 256) if self.random.random() < 0.2 else None
        low, high = (-128, 127) if self.random.random() < 0.5 else (-100, 90)
        return Scale(
            np.array([m for m, _ in pairs]),
            np.array([s for _, s in pairs]),
            int(self.random.integers(-20, 20)),
            low,
            high,
            tflite and bits == 31,
            table,
        )

    def convolution(
        self, source: str, name: str, window: Window, count: int, groups: int, *, tflite: bool
    ) -> None:
        """A convolution with random weights."""
        given = self.maps[source]
        depth = given.channels // groups
        weight = self.random.integers(-127, 128, (*window.kernel, depth, count))
        taps = window.kernel[0] * window.kernel[1] * depth
        scale = self.scale(count, 40 / (74 * 74 * taps**0.5), tflite=tflite)
        bias = self.random.integers(-2000, 2000, count)
        size = window.output(given.height, given.width)
        self.map(name, *size, count)
        node = integer.Convolution(
            name, "conv", source, name, weight, bias, window, groups, given.zero_point, scale
        )
        self.nodes.append(node)

    def window(self, given: FeatureMap) -> Window:
        """A small window that fits a map, no part of it in padding alone."""
        high, wide = (int(self.random.integers(1, min(4, n) + 1)) for n in given.shape[:2])
        stride = int(self.random.integers(1, 3)), int(self.random.integers(1, 3))
        return Window((high, wide), stride, _four(self.random, high, wide))

    def like(self, source: str) -> str:
        """Some map of the same shape."""
        shape = self.maps[source].shape
        return str(self.random.choice([n for n, m in self.maps.items() if m.shape == shape]))

    def multiplier(self) -> int:
        """A multiplier with all bits."""
        high = 1 << self.config.scale_bits
        return int(self.random.integers(high // 2, high))


def _dense_windows(draw: _Draw, source: str, name: str) -> None:
    window, count = draw.window(draw.maps[source]), int(draw.random.integers(1, 40))
    draw.convolution(source, name, window, count, 1, tflite=bool(draw.random.integers(2)))


def _depthwise(draw: _Draw, source: str, name: str) -> None:
    given = draw.maps[source]
    count = given.channels * (1 if given.channels > 20 else int(draw.random.integers(1, 3)))
    draw.convolution(source, name, draw.window(given), count, given.channels, tflite=False)


def _residual(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    count = draw.maps[source].channels
    draw.convolution(source, name, Window((1, 1)), count, 1, tflite=False)
    node = draw.nodes.pop()
    assert isinstance(node, integer.Convolution)
    bits = draw.config.scale_bits
    scale = replace(
        node.scale,
        multiplier=draw.random.integers(1, 1 << (bits - 2), count),
        shift=np.full(count, bits + 7),
    )
    residual = integer.Residual(second, draw.maps[second].zero_point, draw.multiplier())
    draw.nodes.append(replace(node, scale=scale, residual=residual))


def _max_pool(draw: _Draw, source: str, name: str) -> None:
    given, window = draw.maps[source], draw.window(draw.maps[source])
    size = window.output(given.height, given.width)
    draw.map(name, *size, given.channels, given.zero_point)
    draw.nodes.append(integer.MaxPool(name, "max", source, name, window, -110, 120))


def _average_pool(draw: _Draw, source: str, name: str) -> None:
    random, given = draw.random, draw.maps[source]
    window = Window(given.shape[:2]) if random.random() < 0.3 else draw.window(given)
    size, includes = window.output(given.height, given.width), bool(random.integers(2))
    away = draw.config.scale_bits == 31 and bool(random.integers(2))
    ratio = 1.0 if away else float(random.uniform(0.5, 1.5))
    taps = window.kernel[0] * window.kernel[1]
    scales = {n: count_scale(n, ratio, away=away) for n in range(1, taps + 1)}
    if draw.config.scale_bits < 31:
        scales = {n: fixed_point(ratio / n, draw.config.scale_bits) for n in scales}
    zero = given.zero_point if includes or random.random() < 0.5 else 0
    draw.map(name, *size, given.channels)
    offset = int(random.integers(-5, 6))
    draw.nodes.append(
        integer.AveragePool(name, "mean", source, name, window, includes, zero, scales, offset)
    )


def _elementwise(draw: _Draw, source: str, name: str) -> None:
    given = draw.maps[source]
    draw.map(name, *given.shape)
    count = given.channels if draw.random.random() < 0.5 else 1
    scale = draw.scale(count, 1.0, tflite=bool(draw.random.integers(2)))
    node = integer.Elementwise(name, "codes", source, name, given.zero_point, scale)
    draw.nodes.append(node)


def _add(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    zeros = draw.maps[source].zero_point, draw.maps[second].zero_point
    draw.map(name, *draw.maps[source].shape)
    factors, shift = (draw.multiplier(), draw.multiplier()), draw.config.scale_bits
    node = integer.Add(name, "add", (source, second), name, zeros, factors, shift, 3)
    draw.nodes.append(node)


def _tflite_add(draw: _Draw, source: str, name: str) -> None:
    if draw.config.scale_bits < 31:
        _add(draw, source, name)
        return
    second = draw.like(source)
    zeros = draw.maps[source].zero_point, draw.maps[second].zero_point
    draw.map(name, *draw.maps[source].shape)
    half, other = (1 << 30, 31), fixed_point(float(draw.random.uniform(0.05, 0.5)), 31)
    scales = (half, other) if draw.random.random() < 0.5 else (other, half)
    result = fixed_point(float(draw.random.uniform(0.5, 1.5)) / 2**19, 31)
    draw.nodes.append(
        integer.TfliteAdd(name, "add", (source, second), name, zeros, scales, result, 5)
    )


def _multiply(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    draw.map(name, *draw.maps[source].shape)
    zeros, shift = (draw.maps[source].zero_point, 0), draw.config.scale_bits + 6
    node = integer.Multiply(
        name, "multiply", (source, second), name, zeros, draw.multiplier(), shift, -4
    )
    draw.nodes.append(node)


def _concat(draw: _Draw, source: str, name: str) -> None:
    shape = draw.maps[source].shape[:2]
    names = [n for n, m in draw.maps.items() if m.shape[:2] == shape]
    inputs = tuple(str(n) for n in draw.random.choice(names, int(draw.random.integers(2, 4))))
    channels = sum(draw.maps[n].channels for n in inputs)
    if channels <= 120:
        draw.map(name, *shape, channels)
        draw.nodes.append(integer.Concat(name, "concat", inputs, name))


_KINDS: dict[str, Callable[[_Draw, str, str], None]] = {
    "convolution": _dense_windows,
    "depthwise": _depthwise,
    "residual": _residual,
    "max": _max_pool,
    "average": _average_pool,
    "codes": _elementwise,
    "add": _add,
    "tflite add": _tflite_add,
    "multiply": _multiply,
    "concat": _concat,
}


def random_map_program(
    random: Random, config: Config, *, network: bool
) -> tuple[IntegerGraph, Program, npt.NDArray[np.int64]]:
    """A graph, its program with random inputs in its memory, and those inputs."""
    graph = (draw_network if network else draw_convolution)(random, config)
    batch = int(random.integers(1, 4))
    codes = random.integers(-128, 128, (batch, *graph.input.shape))
    program = compile_integer(graph, config, batch=batch)
    return graph, replace(program, memory=with_inputs(program, codes)), codes
