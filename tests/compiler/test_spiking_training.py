"""Spiking neurons that learn through time, by a slope that stands for that of their steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.passes.unroll import over_time
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork, central_differences
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import network_config, prepare
from tests.compiler.recurrent_cells import spiking
from tests.compiler.training_cases import beside_model

Floats = npt.NDArray[np.float64]
KINDS = {
    "takes the threshold off": spiking(0),
    "sets to 0, in chunks": spiking(1, reset=0.0, chunk=2),
    "another threshold": spiking(2, threshold=0.6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_the_interpreter_and_near_float64(kind: str) -> None:
    setup, dim = KINDS[kind], 2 + len(kind) % 3
    made = prepare(setup, network_config(np.random.default_rng(dim), dim), dim)
    assert not beside_model(made)
    check = check_gradients(setup.network(), made.inputs, made.targets)
    assert check.passes
    assert not check.differences  # of steps there are none


RUNS, DECAY, THRESHOLD = 4, 0.75, 0.8


def by_hand(w: Floats, v: Floats, x: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Gradients of squared errors of ``spikes(T - 1) v`` by w and v, in NumPy, run by run."""
    potentials, spikes = [], []
    left = np.zeros((len(x), w.shape[1]))
    for run in range(RUNS):
        u = left + x[:, run] @ w
        s = (u > THRESHOLD).astype(float)
        left = DECAY * (u - THRESHOLD * s)
        potentials.append(u)
        spikes.append(s)
    error = spikes[-1] @ v - t
    by_v, by_w, by_left = spikes[-1].T @ error, np.zeros_like(w), np.zeros_like(left)
    by_spikes = error @ v.T
    for run in reversed(range(RUNS)):
        by_u = DECAY * by_left
        by_spikes = by_spikes - THRESHOLD * by_u
        above = np.clip(potentials[run] - THRESHOLD, -4.0, 4.0)
        by_u = by_u + by_spikes / (1.0 + (np.pi * above) ** 2)
        by_w += x[:, run].T @ by_u
        by_left, by_spikes = by_u, np.zeros_like(by_spikes)
    return by_w, by_v


def test_gradients_are_those_written_by_hand() -> None:
    random = np.random.default_rng(8)
    w, v = random.normal(0, 1.0, (3, 6)), random.normal(size=(6, 2))
    builder = Builder("net", 3).dense(w, name="in").lif(6, DECAY, THRESHOLD, name="lif")
    graph = over_time(builder.dense(v, name="out").build(), RUNS)
    network = FloatNetwork(differentiate(graph, Loss("mse"), Optimizer(), ["lif.membrane"]))
    x, t = random.normal(size=(5, RUNS, 3)), random.normal(size=(5, 2))
    gradients = network.backward(x.reshape(5, -1), t)
    for name, wanted in zip(("in", "out"), by_hand(w, v, x, t), strict=True):
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(
            gradients[f"{name}.weight.gradient"], wanted, rtol=1e-10, atol=1e-12
        )
    with pytest.raises(InputError, match=r"lif.reset.spikes@0: step has no derivative"):
        central_differences(network, x.reshape(5, -1), t)


def refusal(builder: Builder, *frozen: str) -> str:
    with pytest.raises(InputError) as caught:
        differentiate(over_time(builder.build(), 2), Loss("mse"), Optimizer(), frozen)
    return str(caught.value)


def test_what_is_refused() -> None:
    builder = Builder("net", 3).dense(np.ones((3, 4)), name="in").lif(4, 0.5, drift=0.25)
    told = refusal(builder.dense(np.ones((4, 2))), "lif.membrane")
    assert "lif.reset@0: training needs membranes without drift" in told
    builder = Builder("net", 3).dense(np.ones((3, 4)), name="in").lif(4, 0.5, 1.0, 0.5)
    told = refusal(builder.dense(np.ones((4, 2))), "lif.membrane")
    assert "not a drift of 0 and a reset to 0.5" in told
