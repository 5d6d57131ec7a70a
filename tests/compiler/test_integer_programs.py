"""Programs of int8 networks leave in memory what the network's definition says, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.programs import compile_layers
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.compiler.passes.dead import without_dead
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.images import host_shape, to_matrix
from pulsarray.isa import Instruction, Opcode, StreamFlag, Unit
from pulsarray.model.addresses import tiles_needed
from pulsarray.model.functional import execute, values
from pulsarray.model.plan import bits
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.random.maps import MAP_DIMS, map_config, random_map_program
from pulsarray.views import HostView

NONE = (0, 0, 0, 0)
SMALLEST = Config(
    dim=2, scratchpad_banks=4, scratchpad_depth=16, accumulator_banks=2, accumulator_depth=16,
    parameter_depth=1, tables=0, bus_bits=16, outstanding=1, queue_depth=1,
)  # fmt: skip


class Net:
    """A network that grows operator by operator, with random weights and scales."""

    def __init__(self, *shape: int, seed: int = 0, zero: int | None = None, bits: int = 31) -> None:
        self.rng, self.bits = np.random.default_rng(seed), bits
        self.parts = Parts()
        self.nodes = self.parts.nodes
        point = int(self.rng.integers(-128, 128)) if zero is None else zero
        self.parts.input("x", shape, Affine8(1.0, point))

    @property
    def maps(self) -> list[str]:
        """Names of all maps so far."""
        return [name for name, v in self.parts.values.items() if not v.role.is_constant]

    def value(self, name: str) -> Value:
        return self.parts.values[name]

    def _map(self, *shape: int) -> str:
        name = self.name
        self.parts.map(name, shape, Affine8(1.0, int(self.rng.integers(-128, 128))))
        return name

    def _put(self, op: Operator, label: str, inputs: Sequence[str], *shape: int) -> str:
        name = self._map(*shape)
        self.parts.add(name, op, inputs, name, label)
        return name

    def constant(self, place: int, which: int, data: np.ndarray) -> None:
        """Other weights (1) or biases (2) of a product."""
        value = self.value(self.nodes[place].inputs[which])
        self.parts.values[value.name] = replace(value, data=data.astype(value.array.dtype))

    @property
    def name(self) -> str:
        """A name for the next operator and its result."""
        return f"n{len(self.nodes)}"

    def scale(self, count: int, ratio: float, **fields: object) -> Scale:
        pairs = [fixed_point(ratio * self.rng.uniform(0.5, 2), self.bits) for _ in range(count)]
        return Scale(np.array([m for m, _ in pairs]), np.array([s for _, s in pairs]), **fields)

    def conv(
        self, source: str, count: int, window: Window = Window((1, 1)), groups: int = 1,
        residual: str = "", **scale: object,
    ) -> str:  # fmt: skip
        height, width, channels = self.value(source).shape
        name, depth = self.name, channels // groups
        weight = self.rng.integers(-127, 128, (*window.kernel, depth, count))
        ratio = 40 / (74 * 74 * (window.kernel[0] * window.kernel[1] * depth) ** 0.5)
        rescaling, second = self.scale(count, ratio, **scale), None
        if residual:
            multiplier = self.rng.integers(1, 1 << 20, count)
            rescaling = replace(rescaling, multiplier=multiplier, shift=np.full(1, 30))
            second = Residual(3 << 28)
        bias = self.rng.integers(-2000, 2000, count)
        self._map(*window.output(height, width), count)
        op = integer.Convolution(window, groups, rescaling, second)
        self.parts.product(name, op, source, weight, bias, name, "conv", residual or None)
        return name

    def transposed(self, source: str, count: int, window: Window, groups: int = 1) -> str:
        name, (*size, channels) = self.name, self.value(source).shape
        weight = self.rng.integers(-127, 128, (*window.kernel, channels, count // groups))
        taps = channels // groups * window.kernel[0] * window.kernel[1]
        scale = self.scale(count, 40 / (74 * 74 * taps**0.5))
        bias = self.rng.integers(-2000, 2000, count)
        op = integer.TransposedConvolution(window, groups, scale)
        self._map(*op.shape((*size, channels), weight.shape, bias.shape))
        self.parts.product(name, op, source, weight, bias, name, "up")
        return name

    def largest(self, source: str, window: Window) -> str:
        height, width, channels = self.value(source).shape
        size = window.output(height, width)
        return self._put(integer.MaxPool(window), "max", (source,), *size, channels)

    def mean(self, source: str, window: Window, *, include_padding: bool = False) -> str:
        height, width, channels = self.value(source).shape
        taps = window.kernel[0] * window.kernel[1]
        scales = {n: fixed_point(1.3 / n, self.bits) for n in range(1, taps + 1)}
        op = integer.AveragePool(window, include_padding, scales, 7)
        return self._put(op, "mean", (source,), *window.output(height, width), channels)

    def codes(self, source: str, *, scales: int = 0, **scale: object) -> str:
        shape = self.value(source).shape
        op = integer.Elementwise(self.scale(scales or shape[2], 1.0, **scale))
        return self._put(op, "codes", (source,), *shape)

    def add(self, first: str, second: str) -> str:
        factors = (1 << self.bits - 1, (1 << self.bits) - 5)
        op = integer.Add(factors, self.bits, 3)
        return self._put(op, "add", (first, second), *self.value(first).shape)

    def tflite_add(self, first: str, second: str, *, half: int = 0) -> str:
        scales = [(1 << 30, 31), fixed_point(0.3, 31)]
        if half:
            scales.reverse()
        op = integer.TfliteAdd((scales[0], scales[1]), fixed_point(1.1 / 2**19, 31), -6)
        return self._put(op, "add", (first, second), *self.value(first).shape)

    def multiply(self, first: str, second: str) -> str:
        op = integer.Multiply((1 << self.bits) - 77, self.bits + 6, -4)
        return self._put(op, "multiply", (first, second), *self.value(first).shape)

    def concat(self, *inputs: str) -> str:
        height, width, _ = self.value(inputs[0]).shape
        channels = sum(self.value(source).shape[2] for source in inputs)
        return self._put(integer.Concat(), "concat", inputs, height, width, channels)

    def graph(self, output: str = "", *, channels_first: bool = False) -> Graph:
        last = output or self.nodes[-1].output
        view = {"x": HostView.channels_first(self.value("x").shape)} if channels_first else {}
        return self.parts.graph("net", (last,), views=view)


def random_order(seed: int, instructions: Sequence[Instruction]) -> Iterator[Instruction]:
    """Instructions in an order that their units and semaphores allow, at random."""
    rng, counts, tiles = np.random.default_rng(seed), [0] * 16, 0
    queues = [[i for i in instructions if i.format.unit is unit][::-1] for unit in Unit]
    while any(queues):
        for number in rng.permutation(len(queues)):
            if not queues[number]:
                continue
            head = queues[number][-1]
            needed = tiles_needed(head) if head.op is Opcode.STREAM else 0
            if needed > tiles or not all(counts[k] for k in bits(head["wait"])):
                continue
            made = head["count0"] * head["count1"] if head.op is Opcode.WEIGHT else 0
            tiles += made - needed
            for k in bits(head["wait"]):
                counts[k] -= 1
            for k in bits(head["signal"]):
                counts[k] += 1
            yield queues[number].pop()
            break
        else:
            raise AssertionError("deadlock")


def assert_same(graph: Graph, program: Program, codes: np.ndarray, done: np.ndarray) -> None:
    """Every map in memory has the values of its definition."""
    wanted = run(graph, codes)
    seen = set()
    for tensor in program.tensors:
        if tensor.role in ("intermediate", "output") and tensor.name in wanted:
            computed = unpack(done, tensor, program.config)
            expected = wanted[tensor.name].reshape(tensor.rows, tensor.columns)
            np.testing.assert_array_equal(computed, expected, tensor.name)
            seen.add(tensor.name)
    assert graph.output.name in seen


def loaded(program: Program, codes: np.ndarray) -> Program:
    """The program with codes (samples, H, W, C) as its input."""
    (source,), memory = program.with_role("input"), program.memory.copy()
    images = source.view.to_host(codes) if source.view else codes
    matrix = to_matrix(images.reshape(host_shape(source)), source, source.name)
    data = pack(matrix, source, program.config)
    memory[source.address : source.address + data.size] = data
    return replace(program, memory=memory)


def compiled(graph: Graph, config: Config, batch: int = 1, seed: int = 1) -> Program:
    """A program with random inputs whose results are right."""
    codes = np.random.default_rng(seed).integers(-128, 128, (batch, *graph.input.shape))
    program = loaded(compiler.compile(graph, config, batch=batch), codes)
    assert_same(graph, program, codes, execute(program))
    assert simulate_timing(program).cycles > 0
    return program


def random_case(seed: int, config: Config, *, network: bool) -> None:
    rng = np.random.default_rng(seed)
    graph, program, codes = random_map_program(rng, config, network=network)
    assert_same(graph, program, codes, execute(program))
    assert simulate_timing(program).cycles > 0


def random_config(seed: int) -> Config:
    return map_config(np.random.default_rng((seed, 1)), MAP_DIMS[seed % len(MAP_DIMS)])


@pytest.mark.parametrize("network", [False, True], ids=["convolution", "network"])
@pytest.mark.parametrize("seed", range(100, 160))
def test_random_graphs(seed: int, network: bool) -> None:
    random_case(seed, random_config(seed), network=network)


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True], ids=["convolution", "network"])
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_many_random_graphs(seed: int, network: bool) -> None:
    random_case(seed, random_config(seed), network=network)


@pytest.mark.parametrize("network", [False, True], ids=["convolution", "network"])
@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_random_graphs_on_presets(preset: str, network: bool) -> None:
    for seed in range(6):
        random_case(seed, PRESETS[preset], network=network)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_the_units_gives_the_same(seed: int) -> None:
    rng = np.random.default_rng((seed, 2))
    graph, program, codes = random_map_program(rng, random_config(seed), network=True)
    for other in range(3):
        instructions = list(random_order(other, program.instructions))
        assert_same(graph, program, codes, values(program.config, instructions, program.memory))


SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


@pytest.mark.parametrize("include_padding", [False, True])
@pytest.mark.parametrize("window", [
    Window((9, 7)), Window((8, 6), (1, 1), (2, 3, 1, 0)), Window((3, 3), (2, 1), dilation=(4, 3)),
])  # fmt: skip
def test_means_of_more_than_a_bank_holds(window: Window, include_padding: bool) -> None:
    net = Net(9, 7, 5)
    net.mean("x", window, include_padding=include_padding)
    compiled(net.graph(), SMALLEST, 2)


@pytest.mark.parametrize(("shape", "window"), [
    ((140, 2), Window((3, 1), (1, 1), (130, 0, 130, 0), (130, 1))),
    ((1, 140), Window((1, 3), (1, 1), (0, 130, 0, 130), (1, 130))),
    ((1, 5), Window((3, 5), (1, 2), (1, 2, 1, 3))),
    ((6, 5), Window((5, 3), (1, 1), (2048, 300, 2048, 300), (1024, 300))),
    ((8, 3000), Window((8, 1), (8, 1))),
])  # fmt: skip
def test_taps_far_apart(shape: tuple[int, int], window: Window) -> None:
    """Some see padding alone; of the others words step by more than a window's fields hold."""
    net = Net(*shape, 3)
    net.conv("x", 5, window)
    compiled(net.graph(), PRESETS["tiny"], 1)


