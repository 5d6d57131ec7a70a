"""Small networks, and training programs run beside the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.training.deviations import ROUNDINGS, SLOPES, GradientCheck
from pulsarray.compiler.training.interpreter import StepTrace, TrainInterpreter, TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import Config, load_config
from pulsarray.model.functional import execute
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.device import Device
from pulsarray.sim.random.training import DIMS, Setup, samples, training_config
from pulsarray.sim.random.training_networks import Prepared
from pulsarray.trainer.learner import Learner

__all__ = ["SMALL", "Beside", "Case", "any_case", "beside_model", "beyond_roundings", "differences"]

SMALL = load_config("train-small", ["dim=4", "bus_bits=64"])
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """What is trained on which machine."""

    setup: Setup
    config: Config


def any_case(seed: int) -> Case:
    """A random network on a random machine."""
    random = np.random.default_rng(seed)
    config = training_config(random, int(random.choice(DIMS)))
    return Case(Setup.draw(random), config)


class Beside:
    """A training step as programs on the functional model, and in the interpreter."""

    def __init__(self, case: Case, seed: int = 0, frozen: Sequence[str] = ()) -> None:
        setup = case.setup
        self.network = setup.network(seed, frozen)
        self.training: Training = compile_training(
            self.network, case.config, batch=setup.batch, chunk=setup.chunk
        )
        self.interpreter = TrainInterpreter(self.network, case.config.table_segments)
        x, t = samples(self.network, setup.batch, seed + 1)
        self.state: TrainState = self.interpreter.initial(
            x, t, learning_rate=0.1, batch=setup.batch
        )
        self.x = self.interpreter.encode(self.state, x)
        self.t = self.interpreter.encode_target(self.state, t)
        self.interpreter.calibrate(self.state, self.x, self.t)
        self.program = self.training.first
        self.memory = self.program.memory.copy()
        for name, values in self.training.encode_state(self.state).items():
            self.write(name, values)

    def write(self, name: str, values: Ints) -> None:
        """A tensor into memory."""
        tensor = self.program.tensor(name)
        data = pack(values, tensor, self.program.config)
        self.memory[tensor.address : tensor.address + data.size] = data

    def read(self, name: str) -> Ints:
        """A tensor from memory."""
        return unpack(self.memory, self.program.tensor(name), self.program.config)

    @property
    def chunks(self) -> list[tuple[Ints, Ints]]:
        """Inputs and targets of every chunk."""
        size, count = self.training.chunk, self.training.chunks
        parts = [slice(i * size, (i + 1) * size) for i in range(count)]
        return [(self.x[part], self.t[part]) for part in parts]

    def run(self, program: Program | None) -> None:
        """Run a program on the functional model."""
        if program is not None:
            self.memory = execute(program, self.memory)

    def step(self) -> tuple[TrainState, TrainState, StepTrace]:
        """One step both ways: the state in memory, that of the interpreter, and its trace."""
        for x, t in self.chunks:
            self.write("input", x)
            self.write("target", t)
            self.run(self.training.step or self.training.accumulate)
        self.run(self.training.update)
        got = self.training.decode_state(self.read, self.state)
        trace = self.interpreter.step(self.state, self.chunks)
        return got, self.state, trace


def beside_model(made: Prepared, steps: int = 2) -> list[str]:
    """What steps on the model make of the state other than the interpreter, and of outputs."""
    expected, size = made.state.copy(), made.training.chunk
    x = made.interpreter.encode(made.state, made.inputs)
    t = made.interpreter.encode_target(made.state, made.targets)
    parts = [(x[low : low + size], t[low : low + size]) for low in range(0, len(x), size)]
    with Device("model", timing=False) as device:
        learner = Learner(made.training, device, made.interpreter, made.state)
        for _ in range(steps):
            learner.step(made.inputs, made.targets)
            made.interpreter.step(expected, parts)
        outputs = learner.outputs(made.inputs)
        texts = differences(learner.state, expected)
    same = (outputs == made.interpreter.outputs(expected, x)).all()
    return texts if same else [*texts, "outputs"]


def differences(got: TrainState, wanted: TrainState) -> list[str]:
    """Names of everything that two states do not agree on."""
    wrong = [n for n, values in wanted.values.items() if not np.array_equal(values, got.values[n])]
    for kind in ("exponents", "counts"):
        values = getattr(wanted, kind)
        wrong += [f"{kind} {n}" for n in values if values[n] != getattr(got, kind)[n]]
    return wrong


def beyond_roundings(got: GradientCheck) -> list[object]:
    """Tensors further from float64 than roundings take them; gradients that are not the slopes.

    Where roundings move nothing, as after a dropout that left nothing, a table may be off.
    """
    far: list[object] = [
        d
        for d in got.deviations
        if d.roundings > ROUNDINGS and not (d.passes and isinf(d.roundings))
    ]
    return far + [item for item in got.differences.items() if item[1] > SLOPES]
