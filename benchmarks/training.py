"""What training costs and reaches: cycles of a step, products, accuracy beside float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import batches
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.losses import correct
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import PRESETS, Config
from pulsarray.isa import Opcode
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.report.products import PRODUCTS, product_shares
from pulsarray.run import RunResult
from pulsarray.sim.device import Device
from pulsarray.sim.random.training import dense_network, samples
from pulsarray.trainer.setup import Options
from pulsarray.trainer.trainer import Trainer
from pulsarray.zoo.workloads import Workload, workload

__all__ = ["Accuracy", "StepCost", "accuracy", "large_step", "step_cost"]


@dataclass(frozen=True)
class StepCost:
    """Cycles of one training step.

    Parameters
    ----------
    program, result
        The step, with data in its memory image, and what the timing model says.
    forward
        Cycles of the forward pass alone.
    """

    program: Program
    result: RunResult
    forward: int

    @property
    def busy(self) -> float:
        """Share of the cycles from the first pass to the last in which a word enters the array."""
        ops = self.program.instructions
        streams = [number for number, i in enumerate(ops) if i.op is Opcode.STREAM]
        events = self.result.events[streams]
        span = int(events[:, 3].max() - events[:, 2].min())
        return self.result.counters["stream_busy"] / span

    @property
    def products(self) -> str:
        """The array's utilization in each kind of product."""
        shares = product_shares(self.program, self.result.events)
        return ", ".join(f"{kind} {shares[kind].utilization:.1%}" for kind in PRODUCTS)

    @property
    def phases(self) -> str:
        """Share of the cycles of each phase."""
        starts = [int(self.result.events[x.first, 2]) for x in self.program.layers]
        ends = [*starts[1:], self.result.cycles]
        starts[0] = 0
        cycles: dict[str, int] = {}
        for layer, first, last in zip(self.program.layers, starts, ends, strict=True):
            cycles[layer.kind] = cycles.get(layer.kind, 0) + last - first
        return ", ".join(f"{kind} {n / self.result.cycles:.0%}" for kind, n in cycles.items())


def _cost(training: Training, x: Floats, t: Floats, rate: float) -> StepCost:
    assert training.step is not None
    interpreter = TrainInterpreter(training.network, training.tensors.config.table_segments)
    state = interpreter.initial(x, t, learning_rate=rate, batch=training.batch)
    batch = {"input": interpreter.encode(state, x), "target": interpreter.encode_target(state, t)}
    interpreter.calibrate(state, batch["input"], batch["target"])
    step = training.filled(training.step, training.encode_state(state) | batch)
    return StepCost(step, simulate_timing(step), simulate_timing(training.forward).cycles)


def large_step() -> StepCost:
    """512-512-512, batch 64, ReLU, squared error, on ``train``."""
    graph = dense_network([512, 512, 512], ["relu", "identity"])
    network = differentiate(graph, Loss("mse"), Optimizer())
    training = compile_training(network, PRESETS["train"], batch=64)
    return _cost(training, *samples(network, 64), 0.1)


def step_cost(task: Workload, config: Config, batch: int) -> StepCost:
    """A step of a workload."""
    training = compile_training(task.network(0), config, batch=batch)
    data = task.data()
    return _cost(training, data.inputs[:batch], data.targets[:batch], task.learning_rate)


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers on the test data."""

    machine: float
    real: float


def accuracy(name: str, seed: int, epochs: int | None = None) -> Accuracy:
    """A workload trained on the model and in float64, same weights, same order."""
    task = workload(name)
    data, epochs = task.data(), epochs or task.epochs
    assert data.test_inputs is not None
    assert data.test_targets is not None
    training = compile_training(task.network(seed), task.machine, batch=task.batch)
    options = Options(epochs=epochs, rates=lambda _: task.learning_rate, seed=seed)
    with Device("model", timing=False) as device:
        trainer = Trainer(training, device, data, options)
        trainer.run()
        machine = correct(task.loss, trainer.outputs(data.test_inputs), data.test_targets)
    reference, random = FloatNetwork(task.network(seed)), np.random.default_rng(seed)
    for _ in range(epochs):
        for chosen in batches(random, len(data.inputs), task.batch):
            reference.step(data.inputs[chosen], data.targets[chosen], task.learning_rate)
    real = correct(task.loss, reference.result(data.test_inputs), data.test_targets)
    assert machine is not None
    assert real is not None
    return Accuracy(float(machine.mean()), float(real.mean()))
