"""Self-attention made of operators, and the transformers that learn with it."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.attention import Projections, attention, tokenwise
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import batches
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter, real
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import load_config
from pulsarray.errors import InputError
from pulsarray.sim.device import Device
from pulsarray.trainer.learner import Learner
from pulsarray.zoo.transformer import CHARACTERS, text_windows
from pulsarray.zoo.workloads import workload
from tests.compiler.training_cases import differences

TOKENS, CHANNELS, WIDTH = 5, 6, 8


def weights() -> Projections:
    rng = np.random.default_rng(1)
    return Projections(
        *(rng.normal(size=(CHANNELS, WIDTH)) for _ in range(3)), rng.normal(size=(WIDTH, CHANNELS))
    )


def definition(x: Floats, arrays: Projections, heads: int, causal: bool) -> Floats:
    """Vaswani et al. 2017, equation 1, with heads side by side before the output projection."""
    parts = [x @ w for w in (arrays.query, arrays.key, arrays.value)]
    query, key, value = (p.reshape(*p.shape[:2], heads, -1).swapaxes(1, 2) for p in parts)
    scores = query @ key.swapaxes(2, 3) / np.sqrt(WIDTH // heads)
    if causal:
        scores = np.where(np.tri(TOKENS), scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (powers / powers.sum(axis=-1, keepdims=True)) @ value
    return mixed.swapaxes(1, 2).reshape(*x.shape[:2], WIDTH) @ arrays.output


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_definition(heads: int, causal: bool) -> None:
    builder, x = Builder("a", (1, TOKENS, CHANNELS)), np.random.default_rng(2).normal(size=(3, 30))
    name = attention(builder, weights(), heads, causal=causal, source="input")
    graph = builder.build()
    assert name == builder.last
    wanted = definition(x.reshape(3, TOKENS, CHANNELS), weights(), heads, causal)
    np.testing.assert_allclose(run_float(graph, x).reshape(wanted.shape), wanted, rtol=1e-4)


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_that_do_not_fit(heads: int) -> None:
    builder = Builder("a", (1, TOKENS, CHANNELS))
    with pytest.raises(InputError, match=f"attention: 8 columns do not fall into {heads} heads"):
        attention(builder, weights(), heads, source="input")


def test_a_window_of_a_text_is_followed_by_its_next_characters() -> None:
    data = text_windows()
    count = len(CHARACTERS)
    symbols = data.inputs[:, 0, :, :count].argmax(axis=-1)
    targets = data.targets.reshape(*symbols.shape, count).argmax(axis=-1)
    assert (symbols[:, 1:] == targets[:, :-1]).all()
    assert "".join(CHARACTERS[c] for c in symbols[0]).strip()


def test_a_causal_transformer_does_not_see_what_is_next() -> None:
    """Answers before a character that is another one stay as they are."""
    task, data = workload("characters"), text_windows()
    x = data.inputs[:1].copy()
    network = FloatNetwork(task.network(0))
    before = network.result(x.reshape(1, -1)).reshape(32, -1)
    x[0, 0, 20, : len(CHARACTERS)] = np.roll(x[0, 0, 20, : len(CHARACTERS)], 1)
    after = network.result(x.reshape(1, -1)).reshape(32, -1)
    np.testing.assert_array_equal(before[:20], after[:20])
    assert (before[20:] != after[20:]).any(axis=1).all()


@pytest.mark.parametrize("causal", [False, True])
def test_rows_of_more_pixels_than_fit_a_tile_learn(causal: bool) -> None:
    """Softmax works on 64 / 6 pixels of a row of 24 at a time."""
    machine = load_config(
        "train-small", ["tables=5", "dim=4", "bus_bits=64", "accumulator_depth=64"]
    )
    random, tokens = np.random.default_rng(3), 24
    builder = Builder("long", (1, tokens, CHANNELS))
    attention(builder, weights(), 2, causal=causal, source="input")
    tokenwise(builder, random.normal(size=(CHANNELS, 2)), "end")
    network = differentiate(builder.build(), Loss("mse"), Optimizer())
    x, t = random.normal(size=(1, tokens * CHANNELS)), random.normal(size=(1, tokens * 2))
    interpreter = TrainInterpreter(network, machine.table_segments)
    state = interpreter.initial(x, t, learning_rate=0.1, batch=1)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    wanted = state.copy()
    with Device("model", timing=False) as device:
        training = compile_training(network, machine, batch=1)
        learner = Learner(training, device, interpreter, state)
        learner.step(x, t)
        interpreter.step(wanted, [codes])
        assert differences(learner.state, wanted) == []
        outputs = learner.outputs(x)
    np.testing.assert_array_equal(outputs.ravel(), interpreter.outputs(wanted, codes[0]).ravel())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["characters", "mnist-transformer"])
def test_transformers_learn_as_in_float64(name: str) -> None:
    """Mean losses of 40 steps from the same weights, in the same order."""
    task = workload(name)
    data, network = task.data(), task.network(0)
    interpreter, exact = TrainInterpreter(network), FloatNetwork(network)
    rate, losses = task.learning_rate, np.zeros((2, 40))
    state = interpreter.initial(data.inputs, data.targets, learning_rate=rate, batch=task.batch)
    order = batches(np.random.default_rng(0), len(data.inputs), task.batch)
    for step, rows in zip(range(40), order, strict=False):
        x, t = data.inputs[rows], data.targets[rows]
        codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
        if not step:
            interpreter.calibrate(state, *codes)
        answers = real("probabilities", interpreter.step(state, [codes]))
        chosen = (answers.reshape(t.shape) * t).reshape(len(x) * network.judged, -1).sum(axis=1)
        losses[:, step] = -np.log(chosen).mean(), exact.step(x, t, rate)
    machine, reference = losses.reshape(2, 2, 20).mean(axis=2)
    np.testing.assert_allclose(machine, reference, rtol=5e-3)
    assert machine[1] < machine[0]
