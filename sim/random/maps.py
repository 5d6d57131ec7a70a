"""Random networks of feature maps in int8: single convolutions, and graphs of every operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray import compiler
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Shape, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.pool import count_scale
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.images import host_shape, to_matrix
from pulsarray.program import Program, pack
from pulsarray.sim.random.ends import with_more_ends
from pulsarray.sim.random.machines import fewer_lanes

__all__ = [
    "MAP_DIMS",
    "draw_convolution",
    "draw_network",
    "map_config",
    "random_ends_program",
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
    config = Config(
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
    return fewer_lanes(random, config)


def with_inputs(
    program: Program, codes: npt.ArrayLike | Mapping[str, npt.ArrayLike]
) -> npt.NDArray[np.uint8]:
    """The program's memory with codes (samples, H, W, C) as its inputs, or as its only one."""
    memory, tensors = program.memory.copy(), program.with_role("input")
    codes_by_name = codes if isinstance(codes, Mapping) else {tensors[0].name: codes}
    for tensor in tensors:
        values = np.asarray(codes_by_name[tensor.name], np.int64)
        if tensor.view:
            values = tensor.view.to_host(values)
        matrix = to_matrix(values.reshape(host_shape(tensor)), tensor, tensor.name)
        data = pack(matrix, tensor, program.config)
        memory[tensor.address : tensor.address + data.size] = data
    return memory


def draw_convolution(random: Random, config: Config) -> Graph:
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
    draw.map("x", (height, width, channels))
    draw.convolution("x", "y", window, count, groups, tflite=bool(random.integers(2)))
    return draw.graph()


