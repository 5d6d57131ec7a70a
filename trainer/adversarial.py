"""Two networks trained against each other on one device, in one memory.

The discriminator's step, the generator's step through the discriminator, and the sampler are three
programs on the same weights: what one has learned the next run works with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.passes.training.updates import MASTER
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.losses import loss_value
from pulsarray.compiler.training.train import Task, Training, compile_together
from pulsarray.config import Config
from pulsarray.sim.device import Device
from pulsarray.trainer.learner import Learner
from pulsarray.zoo.adversarial import Networks, noise

__all__ = ["Adversaries", "Round"]

_EXTREME = 4.0


@dataclass(frozen=True)
class Round:
    """A step of each network.

    Parameters
    ----------
    discriminator, generator
        Mean losses before the steps.
    cycles
        Machine cycles of both steps and of the pictures between.
    """

    discriminator: float
    generator: float
    cycles: int


class Adversaries:
    """Generator and discriminator on a device.

    Parameters
    ----------
    networks
        The networks.
    config, device
        The machine, and where it runs.
    batch
        Pictures of a step: as many real ones as made ones.
    learning_rate
        Of both.
    pictures
        Some real ones, (samples, 64), to begin with.
    """

    def __init__(
        self,
        networks: Networks,
        config: Config,
        device: Device,
        *,
        batch: int,
        learning_rate: float,
        pictures: Floats,
    ) -> None:
        tasks = [
            Task(network=networks.discriminator, batch=2 * batch, prefix="d."),
            Task(network=networks.generator, batch=batch, prefix="g."),
            Task(network=networks.sampler, batch=batch, prefix="s."),
        ]
        self.trainings: Sequence[Training] = compile_together(tasks, config)
        self._loss, self._device = networks.discriminator.loss, device
        both = np.concatenate([pictures[:batch], np.full((batch, pictures.shape[1]), 0.5)])
        sides = np.repeat([[1.0], [0.0]], batch, axis=0)
        seeds = noise(np.random.default_rng(0), batch)
        seeds[0, 0] = _EXTREME
        self.discriminator = self._learner(0, networks.discriminator, both, sides, learning_rate)
        ones = np.ones((batch, 1))
        self.generator = self._learner(1, networks.generator, seeds, ones, learning_rate)
        half = np.full((batch, pictures.shape[1]), 0.5)
        self.sampler = self._learner(2, networks.sampler, seeds, half, learning_rate)

    def _learner(
        self, number: int, network: TrainingNetwork, x: Floats, t: Floats, rate: float
    ) -> Learner:
        training, config = self.trainings[number], self.trainings[number].tensors.config
        interpreter = TrainInterpreter(network, config.table_segments)
        state = interpreter.initial(x, t, learning_rate=rate, batch=training.batch)
        codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
        interpreter.calibrate(state, *codes)
        return Learner(training, self._device, interpreter, state, load=number == 0)

    def round(self, pictures: Floats, first: Floats, second: Floats) -> Round:
        """A step of each.

        Parameters
        ----------
        pictures
            Real ones, (batch, 64).
        first, second
            Noise for the discriminator's step and for the generator's, (batch, 16).
        """
        fakes = self.sampler.outputs(first)
        cycles = self._device.counters()["cycles"]
        x = np.concatenate([pictures, fakes])
        t = np.repeat([[1.0], [0.0]], [len(pictures), len(fakes)], axis=0)
        judged = self.discriminator.step(x, t)
        _share(self.discriminator.state, self.generator)
        ones = np.ones((len(second), 1))
        tried = self.generator.step(second, ones)
        _share(self.generator.state, self.discriminator)
        _share(self.generator.state, self.sampler)
        return Round(
            float(loss_value(self._loss, judged.outputs, t).mean()),
            float(loss_value(self._loss, tried.outputs, ones).mean()),
            cycles + judged.cycles + tried.cycles,
        )

    def pictures(self, random: np.random.Generator, count: int) -> Floats:
        """What the generator makes of noise, (count, 64)."""
        return self.sampler.outputs(np.clip(noise(random, count), -_EXTREME, _EXTREME))


def _share(state: TrainState, learner: Learner) -> None:
    """Weights are one memory; their exponents are in each training's registers."""
    names = [name for name in state.weights if name in learner.state.values]
    changed = [n for n in names if state.exponents[n] != learner.state.exponents[n]]
    for name in names:
        for part in (name, f"{name}{MASTER}", f"{name.removesuffix('.weight')}.bias"):
            learner.state.values[part] = state.values[part]
        learner.state.exponents[name] = state.exponents[name]
    if changed:
        learner.put(learner.state)
