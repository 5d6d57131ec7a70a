"""Spike-timing-dependent plasticity: against NumPy in float64, and on the machine in int8."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.plasticity import Plasticity, plastic
from pulsarray.compiler.reference.run import kept, run_in_order, run_outputs
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.sim.device import Device
from pulsarray.sim.random.maps import map_config

Floats = npt.NDArray[np.float64]
INPUTS, NEURONS = 6, 4
RULES = {
    "plain": Plasticity(),
    "rest": Plasticity(refractory=2, grow=0.05, fall=0.03),
    "others": Plasticity(refractory=1, inhibition=0.5, grow=0.1, fall=0.02, largest=0.8),
}


def network(rule: Plasticity) -> tuple[Graph, Floats]:
    """Neurons, and their weights at first."""
    weights = np.random.default_rng(1).uniform(0.2, 0.7, (INPUTS, NEURONS))
    builder = plastic(Builder("plastic", (1, 1, INPUTS)), weights, rule, "n")
    return builder.output("spikes", source="n").build(), weights


def spikes(runs: int, seed: int = 0) -> Floats:
    """Random ones, (runs, 1, 1, K)."""
    random = np.random.default_rng(seed)
    return (random.uniform(size=(runs, 1, 1, INPUTS)) < 0.3).astype(np.float64)


def by_hand(rule: Plasticity, w: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Spikes of all runs, and the weights after them."""
    v, q, last, rest = np.zeros((4, NEURONS))
    p, all_spikes = np.zeros(INPUTS), []
    for now in x:
        u = rule.decay * v + now @ w - rule.inhibition * (last.sum() - last)
        s = ((u > rule.threshold) & (rest == 0)).astype(np.float64)
        v = np.where((rest == 0) & (s == 0), u, 0.0)
        rest = np.maximum(rest - 1, 0) + rule.refractory * s
        p = rule.trace_decay * p + now
        w = np.clip(w + rule.grow * np.outer(p, s) - rule.fall * np.outer(now, q), 0, rule.largest)
        q, last = rule.trace_decay * q + s, s
        all_spikes.append(s)
    return np.array(all_spikes), w


@pytest.mark.parametrize("kind", RULES)
def test_neurons_are_those_written_by_hand(kind: str) -> None:
    rule, x = RULES[kind], spikes(60)
    graph, weights = network(rule)
    wanted, learned = by_hand(rule, weights, x.reshape(60, -1))
    assert 0.1 < wanted.mean() < 0.9
    assert np.abs(learned - weights).max() > 0.1
    computed = run_in_order(graph, {"input": x})
    np.testing.assert_array_equal(computed["spikes"].reshape(wanted.shape), wanted)
    after = computed[graph.states["n.weights"]][-1].reshape(learned.shape)
    np.testing.assert_allclose(after, learned, rtol=1e-12)


def test_who_rests_does_not_spike_and_weights_stay_in_their_bounds() -> None:
    rule = RULES["rest"]
    computed = run_in_order(network(rule)[0], {"input": spikes(80)})
    rows = computed["spikes"].reshape(80, NEURONS)
    assert (rows[:-1] * rows[1:]).max() == (rows[:-2] * rows[2:]).max() == 0
    weights = computed["next n.weights"]
    assert weights.min() >= 0
    assert weights.max() <= rule.largest


def on_the_machine(rule: Plasticity, config: Config, runs: int, on: str) -> None:
    """Every run's spikes and weights are those of the integer definition."""
    graph = quantize_graph(network(rule)[0], spikes(60), config)
    program, states = compiler.compile(graph, config), {}
    with Device(on, check=on != "model", timing=on != "model") as device:
        device.load(program)
        for x in spikes(runs, 5):
            codes = graph.input.codes.encode(x[None]).astype(np.int64)
            outputs = run_outputs(graph, {graph.input.name: codes, **states})
            states = kept(graph, outputs)
            device.write(graph.input.name, codes.reshape(1, -1))
            device.run()
            for name, array in {**states, "spikes": outputs["spikes"]}.items():
                np.testing.assert_array_equal(device.read(name), array.reshape(-1, array.shape[-1]))


def machine(dim: int) -> Config:
    drawn = map_config(np.random.default_rng(dim), dim).to_dict()
    return Config.from_dict({**drawn, "scale_bits": 31, "vector_multiply": True})


@pytest.mark.parametrize(("kind", "dim"), [("plain", 2), ("rest", 4), ("others", 5)])
def test_runs_in_int8_are_those_of_the_definition(kind: str, dim: int) -> None:
    on_the_machine(RULES[kind], machine(dim), 8, "model")


@pytest.mark.slow
def test_200_runs_on_rtl() -> None:
    on_the_machine(RULES["others"], machine(4), 200, "verilator")


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"decay: must be more than 0 and at most 1, not 1\.5"):
        Plasticity(decay=1.5)
    with pytest.raises(InputError, match="grow: must be 0 or more, not -1"):
        Plasticity(grow=-1.0)
    with pytest.raises(InputError, match="largest: must be more than 0, not 0"):
        Plasticity(largest=0.0)
    with pytest.raises(InputError, match="refractory: must be 0 or more, not -1"):
        Plasticity(refractory=-1)
