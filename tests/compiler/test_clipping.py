"""Clipping by norm: the machine with its host as the interpreter, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.training.clipping import clipped
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.state import StepTrace, real
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.errors import InputError
from pulsarray.sim.device import Device
from pulsarray.sim.random.training import dense_network, samples
from pulsarray.trainer.learner import Learner
from tests.compiler.training_cases import SMALL, differences

BATCH, NORM = 4, 0.05
SGD, MOMENTUM, ADAM = Optimizer(), Optimizer(momentum=0.9), Optimizer(momentum=0.9, squares=0.99)


class Made:
    """A small network, its programs, and data."""

    def __init__(self, optimizer: Optimizer, chunk: int = BATCH, *, apart: bool = True) -> None:
        graph = dense_network([6, 5, 3], ["relu", "identity"])
        self.network = differentiate(graph, Loss("mse"), optimizer)
        self.training: Training = compile_training(
            self.network, SMALL, batch=BATCH, chunk=chunk, apart=apart
        )
        self.interpreter = TrainInterpreter(self.network, SMALL.table_segments)
        self.x, self.t = samples(self.network, BATCH, 1)
        state = self.interpreter.initial(self.x, self.t, learning_rate=0.1, batch=BATCH)
        self.codes = self.interpreter.encode(state, self.x)
        self.targets = self.interpreter.encode_target(state, self.t)
        self.interpreter.calibrate(state, self.codes, self.targets)
        self.state: TrainState = state

    def step(self, state: TrainState, clip: float | None) -> StepTrace:
        """One of the interpreter."""
        return self.interpreter.step(state, [(self.codes, self.targets)], clip)

    def norm(self, clip: float | None) -> float:
        """Of the mean gradient in a step."""
        trace = self.step(self.state.copy(), clip)
        names = [name for name in trace.tensors if name.endswith(".gradient")]
        return float(np.sqrt(sum(np.square(real(n, trace)).sum() for n in names))) / BATCH


@pytest.mark.parametrize(("optimizer", "chunk"), [(SGD, 2), (MOMENTUM, BATCH), (ADAM, BATCH)])
def test_steps_are_those_of_the_interpreter(optimizer: Optimizer, chunk: int) -> None:
    made = Made(optimizer, chunk)
    wanted = made.state.copy()
    with Device("model", timing=False) as device:
        learner = Learner(made.training, device, made.interpreter, made.state, clip=NORM)
        for _ in range(3):
            learner.step(made.x, made.t)
            made.step(wanted, NORM)
            assert differences(learner.state, wanted) == []


def test_larger_gradients_get_the_norm_and_smaller_ones_stay() -> None:
    made = Made(SGD)
    usual = made.norm(None)
    assert usual > 2 * NORM
    assert made.norm(NORM) == pytest.approx(NORM, rel=1e-3)
    assert made.norm(2 * usual) == usual


def test_an_update_apart_is_the_same_step() -> None:
    both = Made(MOMENTUM), Made(MOMENTUM, apart=False)
    assert both[0].training.step is None
    assert both[1].training.update is None
    after = []
    for made in both:
        with Device("model", timing=False) as device:
            learner = Learner(made.training, device, made.interpreter, made.state)
            learner.step(made.x, made.t)
            after.append(learner.state)
    assert differences(*after) == []


def test_by_hand() -> None:
    sums = {"w": np.array([[3 << 20, -4 << 20]]), "b": np.array([0])}
    halves = clipped(sums, {"w": -20, "b": -20}, 1, 2.5)
    np.testing.assert_array_equal(halves["w"], sums["w"] // 2)
    np.testing.assert_array_equal(halves["b"], [0])


def test_a_step_in_one_program_cannot_be_clipped() -> None:
    made = Made(SGD, apart=False)
    with Device("model") as device, pytest.raises(InputError, match="a program apart"):
        Learner(made.training, device, made.interpreter, made.state, clip=NORM)