@pytest.mark.parametrize("channels", [5, 16])
def test_more_constants_than_the_parameter_bank_holds(channels: int) -> None:
    net = Net(1, 1, channels)
    net.codes("x")
    compiled(net.graph(), replace(SMALLEST, scratchpad_depth=64, accumulator_depth=64), 2)


def chain(config: Config, rng: np.random.Generator) -> Graph:
    """Operators that keep rows and columns, so that any two maps may stand side by side."""
    dim = config.dim
    height, width = (int(n) for n in rng.integers(3, 8, 2))
    net = Net(height, width, int(rng.choice((dim, 2 * dim, dim - 1))), seed=int(rng.integers(99)))
    operators: list[Callable[[str, str], str]] = [
        lambda a, _: net.conv(a, int(rng.choice((dim, 2 * dim, dim + 1)))),
        lambda a, _: net.conv(a, dim, SAME),
        lambda a, _: net.conv(a, net.value(a).shape[2], SAME, net.value(a).shape[2]),
        lambda a, b: net.conv(a, net.value(a).shape[2], residual=b),
        lambda a, _: net.mean(a, SAME, include_padding=bool(rng.integers(2))),
        lambda a, _: net.codes(a),
        lambda a, b: net.add(a, b),
        lambda a, b: net.tflite_add(a, b, half=int(rng.integers(2))),
        lambda a, b: net.multiply(a, b),
    ]
    for _ in range(int(rng.integers(3, 9))):
        names = net.maps
        source = str(rng.choice(names[-4:]))
        alike = [name for name in names if net.value(name).shape == net.value(source).shape]
        side = [str(name) for name in rng.choice(names, int(rng.integers(2, 4)))]
        if rng.random() < 0.3 and sum(net.value(name).shape[2] for name in side) <= 8 * dim:
            net.concat(*side)
        else:
            operators[int(rng.integers(len(operators)))](source, str(rng.choice(alike)))
    return without_dead(net.graph())


