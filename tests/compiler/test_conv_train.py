"""Training of networks of feature maps: programs on the model equal the integer interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats, network_input
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.training import train
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.rules import make_room
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import EXPONENTS, Config, load_config
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import unpack
from pulsarray.sim.device import Device
from pulsarray.sim.random.convolution_training import (
    DIMS,
    ConvolutionSetup,
    convolution_config,
    convolution_step,
)
from pulsarray.trainer.learner import Learner
from tests.compiler.training_cases import beyond_roundings

SMALL = load_config("train-small", ["dim=4", "bus_bits=64", "tables=8"])
WIDE = load_config("train-small", ["tables=8"])
Ints = npt.NDArray[np.int64]
_RANDOM = np.random.default_rng(5)


def seeded(make: Callable[[], Graph]) -> Callable[[], Graph]:
    """The same random weights each time."""

    @wraps(make)
    def again() -> Graph:
        _RANDOM.bit_generator.state = np.random.default_rng(5).bit_generator.state
        return make()

    return again


def normal(*shape: int) -> Floats:
    return _RANDOM.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)


def norm(builder: Builder, channels: int) -> Builder:
    scale, shift = _RANDOM.uniform(0.5, 1.5, channels), _RANDOM.normal(0, 0.1, channels)
    return builder.batch_norm(scale, shift, np.zeros(channels), np.ones(channels))


@seeded
def chain() -> Graph:
    builder = Builder("chain", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1).relu()
    builder.max_pool(2).convolution(normal(2, 3, 5, 9), padding=(1, 0)).relu().flatten()
    return builder.dense(normal(90, 7)).relu().dense(normal(7, 10)).softmax().build()


@seeded
def pooled_twice() -> Graph:
    builder = Builder("pooled", (12, 13, 2)).convolution(normal(3, 3, 2, 6)).sigmoid()
    builder.max_pool((2, 3)).convolution(normal(1, 1, 6, 5)).max_pool(2)
    return builder.flatten().dense(normal(10, 10)).softmax().build()


@seeded
def residual() -> Graph:
    builder = Builder("residual", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1)
    builder.relu("a").convolution(normal(3, 3, 5, 5), padding=1).relu()
    builder.convolution(normal(3, 3, 5, 5), padding=1).add("a").relu("b")
    builder.convolution(normal(1, 1, 5, 9), stride=2, name="short", source="b")
    builder.convolution(normal(3, 3, 5, 9), stride=2, padding=1, source="b").relu()
    builder.convolution(normal(3, 3, 9, 9), padding=1).add("short").relu()
    return builder.flatten().dense(normal(180, 10)).softmax().build()


@seeded
def normalized() -> Graph:
    builder = Builder("normalized", (7, 6, 3)).convolution(normal(3, 3, 3, 5), padding=1)
    norm(builder, 5).relu("a").convolution(normal(3, 3, 5, 5), padding=1)
    norm(builder, 5).add("a").relu().max_pool(2).convolution(normal(2, 2, 5, 19))
    return norm(builder, 19).flatten().dense(normal(76, 10)).softmax().build()


@seeded
def averaged() -> Graph:
    builder = Builder("averaged", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1).relu("a")
    builder.average_pool(2, name="p")
    builder.convolution(normal(3, 3, 5, 5), stride=2, padding=(0, 0, 0, 1), source="a")
    builder.add("p").relu().global_average_pool().flatten()
    return builder.dense(normal(5, 10)).softmax().build()


@seeded
def dropped() -> Graph:
    builder = Builder("dropped", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1).relu()
    builder.max_pool(2).dropout(0.25).convolution(normal(2, 3, 5, 9)).relu().dropout(0.5)
    return builder.flatten().dense(normal(54, 10)).softmax().build()


@seeded
def overlapping() -> Graph:
    builder = Builder("overlapping", (11, 9, 3)).convolution(normal(3, 3, 3, 5), padding=1).relu()
    builder.max_pool(3, stride=2, padding=1).convolution(normal(2, 2, 5, 9)).sigmoid()
    builder.max_pool((2, 3), stride=(1, 2), padding=(0, 0, 1, 2)).flatten()
    return builder.dense(normal(90, 10)).softmax().build()


@seeded
def pooled_first() -> Graph:
    builder = Builder("first", (9, 8, 3)).max_pool(2).convolution(normal(3, 3, 3, 5)).relu()
    return builder.flatten().dense(normal(20, 10)).softmax().build()


@seeded
def dropped_first() -> Graph:
    builder = Builder("drop", (6, 5, 3)).dropout(0.5).average_pool(2)
    return builder.flatten().dense(normal(18, 10)).softmax().build()


@seeded
def pooled_in_a_row() -> Graph:
    builder = Builder("row", (16, 15, 2)).convolution(normal(3, 3, 2, 9), padding=1).relu()
    builder.max_pool(2).max_pool(2).convolution(normal(1, 1, 9, 12)).max_pool(2, stride=1)
    builder.max_pool(2, stride=1).dropout(0.5).flatten()
    return builder.dense(normal(24, 10)).softmax().build()


@seeded
def pooled_into_a_sum() -> Graph:
    builder = (
        Builder("sum", (6, 6, 2)).convolution(normal(3, 3, 2, 4), padding=1).max_pool(2, name="p")
    )
    builder.convolution(normal(3, 3, 2, 4), stride=2, padding=1, source="input").add("p").relu()
    return builder.flatten().dense(normal(36, 10)).softmax().build()


@seeded
def with_its_input() -> Graph:
    builder = Builder("input", (6, 6, 4)).convolution(normal(3, 3, 4, 4), padding=1).add("input")
    return builder.relu().max_pool(2).flatten().dense(normal(36, 10)).softmax().build()


@seeded
def flat_first() -> Graph:
    builder = Builder("flat", (1, 6, 4)).flatten().dropout(0.25).dense(normal(24, 9)).relu()
    return builder.dense(normal(9, 10)).softmax().build()


@seeded
def activated() -> Graph:
    """Functions by themselves: after a normalization, a sum, pooling, for two readers."""
    builder = Builder("activated", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1)
    norm(builder, 5).silu("a").convolution(normal(3, 3, 5, 5), padding=1).tanh()
    builder.add("a").silu().max_pool(2).convolution(normal(1, 1, 5, 9)).max_pool(2).tanh()
    return builder.flatten().dense(normal(36, 10)).softmax().build()


@seeded
def gated() -> Graph:
    """Right after layers, before overlapping windows, dropout and averages."""
    builder = Builder("gated", (9, 8, 3)).convolution(normal(3, 3, 3, 5), padding=1).gelu()
    builder.max_pool(3, stride=2).convolution(normal(2, 2, 5, 12)).gelu().dropout(0.25)
    builder.global_average_pool().gelu().flatten()
    return builder.dense(normal(12, 9)).gelu().dense(normal(9, 10)).softmax().build()


@seeded
def functions_of_the_input() -> Graph:
    builder = Builder("input", (6, 5, 3)).tanh("a").convolution(normal(3, 3, 3, 3), padding=1)
    builder.add("a").relu().relu().max_pool(2).sigmoid().flatten()
    return builder.dense(normal(18, 10)).softmax().build()


GRAPHS = (
    *(activated, gated, functions_of_the_input),
    *(chain, pooled_twice, residual, normalized, averaged, dropped, overlapping),
    *(pooled_first, dropped_first, pooled_in_a_row, pooled_into_a_sum, with_its_input, flat_first),
)
DROPPING = (gated, dropped, dropped_first, pooled_in_a_row, flat_first)


def samples(graph: Graph, count: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(1)
    return random.normal(0, 1, (count, graph.input.size)), np.eye(10)[random.integers(0, 10, count)]


def trained(graph: Graph, **optimizer: float) -> TrainingNetwork:
    return differentiate(graph, Loss("cross-entropy"), Optimizer(**optimizer))


def unequal(expected: TrainState, got: TrainState) -> list[str]:
    names = [n for n, values in expected.values.items() if (values != got.values[n]).any()]
    names += [n for n, e in expected.exponents.items() if got.exponents[n] != e]
    return names + [n for n, c in expected.counts.items() if got.counts[n] != c]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["D4", "D8"])
@pytest.mark.parametrize("optimizer", [{}, {"momentum": 0.9, "weight_decay": 0.01}], ids=["", "m"])
def test_steps_equal_the_interpreter(
    graph: Callable[[], Graph], config: Config, optimizer: dict[str, float]
) -> None:
    network = trained(graph(), **optimizer)
    training = compile_training(network, config, batch=4)
    interpreter = TrainInterpreter(network, config.table_segments)
    x, t = samples(network.graph, 4)
    state = interpreter.initial(x, t, learning_rate=0.1, batch=4)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    expected = state.copy()
    with Device("model", timing=False) as device:
        learner = Learner(training, device, interpreter, state)
        for _ in range(3):
            outputs = interpreter.outputs(expected, codes[0])
            assert (learner.outputs(x) == outputs).all()
            got = learner.step(x, t).outputs
            assert graph in DROPPING or (got == outputs).all()
            interpreter.step(expected, [codes])
            assert not unequal(expected, learner.state)


@seeded
def deep() -> Graph:
    """Eleven normalized convolutions: more than twice as many exponents as registers."""
    builder, channels = Builder("deep", (5, 4, 3)), 3
    for _ in range(11):
        builder.convolution(normal(3, 3, channels, 5), padding=1)
        norm(builder, 5).relu()
        channels = 5
    return builder.flatten().dense(normal(100, 10)).softmax().build()


@seeded
def many_layers() -> Graph:
    builder = Builder("layers", 6)
    for _ in range(16):
        builder.dense(normal(6, 6)).tanh()
    return builder.dense(normal(6, 10)).softmax().build()


@pytest.mark.parametrize(("dim", "bus"), [(2, 32), (5, 128), (16, 256)])
@pytest.mark.parametrize(
    ("graph", "chunk"),
    [(deep, None), (many_layers, None), (many_layers, 2)],
    ids=["norm", "dense", "chunks"],
)
def test_exponents_take_turns_in_the_registers(
    graph: Callable[[], Graph], chunk: int | None, dim: int, bus: int
) -> None:
    config = load_config("train-small", [f"dim={dim}", f"bus_bits={bus}", "tables=5"])
    network = trained(graph(), momentum=0.9)
    training = compile_training(network, config, batch=4, chunk=chunk)
    assert len(training.tensors.registers) > EXPONENTS
    interpreter = TrainInterpreter(network, config.table_segments)
    x, t = samples(network.graph, 4)
    state = interpreter.initial(x, t, learning_rate=0.1, batch=4)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    expected, size = state.copy(), training.chunk
    parts = [(codes[0][low : low + size], codes[1][low : low + size]) for low in range(0, 4, size)]
    with Device("model", timing=False) as device:
        learner = Learner(training, device, interpreter, state)
        for _ in range(2):
            learner.step(x, t)
            interpreter.step(expected, parts)
            assert not unequal(expected, learner.state)


def test_lines_that_are_too_long_take_no_turns() -> None:
    config = load_config("train-small", ["dim=32", "bus_bits=512"])
    with pytest.raises(InputError, match="too few lines of dim = 32 take turns"):
        compile_training(trained(many_layers()), config, batch=4)


@pytest.mark.parametrize("graph", [chain, dropped, residual])
def test_a_batch_in_chunks_equals_one(graph: Callable[[], Graph]) -> None:
    network = trained(graph())
    x, t = samples(network.graph, 4)
    interpreter = TrainInterpreter(network, WIDE.table_segments)
    results = []
    for chunk in (4, 2):
        training = compile_training(network, WIDE, batch=4, chunk=chunk)
        state = interpreter.initial(x, t, learning_rate=0.1, batch=4)
        codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
        interpreter.calibrate(state, *codes)
        with Device("model", timing=False) as device:
            learner = Learner(training, device, interpreter, state)
            learner.step(x, t)
            results.append(learner.state)
    assert not unequal(*results)


def differing(seed: int) -> Sequence[str]:
    """What a random convolution's step on the model makes of the state, other than it should."""
    random = np.random.default_rng(seed)
    config = convolution_config(random, int(random.choice(DIMS)))
    setup = ConvolutionSetup.draw(random, config.dim, 100_000)
    program, training, interpreter, state = convolution_step(setup, config, seed)
    memory = execute(program)
    read = lambda name: unpack(memory, program.tensor(name), config)  # noqa: E731
    decoded = training.decode_state(read, state)
    make_room(decoded)
    x, t = setup.samples(seed)
    batch = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.step(state, [batch])
    return [*unequal(state, decoded), *_stray(training, decoded, read)]


