"""Two networks in one memory: equal to the interpreters, close to float64."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.training.differentiate import Loss, Optimizer
from pulsarray.config import load_config
from pulsarray.sim.device import Device
from pulsarray.sim.random.cases import Case, differences
from pulsarray.sim.random.training_networks import NetworkSetup, prepare
from pulsarray.trainer.adversarial import Adversaries
from pulsarray.zoo.adversarial import FIXED, FloatAdversaries, networks, noise, together

CONFIG = load_config("train-small", ["dim=4", "bus_bits=64"])
BATCH = 4


@pytest.mark.parametrize(("on", "rounds"), [("model", 40), ("verilator", 3)])
def test_losses_track_float64(on: str, rounds: int) -> None:
    random = np.random.default_rng(3)
    real = random.uniform(0, 1, (64, 64))
    adversaries = networks(1, 0.5)
    reference = FloatAdversaries(adversaries, 0.05)
    with Device(on, check=on != "model") as device:
        learned = Adversaries(
            adversaries, CONFIG, device, batch=BATCH, learning_rate=0.05, pictures=real
        )  # fmt: skip
        for _ in range(rounds):
            some = real[random.integers(0, len(real), BATCH)]
            first, second = noise(random, BATCH), noise(random, BATCH)
            now = learned.round(some, first, second)
            beside = reference.step(some, first, second)
            assert (now.discriminator, now.generator) == pytest.approx(beside, abs=0.02)


def test_the_generators_step_leaves_the_discriminator_alone() -> None:
    random = np.random.default_rng(0)
    real = random.uniform(0, 1, (8, 64))
    adversaries = networks(0, 0.0)
    with Device("model") as device:
        learned = Adversaries(
            adversaries, CONFIG, device, batch=BATCH, learning_rate=0.1, pictures=real
        )  # fmt: skip
        before = {name: device.read(f"{name}.weight.master") for name in ("g1", "d1")}
        learned.generator.step(noise(random, BATCH), np.ones((BATCH, 1)))
        assert np.array_equal(before["d1"], device.read("d1.weight.master"))
        assert not np.array_equal(before["g1"], device.read("g1.weight.master"))


def test_both_networks_in_one_step() -> None:
    setup = NetworkSetup(
        graph=together(0), loss=Loss("binary-cross-entropy"), optimizer=Optimizer(momentum=0.5),
        frozen=FIXED, batch=BATCH,
    )  # fmt: skip
    case = Case("both", prepare(setup, CONFIG, 1).program, 20, 1)
    assert not any(differences([case], CONFIG, "verilator"))
