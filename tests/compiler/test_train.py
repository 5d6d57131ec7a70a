"""Training programs: what they leave in memory equals the interpreter, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pulsarray.compiler.ops.optimizer import Memory, Momentum
from pulsarray.compiler.training.differentiate import LOSSES, Loss, Optimizer, differentiate
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import load_config
from pulsarray.errors import InputError
from pulsarray.isa import Opcode, StreamFlag, WeightFlag
from pulsarray.model.functional import execute
from pulsarray.model.timing import simulate_timing
from pulsarray.sim.random.training import Setup, dense_network
from tests.compiler.training_cases import (
    SMALL,
    Beside,
    Case,
    any_case,
    differences,
)

PLAIN = Optimizer()


def case(
    sizes: list[int], functions: list[str], loss: str, batch: int = 6, **fields: object
) -> Case:
    """A case on a small machine."""
    config = fields.pop("config", SMALL)
    setup = Setup(sizes, functions, Loss(loss), batch=batch, **fields)  # type: ignore[arg-type]
    return Case(setup, config)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40))
def test_random_steps_equal_the_interpreter(seed: int) -> None:
    beside = Beside(any_case(seed), seed)
    for _ in range(2):
        got, wanted, trace = beside.step()
        assert not differences(got, wanted)
        last = beside.network.layers[-1].name
        output = trace.tensors[f"{last}.output"][-beside.training.chunk :]
        assert np.array_equal(beside.read("output"), output)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss: str) -> None:
    end = LOSSES[loss].after or "identity"
    beside = Beside(case([5, 6, 3], ["tanh", end], loss))
    assert not differences(*beside.step()[:2])


@pytest.mark.parametrize("end", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("loss", ["mse", "hinge", "quantile", "log-cosh"])
def test_losses_before_a_derivative(loss: str, end: str) -> None:
    beside = Beside(case([5, 3], [end], loss))
    assert not differences(*beside.step()[:2])


def test_softmax_over_several_column_blocks() -> None:
    beside = Beside(case([5, 9], ["softmax"], "cross-entropy", 3))
    assert not differences(*beside.step()[:2])


def test_many_steps_let_exponents_fall_and_rise() -> None:
    optimizer = Optimizer(momentum=0.9)
    beside = Beside(case([3, 5, 1], ["tanh", "identity"], "mse", 4, optimizer=optimizer))
    before = dict(beside.state.exponents)
    for _ in range(40):
        assert not differences(*beside.step()[:2])
    assert beside.state.exponents != before


def test_chunks_give_the_same_as_one_batch() -> None:
    whole = Beside(case([5, 6, 3], ["relu", "softmax"], "cross-entropy", 12))
    parts = Beside(case([5, 6, 3], ["relu", "softmax"], "cross-entropy", 12, chunk=4))
    assert parts.training.chunks == 3
    for _ in range(3):
        one, other = whole.step()[0], parts.step()[0]
        assert not differences(one, other)


def test_what_does_not_fit_is_stored_and_loaded_again() -> None:
    config = replace(SMALL, scratchpad_depth=128)
    functions = ["relu", "tanh", "identity"]
    beside = Beside(case([60, 60, 60, 60], functions, "mse", 16, config=config, chunk=16))
    assert beside.training.spilled
    assert not differences(*beside.step()[:2])


def test_the_forward_program_changes_only_the_output() -> None:
    beside = Beside(case([5, 6, 3], ["relu", "softmax"], "cross-entropy", 8))
    beside.write("input", beside.x)
    after = execute(beside.training.forward, beside.memory)
    tensor = beside.program.tensor("output")
    changed = np.flatnonzero(after != beside.memory)
    assert changed.size
    assert changed.min() >= tensor.address
    assert changed.max() < tensor.address + tensor.bytes(SMALL)
    beside.memory = after
    rows = beside.interpreter.forward(beside.state, beside.x)
    assert np.array_equal(beside.read("output"), rows["fc2.output"])


def test_limits_are_seen_and_halving_goes_on_bit_by_bit() -> None:
    beside = Beside(case([2, 2], ["identity"], "mse", 2))
    master = beside.state.values["fc1.weight.master"]
    master[0, 0] = 0x7F00_0001
    beside.state.values["fc1.weight"][0, 0] = 0x7F00
    for name, values in beside.training.encode_state(beside.state).items():
        beside.write(name, values)
    beside.state.rates["rate"] = 0
    beside.write("rates", beside.training.encode_state(beside.state)["rates"])
    got, wanted, _ = beside.step()
    assert beside.training.limits(beside.read("exponents")) == ["fc1.weight"]
    assert differences(got, wanted)
    beside.interpreter.make_room(got)
    assert not differences(got, wanted)


def test_no_transposed_copies() -> None:
    training = Beside(case([20, 12, 8], ["relu", "identity"], "mse", 8)).training
    program = training.step
    assert program is not None
    ops = program.instructions
    assert any(i.op is Opcode.WEIGHT and i["flags"] & WeightFlag.TRANSPOSE for i in ops)
    assert any(i.op is Opcode.STREAM and i["flags"] & StreamFlag.TRANSPOSE for i in ops)
    names = {tensor.name for tensor in program.tensors if tensor.role != "constant"}
    assert names == {
        "input", "target", "output", "exponents",
        *(f"fc{n}.{kind}" for n in (1, 2) for kind in ("weight", "weight.master", "bias")),
    }  # fmt: skip


def test_a_large_step_keeps_the_array_busy() -> None:
    graph = dense_network([512, 512, 512], ["relu", "identity"])
    trained = differentiate(graph, Loss("mse"), PLAIN)
    training = compile_training(trained, load_config("train"), batch=64)
    assert training.step is not None
    step, forward = simulate_timing(training.step), simulate_timing(training.forward)
    streams = [n for n, i in enumerate(training.step.instructions) if i.op is Opcode.STREAM]
    events = step.events[streams]
    span = events[:, 3].max() - events[:, 2].min()
    assert step.counters["stream_busy"] >= 0.9 * span
    assert step.cycles <= 3.15 * forward.cycles
    assert not training.spilled


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"config": load_config("small")}, "training must be true"),
        ({"config": replace(SMALL, transposer=False)}, "transposer must be true"),
        ({"config": replace(SMALL, accumulator_banks=3)}, "accumulator_banks must be at least 4"),
        ({"config": replace(SMALL, parameter_depth=2)}, "parameter_depth must be at least 6"),
        ({"config": replace(SMALL, tables=1)}, "tables = 1"),
        ({"batch": 0}, "batch: must be at least 1"),
        ({"chunk": 4}, "chunk: must divide the batch"),
    ],
)
def test_machines_and_batches_that_do_not_fit(fields: dict[str, object], text: str) -> None:
    graph = dense_network([4, 5, 3], ["sigmoid", "softmax"])
    trained = differentiate(graph, Loss("cross-entropy"), PLAIN)
    arguments = {"config": SMALL, "batch": 6} | fields
    with pytest.raises(InputError, match=text):
        compile_training(trained, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("frozen", [["fc1"], ["fc2"], ["fc3"], ["fc1", "fc3"], ["fc2", "fc3"]])
@pytest.mark.parametrize("batch", [(6, None), (6, 2)])
def test_frozen_layers_stay_and_pass_gradients_on(
    frozen: list[str], batch: tuple[int, int | None]
) -> None:
    made = case([5, 6, 4, 3], ["tanh", "relu", "sigmoid"], "mse", batch[0], chunk=batch[1])
    beside = Beside(made, frozen=frozen)
    before = beside.state.copy()
    got, wanted, _ = beside.step()
    assert not differences(got, wanted)
    weights = {f"fc{number}.weight" for number in (1, 2, 3)}
    changed = {n for n in weights if not np.array_equal(before.values[n], got.values[n])}
    assert changed == weights - {f"{name}.weight" for name in frozen}


@dataclass(frozen=True)
class Trail(Momentum):
    memory = Memory("trail", 32, "trail", first=-100)


class Trailing(Optimizer):
    def direction(self, gradient: str, keep: Callable[..., str], put: Callable[..., str]) -> str:
        return keep(Trail(self.momentum), gradient)


def test_what_an_update_declares_is_kept_stored_and_read_back() -> None:
    made = case([5, 6, 3], ["tanh", "sigmoid"], "mse", optimizer=Trailing(momentum=0.75))
    beside = Beside(made, frozen=["fc1"])
    kept = {"fc2.weight.trail", "fc2.bias.trail"}
    assert {name for name in beside.state.values if name.endswith("trail")} == kept
    assert beside.state.exponents["fc2.bias.trail"] == -100
    got, wanted, _ = beside.step()
    assert not differences(got, wanted)
    assert all(got.values[name].any() for name in kept)


def test_frozen_layers_have_no_velocity() -> None:
    optimizer = Optimizer(momentum=0.9)
    made = case([5, 6, 3], ["tanh", "sigmoid"], "mse", optimizer=optimizer)
    beside = Beside(made, frozen=["fc1"])
    for _ in range(2):
        assert not differences(*beside.step()[:2])