def _stray(training: Training, state: TrainState, read: Callable[[str], Ints]) -> list[str]:
    """Layers with something else than 0 where memory has no weight."""
    everywhere = state.copy()
    everywhere.values = {name: np.ones_like(values) for name, values in state.values.items()}
    stored = training.encode_state(everywhere)
    names = [f"{layer.name}.weight" for layer in training.network.layers]
    return [f"{n} beside weights" for n in names if read(n)[stored[n] == 0].any()]


@pytest.mark.parametrize("seed", range(12))
def test_random_convolutions(seed: int) -> None:
    assert not differing(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_many_random_convolutions(seed: int) -> None:
    assert not differing(seed)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("steps", [0, 8])
def test_gradients_are_those_of_float64(graph: Callable[[], Graph], steps: int) -> None:
    network = trained(graph())
    x, t = samples(network.graph, 8)
    check = check_gradients(network, x, t, learning_rate=0.02, steps=steps)
    assert check.passes, [d for d in check.deviations if not d.passes] or check.differences


def far_from_float64(seed: int) -> list[object]:
    """What of a random convolution is further from float64 than roundings take it."""
    setup = ConvolutionSetup.draw(np.random.default_rng((7, seed)), 1, 20_000)
    check = check_gradients(setup.network(seed), *setup.samples(seed), learning_rate=0.1, steps=0)
    return beyond_roundings(check)


@pytest.mark.parametrize("seed", range(10))
def test_gradients_of_random_convolutions(seed: int) -> None:
    assert not far_from_float64(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(500))
def test_gradients_of_many_random_convolutions(seed: int) -> None:
    assert not far_from_float64(seed)


def refused(builder: Builder) -> str:
    with pytest.raises(InputError) as error:
        trained(builder.build())
    return str(error.value)


def test_what_cannot_be_trained_is_refused() -> None:
    def start() -> Builder:
        return Builder("net", (8, 8, 2)).convolution(normal(1, 1, 2, 4), name="conv")

    def end(builder: Builder) -> Builder:
        size = builder.flatten().build().output.size
        return builder.dense(normal(size, 10)).softmax()

    assert "side by side" in refused(end(start().average_pool(3, stride=2)))
    assert "without padding" in refused(end(start().average_pool(2, padding=1)))
    assert "cannot be trained" in refused(end(start().local_response_norm(3)))
    assert "only this pooling" in refused(end(start().max_pool(1, name="p").add("conv")))
    norms = norm(start().relu(), 4)
    assert "right before it" in refused(end(norms))
    assert "dense layer at the end" in refused(start().max_pool(2).softmax())
    dropped_last = start().flatten().dense(normal(256, 10)).dropout(0.5, name="drop").softmax()
    assert "drop: training needs a dense layer at the end; what is dropped" in refused(dropped_last)
    flat = start().flatten(name="flat").dense(normal(256, 256)).add("flat")
    assert "maps of one shape" in refused(end(flat))
    assert "one scale for each of 4 channels" in refused(end(norm(start().flatten(), 256)))
    assert "two operators have this name" in refused_graph("fc", "fc")
    assert "uses this name itself" in refused_graph("fc", "loss")


def refused_graph(first: str, second: str) -> str:
    """Of a graph of two dense layers with these names."""
    draft = Draft("net", [network_input("in", (3,))])
    draft.add(first, Dense(), ("in",), "middle", {"weight": normal(3, 4), "bias": np.zeros(4)})
    draft.add(second, Dense(), ("middle",), "out", {"weight": normal(4, 10), "bias": np.zeros(10)})
    with pytest.raises(InputError) as error:
        differentiate(draft.graph(("out",)), Loss("mse"), Optimizer())
    return str(error.value)


def test_a_value_read_through_flatten_keeps_its_readers() -> None:
    """The ReLU is of one reader alone: the other one gets the value without it."""
    builder = Builder("net", (2, 2, 3)).convolution(normal(1, 1, 3, 3), name="conv")
    builder.flatten(name="flat").relu(name="relu").dense(normal(12, 12), name="first")
    builder.convolution(normal(1, 1, 3, 3), name="other", source="conv").flatten()
    builder.dense(normal(12, 12)).add("first")
    network = trained(builder.dense(normal(12, 10)).softmax().build())
    x, t = samples(network.graph, 8)
    check = check_gradients(network, x, t, learning_rate=0.02, steps=2)
    assert check.passes, [d for d in check.deviations if not d.passes] or check.differences


def test_masks_follow_from_the_seed_and_differ_between_steps_and_layers() -> None:
    builder = Builder("net", 64).dense(normal(64, 64)).dropout(0.5, name="a")
    network = trained(
        builder.dense(normal(64, 64)).dropout(0.5, name="b").dense(normal(64, 10)).softmax().build()
    )
    interpreter = TrainInterpreter(network)
    x, t = samples(network.graph, 8)

    def masks(seed: int, steps: int) -> list[Ints]:
        state = interpreter.initial(x, t, learning_rate=0.1, batch=8, seed=seed)
        state.steps = steps
        return list(interpreter.masks(state, 8).values())

    drawn = [
        mask.reshape(8, 64)
        for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1))
        for mask in masks(seed, step)
    ]
    for place, mask in enumerate(drawn):
        assert 0.4 < mask.mean() < 0.6
        assert all(0.3 < (mask != other).mean() < 0.7 for other in drawn[:place])
    again = [mask.reshape(8, 64) for mask in masks(1, 1)]
    assert all((one == other).all() for one, other in zip(again, drawn[-2:], strict=True))