def draw_network(random: Random, config: Config) -> Graph:
    """Two to eight operators of any kind on small maps, each on recent results."""
    draw = _Draw(random, config)
    height, width = (int(n) for n in random.integers(3, 13, 2))
    draw.map("x", (height, width, int(random.integers(1, 30))))
    for number in range(int(random.integers(2, 9))):
        source = str(random.choice(draw.maps[-3:]))
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
        self.parts = Parts()
        self.nodes: list[Node] = self.parts.nodes

    @property
    def maps(self) -> list[str]:
        """Names of all maps so far."""
        values = self.parts.values.values()
        return [value.name for value in values if not value.role.is_constant]

    def value(self, name: str) -> Value:
        """A map."""
        return self.parts.values[name]

    def map(self, name: str, shape: Shape, zero: int | None = None) -> None:
        """A map with a zero point; the first one is the network's input."""
        point = int(self.random.integers(-128, 128)) if zero is None else zero
        declare = self.parts.map if self.parts.values else self.parts.input
        declare(name, shape, Affine8(1.0, point))

    def graph(self) -> Graph:
        """The operators that the last one needs."""
        needed, kept = {self.nodes[-1].output}, []
        for node in reversed(self.nodes):
            if node.output in needed:
                kept.append(node)
                needed.update(node.inputs)
        return self.parts.graph("random", (self.nodes[-1].output,)).rebuilt(kept[::-1])

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
        height, width, channels = self.value(source).shape
        depth = channels // groups
        weight = self.random.integers(-127, 128, (*window.kernel, depth, count))
        taps = window.kernel[0] * window.kernel[1] * depth
        scale = self.scale(count, 40 / (74 * 74 * taps**0.5), tflite=tflite)
        bias = self.random.integers(-2000, 2000, count)
        self.map(name, (*window.output(height, width), count))
        op = integer.Convolution(window, groups, scale)
        self.parts.product(name, op, source, weight, bias, name, "conv")

    def window(self, shape: Shape) -> Window:
        """A small window that fits a map, no part of it in padding alone."""
        high, wide = (int(self.random.integers(1, min(4, n) + 1)) for n in shape[:2])
        stride = int(self.random.integers(1, 3)), int(self.random.integers(1, 3))
        return Window((high, wide), stride, _four(self.random, high, wide))

    def like(self, source: str) -> str:
        """Some map of the same shape."""
        shape = self.value(source).shape
        return str(self.random.choice([n for n in self.maps if self.value(n).shape == shape]))

    def multiplier(self) -> int:
        """A multiplier with all bits."""
        high = 1 << self.config.scale_bits
        return int(self.random.integers(high // 2, high))


def _dense_windows(draw: _Draw, source: str, name: str) -> None:
    window, count = draw.window(draw.value(source).shape), int(draw.random.integers(1, 40))
    draw.convolution(source, name, window, count, 1, tflite=bool(draw.random.integers(2)))


def _depthwise(draw: _Draw, source: str, name: str) -> None:
    shape = draw.value(source).shape
    channels = shape[2]
    count = channels * (1 if channels > 20 else int(draw.random.integers(1, 3)))
    draw.convolution(source, name, draw.window(shape), count, channels, tflite=False)


def _residual(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    count = draw.value(source).shape[2]
    draw.convolution(source, name, Window((1, 1)), count, 1, tflite=False)
    node = draw.nodes.pop()
    assert isinstance(node.op, integer.Convolution)
    assert node.op.scale is not None
    bits = draw.config.scale_bits
    scale = replace(
        node.op.scale,
        multiplier=draw.random.integers(1, 1 << (bits - 2), count),
        shift=np.full(count, bits + 7),
    )
    op = replace(node.op, scale=scale, residual=Residual(draw.multiplier()))
    draw.nodes.append(replace(node, op=op, inputs=(*node.inputs, second)))


def _max_pool(draw: _Draw, source: str, name: str) -> None:
    value = draw.value(source)
    height, width, channels = value.shape
    window = draw.window(value.shape)
    draw.map(name, (*window.output(height, width), channels), value.codes.zero)
    draw.parts.add(name, integer.MaxPool(window, -110, 120), (source,), name, "max")


def _average_pool(draw: _Draw, source: str, name: str) -> None:
    random, (height, width, channels) = draw.random, draw.value(source).shape
    whole = Window((height, width))
    window = whole if random.random() < 0.3 else draw.window((height, width))
    size, includes = window.output(height, width), bool(random.integers(2))
    away = draw.config.scale_bits == 31 and bool(random.integers(2))
    ratio = 1.0 if away else float(random.uniform(0.5, 1.5))
    taps = window.kernel[0] * window.kernel[1]
    scales = {n: count_scale(n, ratio, away=away) for n in range(1, taps + 1)}
    if draw.config.scale_bits < 31:
        scales = {n: fixed_point(ratio / n, draw.config.scale_bits) for n in scales}
    raw = not (includes or random.random() < 0.5)
    draw.map(name, (*size, channels))
    offset = int(random.integers(-5, 6))
    op = integer.AveragePool(window, includes, scales, offset, raw=raw)
    draw.parts.add(name, op, (source,), name, "mean")


def _elementwise(draw: _Draw, source: str, name: str) -> None:
    shape = draw.value(source).shape
    draw.map(name, shape)
    count = shape[2] if draw.random.random() < 0.5 else 1
    scale = draw.scale(count, 1.0, tflite=bool(draw.random.integers(2)))
    draw.parts.add(name, integer.Elementwise(scale), (source,), name, "codes")


def _add(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    draw.map(name, draw.value(source).shape)
    factors, shift = (draw.multiplier(), draw.multiplier()), draw.config.scale_bits
    draw.parts.add(name, integer.Add(factors, shift, 3), (source, second), name, "add")


def _tflite_add(draw: _Draw, source: str, name: str) -> None:
    if draw.config.scale_bits < 31:
        _add(draw, source, name)
        return
    second = draw.like(source)
    draw.map(name, draw.value(source).shape)
    half, other = (1 << 30, 31), fixed_point(float(draw.random.uniform(0.05, 0.5)), 31)
    scales = (half, other) if draw.random.random() < 0.5 else (other, half)
    total = fixed_point(float(draw.random.uniform(0.5, 1.5)) / 2**19, 31)
    draw.parts.add(name, integer.TfliteAdd(scales, total, 5), (source, second), name, "add")


def _multiply(draw: _Draw, source: str, name: str) -> None:
    second = draw.like(source)
    draw.map(name, draw.value(source).shape)
    op = integer.Multiply(draw.multiplier(), draw.config.scale_bits + 6, -4)
    draw.parts.add(name, op, (source, second), name, "multiply")


def _concat(draw: _Draw, source: str, name: str) -> None:
    height, width, _ = draw.value(source).shape
    names = [n for n in draw.maps if draw.value(n).shape[:2] == (height, width)]
    inputs = tuple(str(n) for n in draw.random.choice(names, int(draw.random.integers(2, 4))))
    channels = sum(draw.value(n).shape[2] for n in inputs)
    if channels <= 120:
        draw.map(name, (height, width, channels))
        draw.parts.add(name, integer.Concat(), inputs, name, "concat")


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


def random_ends_program(
    random: Random, config: Config
) -> tuple[Graph, Program, dict[str, npt.NDArray[np.int64]]]:
    """A graph of several inputs and outputs, its program with random inputs, and these."""
    graph = with_more_ends(random, draw_network(random, config))
    batch = int(random.integers(1, 4))
    codes = {v.name: random.integers(-128, 128, (batch, *v.shape)) for v in graph.inputs}
    program = compiler.compile(graph, config, batch=batch)
    return graph, replace(program, memory=with_inputs(program, codes)), codes


def random_map_program(
    random: Random, config: Config, *, network: bool
) -> tuple[Graph, Program, npt.NDArray[np.int64]]:
    """A graph, its program with random inputs in its memory, and those inputs."""
    graph = (draw_network if network else draw_convolution)(random, config)
    batch = int(random.integers(1, 4))
    codes = random.integers(-128, 128, (batch, *graph.input.shape))
    program = compiler.compile(graph, config, batch=batch)
    return graph, replace(program, memory=with_inputs(program, codes)), codes
