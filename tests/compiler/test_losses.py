"""Losses: known values, and gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.training.differentiate import LOSSES, Loss
from pulsarray.compiler.training.losses import correct, loss_value


@pytest.mark.parametrize(
    ("errors", "mae", "rmse"),
    [([0, 1, -2, -0.5, 1.5], 1.0, 1.22), ([0, 1, 1, -2, 15], 3.8, 6.79)],
)
def test_a_worked_example(errors: list[float], mae: float, rmse: float) -> None:
    outputs, targets = np.array(errors, float)[:, None], np.zeros((5, 1))
    assert loss_value(Loss("mae"), outputs, targets).mean() == pytest.approx(mae)
    squared = 2 * loss_value(Loss("mse"), outputs, targets).mean()
    # The example cuts its numbers off after two digits.
    assert int(100 * np.sqrt(squared)) == round(100 * rmse)


def test_values_of_each_loss() -> None:
    z, t = np.array([[2.0]]), np.array([[0.5]])
    values = {
        Loss("mse"): 1.125,
        Loss("mae"): 1.5,
        Loss("huber", 1.0): 1.0,
        Loss("huber", 2.0): 1.125,
        Loss("log-cosh"): np.log(np.cosh(1.5)),
        Loss("quantile", 0.1): 0.9 * 1.5,
    }
    for loss, wanted in values.items():
        assert loss_value(loss, z, t)[0] == pytest.approx(wanted)
    half = np.array([[0.5, 0.25, 0.25]])
    assert loss_value(Loss("cross-entropy"), half, np.eye(3)[:1])[0] == pytest.approx(np.log(2))
    one = np.array([[0.75]])
    entropy = loss_value(Loss("binary-cross-entropy"), one, np.array([[0.0]]))
    assert entropy[0] == pytest.approx(np.log(4))
    margins = np.array([[0.25, -2.0]])
    assert loss_value(Loss("hinge"), margins, np.array([[1.0, -1.0]]))[0] == pytest.approx(0.75)


@pytest.mark.parametrize("name", LOSSES)
def test_far_from_the_target_is_worse_and_finite(name: str) -> None:
    t = np.array([[1.0, 0.0]]) if name != "hinge" else np.array([[1.0, -1.0]])
    near, far = np.array([[0.9, 0.1]]), np.array([[0.0, 1.0]])
    values = [float(loss_value(Loss(name), z, t)[0]) for z in (near, far)]
    assert 0 <= values[0] < values[1] < 100


def test_right_answers() -> None:
    several = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert correct(Loss("mse"), several, np.eye(3)[[1, 2]]) == pytest.approx([True, False])
    one = np.array([[0.6], [0.4]])
    assert correct(Loss("mse"), one, np.array([[1.0], [1.0]])) == pytest.approx([True, False])
    signs = np.array([[0.1], [0.1]])
    assert correct(Loss("mse"), signs, np.array([[1.0], [-1.0]])) == pytest.approx([True, False])
    assert correct(Loss("mse"), one, np.array([[0.3], [1.2]])) is None