def test_what_is_dropped_does_not_depend_on_weights() -> None:
    network = trained(dropped())
    interpreter = TrainInterpreter(network)
    x, t = samples(network.graph, 4)
    state = interpreter.initial(x, t, learning_rate=0.1, batch=4, seed=3)
    before = interpreter.masks(state, 4)
    state.values = {name: values + 1 for name, values in state.values.items()}
    after = interpreter.masks(state, 4)
    assert all((before[name] == after[name]).all() for name in before)
    state.steps += 1
    assert all((before[name] != mask).any() for name, mask in interpreter.masks(state, 4).items())


def test_one_pixel_cannot_be_normalized() -> None:
    builder = norm(Builder("net", (2, 2, 1)).convolution(normal(2, 2, 1, 3)), 3)
    network = trained(builder.flatten().dense(normal(3, 10)).softmax().build())
    with pytest.raises(InputError, match="needs 2 to 32767 pixels"):
        compile_training(network, WIDE, batch=1)


def test_a_network_that_cannot_be_is_not_emitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller segments help where there is no room, not against an error of the network."""
    shares: list[int] = []

    class Noted(Lowering):
        def __init__(self, *arguments: Any, share: int, **more: Any) -> None:
            shares.append(share)
            super().__init__(*arguments, share=share, **more)

    monkeypatch.setattr(train, "Lowering", Noted)
    builder = norm(Builder("net", (2, 2, 1)).convolution(normal(2, 2, 1, 3)), 3)
    network = trained(builder.flatten().dense(normal(3, 10)).softmax().build())
    with pytest.raises(InputError, match="norm: batch normalization needs"):
        compile_training(network, WIDE, batch=1)
    assert shares == [1]


@pytest.mark.parametrize("shape", [(1, 28, 28), (28, 28, 1), (28, 28)])
def test_images_flattened_for_a_dense_layer(shape: tuple[int, ...]) -> None:
    """The plain network for digits, as exporters write it: as if its input were a vector."""
    seed = np.random.default_rng(3)
    weights = seed.normal(0, 0.03, (784, 8)), seed.normal(0, 0.3, (8, 10))

    def made(sizes: Builder) -> Training:
        return compile_training(
            trained(sizes.dense(weights[0]).relu().dense(weights[1]).softmax().build()),
            WIDE,
            batch=2,
        )

    image, plain = made(Builder("net", shape).flatten()), made(Builder("net", 784))
    assert image.step is not None
    assert plain.step is not None
    assert image.step.code == plain.step.code
    x = seed.integers(-100, 100, (2, 784))
    assert (image.pack(x) == x).all()


def test_relu_after_a_pooling_is_relu_before_it() -> None:
    """The integers are the same."""
    kernel, dense = normal(3, 3, 2, 4), normal(16, 10)

    def steps(*order: str) -> TrainState:
        builder = Builder("net", (6, 6, 2)).convolution(kernel)
        for name in order:
            builder = builder.relu() if name == "relu" else builder.max_pool(int(name), stride=1)
        network = trained(builder.flatten().dense(dense).softmax().build())
        interpreter = TrainInterpreter(network)
        x, t = samples(network.graph, 3)
        state = interpreter.initial(x, t, learning_rate=0.1, batch=3)
        codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
        interpreter.calibrate(state, *codes)
        interpreter.step(state, [codes])
        return state

    assert not unequal(steps("relu", "2", "2"), steps("2", "2", "relu"))
    assert not unequal(steps("relu", "2", "2"), steps("2", "relu", "2"))
