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
    "heights": Plasticity(
        grow=0.1, fall=0.02, target=0.6, margin=0.2, adapt=0.1, recover=0.05, highest=0.4
    ),
    "all": Plasticity(refractory=1, grow=0.05, margin=0.5, adapt=0.05, recover=0.04),
}


def network(rule: Plasticity) -> tuple[Graph, Floats]:
    """Neurons, and their weights at first."""
    weights = np.random.default_rng(1).uniform(0.2, 0.7, (INPUTS, NEURONS))
    inputs = {"input": (1, 1, INPUTS)} | ({"recovery": (1, 1, 1)} if rule.adapt else {})
    recovery = "recovery" if rule.adapt else ""
    builder = plastic(
        Builder("plastic", inputs), weights, rule, "n", source="input", recovery=recovery
    )
    return builder.output("spikes", source="n").build(), weights


def spikes(rule: Plasticity, runs: int, seed: int = 0) -> dict[str, Floats]:
    """Random ones by input, (runs, 1, 1, K)."""
    random = np.random.default_rng(seed)
    sizes = {"input": INPUTS} | ({"recovery": 1} if rule.adapt else {})
    return {
        name: (random.uniform(size=(runs, 1, 1, size)) < 0.3).astype(np.float64)
        for name, size in sizes.items()
    }


def by_hand(rule: Plasticity, w: Floats, inputs: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Spikes of all runs, and the weights after them."""
    v, q, last, rest, height = np.zeros((5, NEURONS))
    p, all_spikes = np.zeros(INPUTS), []
    calm = inputs.get("recovery", np.zeros(len(inputs["input"]))).reshape(-1)
    for now, less in zip(inputs["input"].reshape(-1, INPUTS), calm, strict=True):
        u = rule.decay * v + now @ w - rule.inhibition * (last.sum() - last)
        e = u - height
        s = (e > rule.threshold) & (e - e.max() > -rule.margin) & (rest == 0)
        v = np.where((rest == 0) & ~s, u, 0.0)
        s = s.astype(np.float64)
        rest = np.maximum(rest - 1, 0) + rule.refractory * s
        p = rule.trace_decay * p + now
        gain = rule.grow * np.outer(p - rule.target, s)
        w = np.clip(w + gain - rule.fall * np.outer(now, q), 0, rule.largest)
        q, last = rule.trace_decay * q + s, s
        height = np.clip(height + rule.adapt * s - rule.recover * less, -rule.highest, rule.highest)
        all_spikes.append(s)
    return np.array(all_spikes), w


@pytest.mark.parametrize("kind", RULES)
def test_neurons_are_those_written_by_hand(kind: str) -> None:
    rule = RULES[kind]
    inputs = spikes(rule, 60)
    graph, weights = network(rule)
    wanted, learned = by_hand(rule, weights, inputs)
    assert 0.1 < wanted.mean() < 0.9
    assert np.abs(learned - weights).max() > 0.1
    computed = run_in_order(graph, inputs)
    np.testing.assert_array_equal(computed["spikes"].reshape(wanted.shape), wanted)
    after = computed[graph.states["n.weights"]][-1].reshape(learned.shape)
    np.testing.assert_allclose(after, learned, rtol=1e-12)


def test_who_rests_does_not_spike_and_weights_stay_in_their_bounds() -> None:
    rule = RULES["rest"]
    computed = run_in_order(network(rule)[0], spikes(rule, 80))
    rows = computed["spikes"].reshape(80, NEURONS)
    assert (rows[:-1] * rows[1:]).max() == (rows[:-2] * rows[2:]).max() == 0
    weights = computed["next n.weights"]
    assert weights.min() >= 0
    assert weights.max() <= rule.largest


def on_the_machine(rule: Plasticity, config: Config, runs: int, on: str) -> None:
    """Every run's spikes and weights are those of the integer definition."""
    graph = quantize_graph(network(rule)[0], spikes(rule, 60), config)
    program, states = compiler.compile(graph, config), {}
    with Device(on, check=on != "model", timing=on != "model") as device:
        device.load(program)
        inputs = spikes(rule, runs, 5)
        for run in range(runs):
            codes = {
                value.name: value.codes.encode(inputs[value.name][run][None]).astype(np.int64)
                for value in graph.inputs
            }
            outputs = run_outputs(graph, {**codes, **states})
            states = kept(graph, outputs)
            for name, array in codes.items():
                device.write(name, array.reshape(1, -1))
            device.run()
            for name, array in {**states, "spikes": outputs["spikes"]}.items():
                np.testing.assert_array_equal(device.read(name), array.reshape(-1, array.shape[-1]))


def machine(dim: int) -> Config:
    drawn = map_config(np.random.default_rng(dim), dim).to_dict()
    return Config.from_dict({**drawn, "scale_bits": 31, "vector_multiply": True})


@pytest.mark.parametrize(("kind", "dim"), [("rest", 2), ("others", 5), ("all", 4)])
def test_runs_in_int8_are_those_of_the_definition(kind: str, dim: int) -> None:
    on_the_machine(RULES[kind], machine(dim), 8, "model")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["others", "heights"])
def test_200_runs_on_rtl(kind: str) -> None:
    on_the_machine(RULES[kind], machine(4), 200, "verilator")


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"decay: must be more than 0 and at most 1, not 1\.5"):
        Plasticity(decay=1.5)
    with pytest.raises(InputError, match="grow: must be 0 or more, not -1"):
        Plasticity(grow=-1.0)
    with pytest.raises(InputError, match="largest: must be more than 0, not 0"):
        Plasticity(largest=0.0)
    with pytest.raises(InputError, match="refractory: must be 0 or more, not -1"):
        Plasticity(refractory=-1)
    with pytest.raises(InputError, match="margin: must be more than 0, not 0"):
        Plasticity(margin=0.0)
    with pytest.raises(InputError, match="adapt, recover and an input for recovery go together"):
        plastic(Builder("plastic", (1, 1, 2)), np.ones((2, 1)), RULES["heights"])