@pytest.mark.parametrize("seed", range(40))
def test_maps_side_by_side(seed: int) -> None:
    rng = np.random.default_rng((seed, 3))
    name = ("tiny", "small")[seed % 2]
    program = compiled(chain(PRESETS[name], rng), PRESETS[name], int(rng.integers(1, 3)))
    assert program.batch in (1, 2)


def instructions(program: Program, op: Opcode) -> list[Instruction]:
    return [instruction for instruction in program.instructions if instruction.op is op]


def tiles(program: Program) -> int:
    """Tiles of weights that the program brings to the array."""
    return sum(i["count0"] * i["count1"] for i in instructions(program, Opcode.WEIGHT))


def output_tiles(program: Program) -> int:
    """Output tiles of a single convolution: the tiles that VECTOR finishes."""
    return len(instructions(program, Opcode.VECTOR))


@pytest.mark.parametrize("zero", [-128, -3, 0, 127])
def test_padding_is_the_zero_point(zero: int) -> None:
    net = Net(5, 6, 8, zero=zero)
    net.conv("x", 7, Window((3, 3), (2, 1), (2, 1, 0, 2)))
    program = compiled(net.graph(), PRESETS["tiny"])
    padded = [
        i for i in instructions(program, Opcode.STREAM) if i["flags"] & StreamFlag.WINDOW_READ
    ]
    assert padded
    assert {i["pad"] for i in padded} == {zero}


