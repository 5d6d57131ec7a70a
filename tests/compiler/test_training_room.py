"""Training of maps that the scratchpad has no room for: they go by way of memory."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pulsarray.compiler.attention import tokenwise
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import load_config
from pulsarray.errors import InputError
from pulsarray.sim.device import Device
from pulsarray.trainer.learner import Learner
from tests.compiler.training_cases import differences

TOKENS, CHANNELS = 16, 8
MACHINE = load_config(
    "train-small",
    ["tables=5", "dim=4", "bus_bits=64", "scratchpad_depth=64", "accumulator_depth=64"],
)


def network(hidden: int) -> TrainingNetwork:
    """Two layers and a gate between, token by token."""
    random = np.random.default_rng(0)
    builder = Builder("wide", (1, TOKENS, CHANNELS))
    sizes = (CHANNELS, hidden, CHANNELS, 2)
    for number, (rows, columns) in enumerate(pairwise(sizes)):
        tokenwise(builder, random.normal(0, rows**-0.5, (rows, columns)), f"fc{number}")
        if not number:
            builder.gelu("gelu")
    return differentiate(builder.build(), Loss("mse"), Optimizer())


def test_one_image_of_a_map_larger_than_the_scratchpad() -> None:
    made, random = network(160), np.random.default_rng(1)
    words = TOKENS * 160 // MACHINE.dim
    assert words > MACHINE.scratchpad_banks * MACHINE.scratchpad_depth
    training = compile_training(made, MACHINE, batch=1)
    assert {"gelu.output", "gelu.error"} <= {*training.spilled}
    interpreter = TrainInterpreter(made, MACHINE.table_segments)
    x, t = random.normal(size=(1, TOKENS * CHANNELS)), random.normal(size=(1, TOKENS * 2))
    state = interpreter.initial(x, t, learning_rate=0.1, batch=1)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    wanted = state.copy()
    with Device("model", timing=False) as device:
        learner = Learner(training, device, interpreter, state)
        learner.step(x, t)
        interpreter.step(wanted, [codes])
        assert differences(learner.state, wanted) == []
        outputs = learner.outputs(x)
    np.testing.assert_array_equal(outputs.ravel(), interpreter.outputs(wanted, codes[0]).ravel())


def test_biases_beyond_a_bank_are_refused_by_name() -> None:
    text = "fc0: biases of 80 blocks of 4 channels do not fit the 64 words of an accumulator bank"
    with pytest.raises(InputError, match=text):
        compile_training(network(320), MACHINE, batch=1)
