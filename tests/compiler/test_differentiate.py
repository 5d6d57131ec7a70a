"""From a graph to a training network: rules, names of exponents, and what is refused."""

from __future__ import annotations

import pytest

from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.errors import InputError
from pulsarray.sim.random.training import dense_network


@pytest.mark.parametrize(
    ("functions", "loss", "text"),
    [
        (["sigmoid"], "cross-entropy", "needs a network that ends with softmax"),
        (["identity"], "binary-cross-entropy", "needs a network that ends with sigmoid"),
        (["softmax"], "mse", "after softmax it must be cross-entropy"),
        (["step"], "mse", "after step it must be perceptron"),
        (["tanh"], "perceptron", "needs a network that ends with step"),
    ],
)
def test_losses_that_do_not_fit_the_output(functions: list[str], loss: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        differentiate(dense_network([3, 2], functions), Loss(loss), Optimizer())


def test_cross_entropy_needs_two_outputs() -> None:
    with pytest.raises(InputError, match="at least 2 outputs"):
        differentiate(dense_network([3, 1], ["softmax"]), Loss("cross-entropy"), Optimizer())


def test_activations_that_cannot_be_trained() -> None:
    from pulsarray.compiler.builder import Builder

    graph = Builder("g", 2).dense([[1.0], [1.0]]).clip(0.0, 1.0).build()
    with pytest.raises(InputError, match="not clip"):
        differentiate(graph, Loss("mse"), Optimizer())


@pytest.mark.parametrize(
    ("name", "parameter", "text"),
    [
        ("nothing", None, "must be one of mse"),
        ("mse", 1.0, "has no parameter"),
        ("huber", 0.0, "between 0 and 65536"),
        ("quantile", 1.0, "between 0 and 1"),
    ],
)
def test_losses_are_checked(name: str, parameter: float | None, text: str) -> None:
    with pytest.raises(InputError, match=text):
        Loss(name, parameter)


@pytest.mark.parametrize("fields", [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}])
def test_optimizers_are_checked(fields: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Optimizer(**fields)


def test_where_the_loss_has_an_error_of_its_own() -> None:
    joined = differentiate(dense_network([3, 2], ["sigmoid"]), Loss("mse"), Optimizer())
    fused = differentiate(
        dense_network([3, 2], ["sigmoid"]), Loss("binary-cross-entropy"), Optimizer()
    )
    assert joined.loss_error == "loss.error"
    assert fused.loss_error == "fc1.error"
    assert joined.exponents["fc1.output"] == -15
    assert joined.exponents["fc1.error"] is None