def test_padding_alone_gives_the_bias() -> None:
    net = Net(1, 1, 4, zero=55)
    net.conv("x", 4, Window((1, 1), (1, 1), (2, 2, 2, 2)))
    graph = net.graph()
    compiled(graph, PRESETS["tiny"])
    zeros = run(graph, np.full((1, 1, 1, 4), 55))
    other = run(graph, np.full((1, 1, 1, 4), -55))
    outer = np.ones((5, 5), bool)
    outer[2, 2] = False
    assert np.array_equal(zeros["n0"][0, outer], other["n0"][0, outer])


def test_rows_wider_than_an_accumulator_bank() -> None:
    config = replace(PRESETS["tiny"], accumulator_depth=16)
    net = Net(4, 45, 5)
    net.conv("x", 6, SAME)
    net.mean(net.largest("n0", SAME), SAME)
    compiled(net.graph(), config)


def test_depth_in_slices() -> None:
    config = replace(PRESETS["tiny"], scratchpad_depth=48)
    net = Net(4, 4, 120)
    net.conv("x", 10, SAME)
    program = compiled(net.graph(), config)
    streams = instructions(program, Opcode.STREAM)
    assert len(streams) > output_tiles(program)
    added = [i for i in streams if i["flags"] & StreamFlag.ACCUMULATE]
    assert 0 < len(added) < len(streams)


def test_kernel_rows_in_slices() -> None:
    config = replace(PRESETS["tiny"], scratchpad_depth=90)
    net = Net(9, 9, 4)
    net.codes("x")
    net.conv("n0", 4, Window((7, 7)))
    program = compiled(net.graph(), config)
    assert max(i["count0"] for i in instructions(program, Opcode.WEIGHT)) < 49


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((3, 28, 6), Window((3, 28))),
        ((1, 90, 3), Window((1, 90))),
        ((1, 90, 6), Window((1, 31), (2, 2), (0, 9, 0, 12), (1, 2))),
        ((1, 90, 6), Window((1, 25), padding=(0, 12, 0, 12))),
    ],
)
@pytest.mark.parametrize("depth", [90, 2048])
def test_kernel_whose_row_fits_no_bank(
    shape: tuple[int, int, int], window: Window, depth: int
) -> None:
    net = Net(*shape)
    net.codes("x")
    name = net.conv("n0", 6, window)
    if net.value(name).shape == shape:
        net.add(net.conv(name, 6, Window((1, 1)), residual="n0"), "n0")
        net.add(net.conv(name, 6, window), "n0")
    compiled(net.graph(), replace(PRESETS["tiny"], scratchpad_depth=depth), 2)


def residual_block(channels: int) -> Graph:
    net = Net(6, 6, channels)
    first = net.conv("x", channels, SAME)
    second = net.conv(first, channels, SAME)
    last = net.tflite_add(net.conv(second, channels, SAME), first)
    net.mean(net.largest(last, Window((2, 2), (2, 2))), Window((3, 3)))
    return net.graph()


def test_maps_stay_on_chip_or_go_to_memory() -> None:
    graph = residual_block(16)
    inside = compiled(graph, PRESETS["small"])
    assert len(inside.notes["resident"]) >= 4
    assert not inside.with_role("intermediate")
    outside = compiled(graph, replace(PRESETS["small"], scratchpad_depth=64))
    assert set(outside.notes["resident"]) < set(inside.notes["resident"])
    assert len(outside.with_role("intermediate")) >= 3
    codes = np.zeros((1, *graph.input.shape), np.int64)
    results = []
    for program in (inside, outside):
        (output,) = program.with_role("output")
        results.append(unpack(execute(loaded(program, codes)), output, program.config))
    assert np.array_equal(*results)


@pytest.mark.parametrize("batch", [2, 3, 7])
@pytest.mark.parametrize("depth", [64, 1024])
def test_batches(batch: int, depth: int) -> None:
    config = replace(PRESETS["small"], scratchpad_depth=depth)
    program = compiled(residual_block(9), config, batch)
    (output,) = program.with_role("output")
    assert (program.batch, output.rows) == (batch, batch)


