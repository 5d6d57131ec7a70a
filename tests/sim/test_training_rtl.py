"""Training steps of random networks on RTL, equal to the model; the long comparison is slow."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.training.differentiate import Loss, Optimizer
from pulsarray.config import EXPONENTS
from pulsarray.sim.random.cases import Case, Group, differences, draw_training_groups
from pulsarray.sim.random.training_networks import NetworkSetup, prepare
from pulsarray.sim.toolchain import SIMULATORS
from tests.compiler.recurrent_cells import CELLS, setup, spiking

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
SHORT = [g for g in draw_training_groups(SEED, 30) if g.config.dim in (2, 5)][::2]
LONG = draw_training_groups(SEED, 300)
SHORTEST = {2: (3, 5, 6), 5: (0, 1, 4)}
"""Of the first nine steps of each group, those of the fewest cycles, for the slow simulator."""


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", SHORT, ids=lambda g: f"D{g.config.dim}-seed{g.seed}")
def test_some_steps(group: Group, simulator: str) -> None:
    chosen = SHORTEST[group.config.dim] if simulator == "icarus" else range(group.count)
    cases = [group.case(index) for index in chosen]
    differing = differences(cases, group.config, simulator)
    assert not any(differing), differing


def gated(seed: int) -> Graph:
    """Functions whose derivative needs their argument: after layers, pooling and a sum."""
    random = np.random.default_rng(seed)
    builder = Builder("gated", (5, 4, 3)).convolution(random.normal(0, 0.4, (3, 2, 3, 5))).gelu()
    builder.max_pool(2, stride=1, name="p").convolution(random.normal(0, 0.4, (1, 1, 5, 5)))
    builder.add("p").silu().flatten().dense(random.normal(0, 0.4, (20, 9))).silu()
    return builder.dense(random.normal(0, 0.4, (9, 2))).build()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_functions_whose_derivative_needs_their_argument(simulator: str) -> None:
    config = SHORT[0].config
    setups = [NetworkSetup(graph=gated(seed), loss=Loss("mse"), batch=3) for seed in range(2)]
    programs = [prepare(setup, config, seed).program for seed, setup in enumerate(setups)]
    cases = [Case(f"gated {seed}", program, 20, 1) for seed, program in enumerate(programs)]
    assert not any(differences(cases, config, simulator))


def layer_normalized(seed: int) -> Graph:
    """Layer normalizations of an input, around a residual sum, and before a sigmoid."""
    random = np.random.default_rng(seed)
    ones, zeros = np.linspace(0.5, 1.5, 7), np.linspace(-0.2, 0.2, 7)
    builder = Builder("layers", (3, 4, 3)).layer_norm(ones[:3], zeros[:3])
    source = builder.convolution(random.normal(0, 0.5, (1, 1, 3, 7)), name="c").last
    builder.layer_norm(ones, zeros).convolution(random.normal(0, 0.4, (1, 1, 7, 7))).add(source)
    builder.layer_norm(ones, zeros).sigmoid().flatten()
    return builder.dense(random.normal(0, 0.3, (84, 2))).build()


def attentive(seed: int) -> Graph:
    """Products of results in all three ways, heads one below the other, softmax of two kinds."""
    random = np.random.default_rng(seed)
    builder = Builder("attention", (2, 5, 3)).convolution(random.normal(0, 0.5, (1, 1, 3, 7)))
    values = builder.last
    keys = builder.convolution(random.normal(0, 0.4, (1, 1, 7, 4))).last
    builder.convolution(random.normal(0, 0.4, (1, 1, 7, 4)), source=values)
    builder.matmul(keys, transpose_b=True).softmax(causal=True).matmul(values)
    builder.matmul(keys, transpose_a=True).softmax()
    return builder.flatten().dense(random.normal(0, 0.3, (56, 2))).build()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_layer_normalization_attention_and_adam(simulator: str) -> None:
    config = next(group.config for group in SHORT if group.config.dim == 5)
    graphs = [layer_normalized(1), attentive(2)]
    optimizers = Optimizer(), Optimizer(momentum=0.9, squares=0.999, weight_decay=0.01)
    setups = [
        NetworkSetup(graph=graph, loss=Loss("mse"), optimizer=optimizer, batch=2)
        for graph, optimizer in zip(graphs, optimizers, strict=True)
    ]
    programs = [prepare(setup, config, seed).program for seed, setup in enumerate(setups)]
    cases = [Case(f"layers {seed}", program, 20, 1) for seed, program in enumerate(programs)]
    assert not any(differences(cases, config, simulator))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_recurrent_and_spiking_networks_through_time(simulator: str) -> None:
    """On the machine of another test here, so that nothing is built twice; Icarus is slow."""
    config = next(group.config for group in SHORT if group.config.dim == 5)
    kinds = ["gru"] if simulator == "icarus" else [*CELLS]
    programs = {kind: prepare(setup(kind, 1), config, 1).program for kind in kinds}
    programs |= {"spiking": prepare(spiking(1), config, 1).program}
    cases = [Case(kind, program, 20, 1) for kind, program in programs.items()]
    assert not any(differences(cases, config, simulator))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_more_exponents_than_registers(simulator: str) -> None:
    config, random = SHORT[0].config, np.random.default_rng(3)
    builder = Builder("deep", 4)
    for _ in range(12):
        builder.dense(random.normal(0, 0.5, (4, 4)), random.normal(0, 0.1, 4)).tanh()
    setup = NetworkSetup(graph=builder.build(), loss=Loss("mse"), batch=3)
    made = prepare(setup, config, 1)
    assert len(made.training.tensors.registers) > EXPONENTS
    assert not any(differences([Case("deep", made.program, 20, 1)], config, simulator))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", LONG, ids=lambda g: f"D{g.config.dim}-seed{g.seed}")
def test_all_steps(group: Group, simulator: str) -> None:
    differing = differences(list(group.cases()), group.config, simulator)
    assert not any(differing), differing
