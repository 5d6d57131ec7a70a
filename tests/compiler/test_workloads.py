"""Built-in workloads: they compile, and float64 reaches what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.training.data import batches, prepared
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.losses import correct
from pulsarray.compiler.training.train import compile_training
from pulsarray.errors import InputError
from pulsarray.zoo.workloads import WORKLOADS, Workload, workload


def trained(task: Workload, seed: int, epochs: int | None = None) -> FloatNetwork:
    """The workload trained in float64."""
    network, data = FloatNetwork(task.network(seed)), task.data()
    random = np.random.default_rng(seed)
    for _ in range(epochs or task.epochs):
        for chosen in batches(random, len(data.inputs), task.batch):
            network.step(data.inputs[chosen], data.targets[chosen], task.learning_rate)
    return network


def right(task: Workload, seed: int) -> float:
    """Share of right answers on the test data."""
    data = task.data()
    assert data.test_inputs is not None
    assert data.test_targets is not None
    answers = correct(task.loss, trained(task, seed).result(data.test_inputs), data.test_targets)
    assert answers is not None
    return float(answers.mean())


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == "lstm-mnist")) for n in WORKLOADS],
)
def test_every_workload_compiles_and_its_data_fit(name: str) -> None:
    task = workload(name)
    network, data = task.network(0), task.data()
    assert data.test_inputs is not None
    assert data.test_targets is not None
    prepared(
        {
            "x": data.inputs,
            "t": data.targets,
            "test_x": data.test_inputs,
            "test_t": data.test_targets,
        },
        network,
    )
    training = compile_training(network, task.machine, batch=task.batch)
    assert (training.step or training.update) is not None


@pytest.mark.parametrize("name", ["and", "or", "xor"])
def test_truth_tables_are_learned_from_every_seed(name: str) -> None:
    assert all(right(workload(name), seed) == 1.0 for seed in range(10))


@pytest.mark.parametrize(
    "name", [n for n in WORKLOADS if "regression-" in n or n.startswith("lin")]
)
def test_regressions_reach_least_squares(name: str) -> None:
    task = workload(name)
    network, data = trained(task, 0), task.data()
    ones = np.hstack([data.inputs, np.ones((len(data.inputs), 1))])
    best = np.linalg.lstsq(ones, data.targets, rcond=None)[0]
    got = np.vstack([network.parameters["fc1.weight"], network.parameters["fc1.bias"][None]])
    limit = 0.01 if name == "linear-regression" else 0.05
    assert np.abs(got - best).max() < limit * np.abs(best).max()


@pytest.mark.parametrize(
    ("name", "least"),
    [("logistic-regression", 0.9), ("softmax-regression", 0.93), ("digits-hinge", 0.92)],
)
def test_digits_are_told_apart(name: str, least: float) -> None:
    assert right(workload(name), 0) >= least


def test_unknown_names_are_answered_with_the_known() -> None:
    with pytest.raises(InputError, match="must be one of and, or"):
        workload("nothing")