def test_aligned_concatenation_costs_nothing() -> None:
    net = Net(5, 5, 8)
    net.concat(net.conv("x", 8), net.conv("x", 16, SAME), net.conv("x", 3))
    program = compiled(net.graph(), PRESETS["small"])
    assert {layer.kind for layer in program.layers} == {"conv"}
    assert program.with_role("output")[0].columns == 27


@pytest.mark.parametrize("depth", [64, 1024])
def test_concatenation_that_moves_lanes(depth: int) -> None:
    net = Net(5, 5, 8)
    joined = net.concat(net.conv("x", 3), net.conv("x", 8), net.conv("x", 6))
    net.conv(joined, 5)
    program = compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))
    assert [layer.kind for layer in program.layers].count("concat") == 1


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("first", [8, 5])
def test_nested_concatenations(first: int, depth: int) -> None:
    net = Net(4, 5, 8)
    inner = net.concat(net.conv("x", first), net.conv("x", 8, SAME))
    outer = net.concat(inner, net.conv(inner, 16, SAME))
    net.conv(net.concat(outer, net.conv("x", 2)), 7)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("inputs", ["aa", "xa", "axx", "aba"])
def test_concatenation_of_the_same_map_and_of_the_input(inputs: str, depth: int) -> None:
    net = Net(4, 4, 8)
    names = {"x": "x", "a": net.conv("x", 8), "b": net.conv("x", 8)}
    joined = net.concat(*(names[name] for name in inputs))
    net.conv(joined, 8)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
def test_map_in_two_concatenations(depth: int) -> None:
    net = Net(4, 4, 8)
    shared = net.conv("x", 8)
    one = net.conv(net.concat(net.conv("x", 8), shared), 8)
    two = net.conv(net.concat(shared, net.conv("x", 8)), 8)
    net.add(one, two)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
def test_maximum_of_a_map_beside_it(depth: int) -> None:
    net = Net(6, 6, 8)
    first = net.conv("x", 16)
    net.conv(net.concat(first, net.largest(first, SAME)), 8)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
def test_maximum_of_a_map_in_the_bank_of_its_result(depth: int) -> None:
    net = Net(6, 6, 8)
    early = net.conv("x", 8)
    late = net.conv(net.conv(early, 8), 8)
    net.conv(net.concat(late, net.largest(early, SAME)), 8)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
def test_result_that_is_read_again(depth: int) -> None:
    net = Net(6, 6, 8)
    first = net.conv("x", 16)
    net.conv(first, 8)
    compiled(net.graph(first), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("kind", ["multiply", "add", "tflite_add"])
def test_a_map_with_itself(kind: str, depth: int) -> None:
    net = Net(6, 6, 13)
    first = net.conv("x", 13)
    getattr(net, kind)(first, first)
    net.conv("n1", 5)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("order", [0, 1])
def test_tensorflow_addition_joins_a_convolution(order: int, half: int, depth: int) -> None:
    net = Net(6, 6, 13)
    skip, last = net.codes("x"), net.conv("x", 13, SAME)
    net.tflite_add(*((skip, last), (last, skip))[order], half=half)
    program = compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))
    assert [layer.kind for layer in program.layers] == ["codes", "conv+add"]


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("half", [0, 1])
def test_tensorflow_addition_alone(half: int, depth: int) -> None:
    net = Net(6, 6, 13)
    first = net.largest("x", SAME)
    net.tflite_add(net.mean(first, SAME), first, half=half)
    program = compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))
    assert [layer.kind for layer in program.layers] == ["max", "mean", "add"]


def test_addition_of_a_map_that_others_read_stays_alone() -> None:
    net = Net(6, 6, 8)
    last = net.conv("x", 8)
    net.multiply(net.add("x", last), last)
    program = compiled(net.graph(), PRESETS["small"])
    assert [layer.kind for layer in program.layers] == ["conv", "add", "multiply"]


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise(multiplier: int, depth: int) -> None:
    net = Net(7, 6, 19)
    net.conv("x", 19, SAME, 19)
    net.conv("n0", 19 * multiplier, Window((3, 2), (2, 1)), 19)
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth))


def test_depthwise_streams_diagonal_tiles_only() -> None:
    net = Net(6, 6, 40)
    net.codes("x")
    net.conv("n0", 40, SAME, 40)
    program = compiled(net.graph(), PRESETS["small"])
    streamed = 0
    for stream in instructions(program, Opcode.STREAM):
        words = 1
        for level in range(5):
            words *= stream[f"count{level}"]
        streamed += words
    assert streamed == 36 * 9 * 5


@pytest.mark.parametrize("depth", [64, 1024])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(
    "window",
    [
        Window((2, 2), (2, 2)),
        Window((3, 4), (2, 1), (1, 1, 0, 2)),
        Window((2, 3), (3, 2), (0, 0, 1, 0), (1, 2)),
    ],
    ids=str,
)
def test_transposed_convolution(window: Window, groups: int, depth: int) -> None:
    net = Net(4, 5, 9)
    net.conv("x", 9)
    net.mean(net.transposed("n0", 12, window, groups), Window((2, 2)))
    compiled(net.graph(), replace(PRESETS["small"], scratchpad_depth=depth), 2)


@pytest.mark.parametrize("batch", [1, 2, 4, 5])
@pytest.mark.parametrize("size", [(3, 3), (2, 9)])
@pytest.mark.parametrize("count", [5, 32])
def test_transposed_convolution_of_any_batch(batch: int, size: tuple[int, int], count: int) -> None:
    net = Net(*size, 32)
    net.transposed("x", count, Window((3, 3), (2, 2), (1, 1, 1, 1)))
    for config in (PRESETS["small"], PRESETS["base"]):
        compiled(net.graph(), config, batch)


@pytest.mark.parametrize("shape", [(25, 25, 9), (1, 90, 3), (64, 2, 17)])
def test_mean_of_a_whole_map(shape: tuple[int, int, int]) -> None:
    net = Net(*shape)
    net.mean("x", Window(shape[:2]))
    compiled(net.graph(), PRESETS["small"], 2)


@pytest.mark.parametrize("include_padding", [False, True])
def test_mean_at_the_border(include_padding: bool) -> None:
    net = Net(7, 8, 9)
    net.mean("x", Window((3, 4), (2, 1), (2, 1, 1, 3)), include_padding=include_padding)
    compiled(net.graph(), PRESETS["small"], 2)


@pytest.mark.parametrize(
    ("shape", "window", "passes"),
    [
        ((12, 12, 1), Window((5, 5)), 2),
        ((12, 12, 3), Window((7, 7), (2, 2), (3, 3, 3, 3)), 10),
        ((9, 9, 3), Window((3, 3), (1, 1), (1, 1, 1, 1)), 2),
        ((11, 9, 2), Window((3, 2), (2, 1), (0, 1, 2, 0), (2, 3)), 1),
    ],
)
@pytest.mark.parametrize("channels_first", [False, True])
def test_input_of_few_channels_is_packed(
    shape: tuple[int, int, int], window: Window, passes: int, channels_first: bool
) -> None:
    net = Net(*shape)
    net.conv("x", 16, window)
    graph = net.graph(channels_first=channels_first)
    program = compiled(graph, PRESETS["base"], 2)
    assert tiles(program) == passes * output_tiles(program)
    (source,) = program.with_role("input")
    assert source.columns == window.kernel[0] * window.kernel[1] * shape[2]
    assert source.rows == 2 * prod(graph.values["n0"].shape[:2])


@pytest.mark.parametrize("again", [False, True])
def test_input_is_packed_for_its_only_reader(again: bool) -> None:
    net = Net(8, 8, 1)
    first = net.conv("x", 1, Window((3, 3), (1, 1), (1, 1, 1, 1)))
    if again:
        net.add(first, "x")
    program = compiled(net.graph(), PRESETS["small"])
    assert bool(program.with_role("input")[0].window) is not again


def test_input_of_many_channels_is_not_packed() -> None:
    net = Net(8, 8, 8)
    net.conv("x", 4, SAME)
    program = compiled(net.graph(), PRESETS["small"])
    assert not program.with_role("input")[0].window
    assert tiles(program) == 9 * output_tiles(program)


def test_tables_of_convolutions_and_codes() -> None:
    net = Net(5, 5, 9)
    rng = np.random.default_rng(5)
    for _ in range(3):
        last = net.conv(net.maps[-1], 9, table=rng.integers(-128, 128, 256))
        net.codes(last, table=rng.integers(-128, 128, 256), low=-50, high=60)
    compiled(net.graph(), PRESETS["small"])


def test_function_is_looked_up_as_its_codes_are_made() -> None:
    table = np.random.default_rng(7).permutation(256) - 128
    net = Net(5, 5, 9)
    first = net.conv("x", 9)
    last = net.codes(net.codes(first, scales=1, low=-50), scales=1, table=table)
    net.codes(net.conv(net.add(last, first), 4, SAME), scales=1, table=table)
    kinds = [layer.kind for layer in compiled(net.graph(), PRESETS["small"]).layers]
    assert kinds == ["conv", "codes+codes", "add", "conv+codes"]


def test_codes_are_scaled_by_themselves_without_tables_or_by_channel() -> None:
    net = Net(5, 5, 9)
    net.codes(net.codes(net.conv("x", 9), scales=1), low=-50)
    kinds = [layer.kind for layer in compiled(net.graph(), PRESETS["small"]).layers]
    assert kinds == ["conv+codes", "codes"]
    kinds = [p.kind for p in compiled(net.graph(), replace(PRESETS["small"], tables=0)).layers]
    assert kinds == ["conv", "codes", "codes"]


def test_channels_times_one_number_need_one_tile() -> None:
    net = Net(6, 9, 40, zero=11)
    for window in (Window((6, 9)), Window((3, 2), (2, 1), (1, 0, 2, 1))):
        net.conv("x", 40, window, 40)
        net.constant(-1, 1, np.full((*window.kernel, 1, 40), 3))
        program = compiled(net.graph(), PRESETS["small"], 2)
        tiles = [w["count0"] * w["count1"] for w in instructions(program, Opcode.WEIGHT)]
        assert sum(tiles) < window.kernel[0] * window.kernel[1]


@pytest.mark.parametrize("kind", ["conv", "mean"])
def test_bank_that_holds_no_tile_of_weights(kind: str) -> None:
    net = Net(3, 3, 20)
    if kind == "conv":
        net.conv("x", 20)
    else:
        net.mean("x", Window((2, 2)))
    config = Config(dim=20, bus_bits=128, scratchpad_banks=4, scratchpad_depth=16)
    with pytest.raises(InputError, match=r"^n0: "):
        compiler.compile(net.graph(), config)


def test_smallest_machine() -> None:
    net = Net(5, 5, 3)
    net.add(net.conv("x", 3, SAME), net.largest("x", SAME))
    net.mean(net.concat("n2", "n1"), Window((3, 2)))
    compiled(net.graph(), SMALLEST, 2)


def test_layers_are_the_instructions_in_order() -> None:
    program = compiled(residual_block(16), PRESETS["small"])
    ends = [(layer.first, layer.last) for layer in program.layers]
    assert ends[0][0] == 0
    assert ends[-1][1] <= len(program.instructions)
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    first = program.layers[0]
    assert first.macs == 36 * 9 * 16 * 16


@pytest.mark.parametrize("batch", [1, 2])
def test_layer_by_layer_is_the_whole(batch: int) -> None:
    net = Net(6, 6, 9)
    first = net.conv("x", 16, SAME)
    joined = net.concat(net.conv(first, 8), net.largest(first, SAME))
    net.mean(net.tflite_add(net.conv(joined, 16), first), Window((2, 2), (2, 2)))
    graph = net.graph()
    programs = compile_layers(graph, PRESETS["small"], batch=batch)
    assert [p.layers[0].kind for p in programs] == ["conv", "conv", "max", "conv+add", "mean"]
    codes = np.random.default_rng(3).integers(-128, 128, (batch, *graph.input.shape))
    memory = loaded(programs[0], codes).memory
    for program in programs:
        memory = execute(program, memory)
    assert_same(graph, programs[-1], codes, memory)


def test_sums_that_may_overflow() -> None:
    config = replace(PRESETS["small"], acc_bits=24)
    net = Net(3, 3, 64)
    net.conv("x", 2, Window((3, 3)))
    net.constant(0, 1, np.full((3, 3, 64, 2), 127))
    worst = 127 * 128 * 9 * 64
    assert worst > 1 << 23
    with pytest.raises(InputError, match=r"^n0: sums may reach \d+, which acc_bits = 24"):
        compiler.compile(net.graph(), config)
    compiled(net.graph(), PRESETS["small"])


def test_bias_alone_that_overflows() -> None:
    net = Net(3, 3, 2)
    net.conv("x", 2)
    net.constant(0, 2, np.array([0, -(1 << 24)]))
    with pytest.raises(InputError, match="acc_bits = 24"):
        compiler.compile(net.graph(), replace(PRESETS["small"], acc_bits=24))


def test_machine_of_16_bits() -> None:
    with pytest.raises(InputError, match="needs operand_bits = 8, not 16"):
        compiler.compile(residual_block(4), PRESETS["train"])


@pytest.mark.parametrize("batch", [0, -1])
def test_batch_of_nothing(batch: int) -> None:
    with pytest.raises(InputError, match=f"batch: must be at least 1, not {batch}"):
        compiler.compile(residual_block(4), PRESETS["small"], batch=batch)


@pytest.mark.parametrize(
    "operator",
    [
        lambda net: net.conv("x", 8),
        lambda net: net.conv("x", 8, residual="x"),
        lambda net: net.codes("x"),
        lambda net: net.mean("x", Window((2, 2))),
        lambda net: net.add("x", "x"),
        lambda net: net.tflite_add("x", "x"),
        lambda net: net.multiply("x", "x"),
    ],
    ids=["conv", "residual", "codes", "mean", "add", "tflite add", "multiply"],
)
def test_multipliers_wider_than_the_machine(operator: Callable[[Net], str]) -> None:
    net = Net(4, 4, 8)
    operator(net)
    compiled(net.graph(), PRESETS["small"])
    with pytest.raises(InputError, match=r"^n0: .*scale_bits = 24"):
        compiler.compile(net.graph(), replace(PRESETS["small"], scale_bits=24))


@pytest.mark.parametrize("kind", ["conv", "codes"])
def test_function_without_tables(kind: str) -> None:
    net, table = Net(4, 4, 8), np.arange(-128, 128)
    if kind == "conv":
        net.conv("x", 8, table=table)
    else:
        net.codes("x", table=table)
    with pytest.raises(InputError, match=r"^n0: .* needs a table, config has tables = 0"):
        compiler.compile(net.graph(), replace(PRESETS["small"], tables=0))


def test_additions_of_tensorflow_need_wide_sums() -> None:
    net = Net(4, 4, 8)
    net.tflite_add("x", "x")
    compiled(net.graph(), replace(PRESETS["small"], acc_bits=29))
    with pytest.raises(InputError, match=r"^n0: .*acc_bits >= 29, not 28"):
        compiler.compile(net.graph(), replace(PRESETS["small"], acc_bits=28))


def test_product_without_a_multiplier() -> None:
    net = Net(4, 4, 8)
    net.multiply("x", "x")
    with pytest.raises(InputError, match=r"^n0: .*vector_multiply"):
        compiler.compile(net.graph(), replace(PRESETS["small"], vector_multiply=False))


@pytest.mark.parametrize("kind", ["conv", "largest"])
def test_window_that_does_not_fit_a_bank(kind: str) -> None:
    net, window = Net(9, 9, 2), Window((9, 9))
    if kind == "conv":
        net.conv(net.codes("x"), 2, window)
    else:
        getattr(net, kind)(net.codes("x"), window)
    with pytest.raises(InputError, match=r"^n1: .*\(9, 9\)"):
        compiler.compile(net.graph(), SMALLEST)


def fine(scale: Scale, count: int, rng: np.random.Generator, bits: int = 20) -> Scale:
    """The same scale by way of bits below a code, with offsets."""
    offset = rng.integers(-(20 << bits), 20 << bits, count)
    return replace(scale, shift=scale.shift - bits, fine=bits, offset=offset)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["conv", "residual", "transposed", "table"])
def test_sums_with_bits_below_a_code(kind: str, batch: int) -> None:
    net = Net(5, 4, 6, seed=3)
    if kind == "transposed":
        net.transposed("x", 7, Window((3, 3), (2, 2)))
    elif kind == "residual":
        net.conv("x", 6, SAME, residual=net.conv("x", 6))
    else:
        table = net.rng.integers(-128, 128, 256) if kind == "table" else None
        net.conv("x", 7, SAME, table=table)
    node = net.nodes[-1]
    assert isinstance(node.op, integer.Convolution | integer.TransposedConvolution)
    assert node.op.scale is not None
    count = 6 if kind == "residual" else 7
    made = replace(node.op, scale=fine(node.op.scale, count, net.rng))
    if isinstance(made, integer.Convolution) and made.residual:
        made = replace(made, residual=replace(made.residual, factor=3 << 26, shift=28))
    net.nodes[-1] = replace(node, op=made)
    for preset in ("tiny", "small", "base"):
        compiled(net.graph(), PRESETS[preset], batch)
    plain = run(replace(net.graph(), nodes=[*net.nodes[:-1], node]), np.zeros((1, 5, 4, 6), int))
    assert (plain[node.output] != run(net.graph(), np.zeros((1, 5, 4, 6), int))[node.output]).any()
    with pytest.raises(InputError, match="bits below a code need acc_bits = 32, not 28"):
        compiler.compile(net.graph(), replace(PRESETS["small"], acc_bits=28))


def test_bias_and_sums_share_33_bits() -> None:
    net = Net(3, 3, 2, zero=0)
    net.conv("x", 2)
    node = net.nodes[0]
    assert isinstance(node.op, integer.Convolution)
    assert node.op.scale is not None
    bias = np.array([(1 << 31) - 1, -(1 << 31) + 1])
    scale = replace(
        node.op.scale, multiplier=np.array([(1 << 31) - 1] * 2), shift=np.array([56, 56])
    )
    net.constant(0, 2, bias)
    net.nodes[0] = replace(node, op=replace(node.op, scale=scale))
    compiled(net.graph(), PRESETS["small"], 2)


@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 1, 9), (4, 4, 3)])
def test_maxima_of_padding_alone(shape: tuple[int, int, int]) -> None:
    net = Net(*shape)
    window = (
        Window((2, 2), (1, 1), (1, 1, 1, 1), (2, 2))
        if shape[1] == 1
        else Window((2, 2), (3, 3), (2, 2, 0, 0), (4, 4))
    )
    net.largest("x", window)
    net.nodes[0] = replace(net.nodes[0], op=integer.MaxPool(window, -50, 90))
    graph = net.graph()
    codes = np.full((1, *shape), -100)
    assert (run(graph, codes)["n0"] == -50).all()
    compiled(graph, PRESETS["small"], 2)
