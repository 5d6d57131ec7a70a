"""Training on a device, against the interpreter; stops, errors, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.training.data import TrainingData, batches
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import load_config
from pulsarray.errors import CheckFailed, InputError
from pulsarray.sim.device import Device
from pulsarray.sim.toolchain import SIMULATORS
from pulsarray.trainer.history import Epoch
from pulsarray.trainer.learner import Learner, Step
from pulsarray.trainer.setup import Options
from pulsarray.trainer.trainer import Trainer

CONFIG = load_config("train-small")
BATCH, SAMPLES, TESTS, SEED = 16, 80, 21, 3


def network(momentum: float = 0.5, hidden: int = 6) -> TrainingNetwork:
    rng = np.random.default_rng(1)
    graph = (
        Builder("net", 4)
        .dense(rng.normal(size=(4, hidden)) / 2, np.zeros(hidden))
        .tanh()
        .dense(rng.normal(size=(hidden, 3)) / 2, np.zeros(3))
        .softmax()
        .build()
    )
    return differentiate(graph, Loss("cross-entropy"), Optimizer(momentum=momentum))


def clusters(seed: int = 2) -> TrainingData:
    rng = np.random.default_rng(seed)
    kinds = np.arange(SAMPLES + TESTS) % 3
    inputs = rng.normal(size=(3, 4))[kinds] + rng.normal(size=(kinds.size, 4)) / 4
    targets = np.eye(3)[kinds]
    return TrainingData(
        inputs=inputs[:SAMPLES],
        targets=targets[:SAMPLES],
        test_inputs=inputs[SAMPLES:],
        test_targets=targets[SAMPLES:],
    )


@pytest.fixture(scope="module")
def training() -> Training:
    return compile_training(network(), CONFIG, batch=BATCH)


def trainer(training: Training, on: str = "model", **options: Any) -> Trainer:
    chosen = {"epochs": 3, "rates": lambda epoch: 0.5 / (1 + epoch), "seed": SEED, **options}
    progress = chosen.pop("progress", None)
    data = chosen.pop("data", clusters())
    device = Device(on, check=on != "model")
    return Trainer(training, device, data, Options(**chosen), progress=progress)


def expected(got: TrainingNetwork, epochs: int, chunk: int = BATCH) -> TrainState:
    """The state that the interpreter comes to."""
    data, rng = clusters(), np.random.default_rng(SEED)
    interpreter = TrainInterpreter(got, CONFIG.table_segments)
    assert data.test_inputs is not None
    assert data.test_targets is not None
    inputs = np.concatenate([data.inputs, data.test_inputs])
    targets = np.concatenate([data.targets, data.test_targets])
    state = interpreter.initial(inputs, targets, learning_rate=0.5, batch=BATCH)
    for epoch in range(epochs):
        interpreter.set_rate(state, 0.5 / (1 + epoch), BATCH)
        for number, rows in enumerate(batches(rng, SAMPLES, BATCH)):
            x = interpreter.encode(state, data.inputs[rows])
            t = interpreter.encode_target(state, data.targets[rows])
            if not epoch and not number:
                interpreter.calibrate(state, x, t)
            parts = range(0, BATCH, chunk)
            interpreter.step(state, [(x[i : i + chunk], t[i : i + chunk]) for i in parts])
    return state


def require_equal(first: TrainState, second: TrainState) -> None:
    assert first.values.keys() == second.values.keys()
    for name, values in first.values.items():
        assert np.array_equal(values, second.values[name]), name
    assert first.exponents == second.exponents
    assert first.counts == second.counts


def without_seconds(epochs: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in epochs]


def test_it_learns_as_the_interpreter_does(training: Training) -> None:
    seen = list[tuple[int, int, float, int]]()
    learned = trainer(training, progress=lambda *figures: seen.append(figures))
    history = learned.run()
    require_equal(learned.state, expected(training.network, 3))
    first, last = history.epochs[0], history.epochs[-1]
    assert last.loss < first.loss
    assert last.test_loss is not None
    assert first.test_loss is not None
    assert last.test_loss < first.test_loss
    assert last.accuracy is not None
    assert last.accuracy > 0.9
    assert last.test_accuracy is not None
    assert last.test_accuracy > 0.9
    assert [epoch.steps for epoch in history.epochs] == [SAMPLES // BATCH] * 3
    assert [epoch.rate for epoch in history.epochs] == [0.5, 0.25, 0.5 / 3]
    assert len({figures[3] for figures in seen}) == 1
    assert history.cycles == sum(figures[3] for figures in seen)
    assert last.step_cycles == seen[0][3]
    assert [figures[:2] for figures in seen] == [(i, 15) for i in range(1, 16)]
    assert [figures[2] for figures in seen] == history.losses
    assert history.stopped == ""


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_several_chunks(momentum: float) -> None:
    several = compile_training(network(momentum), CONFIG, batch=BATCH, chunk=BATCH // 4)
    learned = trainer(several, epochs=2)
    learned.run()
    require_equal(learned.state, expected(several.network, 2, BATCH // 4))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_on_a_simulator(training: Training, simulator: str) -> None:
    learned = trainer(training, simulator, epochs=1)
    history = learned.run()
    model = trainer(training, epochs=1)
    assert without_seconds(history.epochs) == without_seconds(model.run().epochs)
    require_equal(learned.state, model.state)


class Killed(BaseException):
    """Ends a run from within."""


def killer(step: int) -> Callable[..., None]:
    def progress(number: int, *_: object) -> None:
        if number == step:
            raise Killed

    return progress


@pytest.mark.parametrize(("killed", "again"), [(4, 3), (5, 3), (6, 6), (9, 9), (14, 13)])
def test_a_killed_run_goes_on(training: Training, tmp_path: Path, killed: int, again: int) -> None:
    """It is killed while a step is reported, before that step can be in a checkpoint."""
    path = tmp_path / "run.npz"
    options: dict[str, Any] = {"checkpoint": path, "checkpoint_steps": 3}
    with pytest.raises(Killed):
        trainer(training, progress=killer(killed), **options).run()
    numbers = list[int]()
    resumed = trainer(training, progress=lambda number, *_: numbers.append(number), **options)
    resumed.resume(path)
    history = resumed.run()
    whole = trainer(training)
    reference = whole.run()
    assert without_seconds(history.epochs) == without_seconds(reference.epochs)
    assert history.losses == reference.losses
    assert numbers == list(range(numbers[0], 16))
    assert numbers[0] <= again + 1
    require_equal(resumed.state, whole.state)
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_killed_run_drops_the_same(tmp_path: Path) -> None:
    """Between two steps of an epoch, with dropout."""
    rng = np.random.default_rng(1)
    builder = Builder("net", 4).dense(rng.normal(size=(4, 8)) / 2).relu().dropout(0.5)
    graph = builder.dense(rng.normal(size=(8, 3)) / 2).softmax().build()
    compiled = compile_training(
        differentiate(graph, Loss("cross-entropy"), Optimizer()), CONFIG, batch=BATCH
    )
    path = tmp_path / "run.npz"
    options: dict[str, Any] = {"checkpoint": path, "checkpoint_steps": 3, "epochs": 2}
    with pytest.raises(Killed):
        trainer(compiled, progress=killer(9), **options).run()
    resumed = trainer(compiled, **options)
    resumed.resume(path)
    assert resumed.state.steps in (6, 8)
    resumed.run()
    whole = trainer(compiled, epochs=2)
    whole.run()
    require_equal(resumed.state, whole.state)
    assert (resumed.state.seed, resumed.state.steps) == (SEED, 10)


@pytest.fixture(scope="module")
def saved(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run.npz"
    trainer(training, checkpoint=path, epochs=1).run()
    return path


def test_more_epochs(training: Training, saved: Path) -> None:
    resumed = trainer(training)
    resumed.resume(saved)
    assert len(resumed.run().epochs) == 3
    require_equal(resumed.state, expected(training.network, 3))


OTHERS: dict[str, Callable[[], Trainer]] = {
    "network": lambda: trainer(compile_training(network(hidden=5), CONFIG, batch=BATCH)),
    "optimizer": lambda: trainer(compile_training(network(momentum=0.25), CONFIG, batch=BATCH)),
    "configuration": lambda: trainer(
        compile_training(network(), replace(CONFIG, queue_depth=2), batch=BATCH)
    ),
    "batch": lambda: trainer(compile_training(network(), CONFIG, batch=BATCH // 2)),
    "seed": lambda: trainer(compile_training(network(), CONFIG, batch=BATCH), seed=SEED + 1),
    "data": lambda: trainer(compile_training(network(), CONFIG, batch=BATCH), data=clusters(4)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_training(saved: Path, what: str) -> None:
    with pytest.raises(InputError, match=f"checkpoint of another {what}: "):
        OTHERS[what]().resume(saved)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint(
    training: Training, saved: Path, tmp_path: Path, share: float
) -> None:
    data, path = saved.read_bytes(), tmp_path / "cut.npz"
    path.write_bytes(data[: int(share * len(data))])
    learned = trainer(training)
    before = learned.state.copy()
    with pytest.raises(InputError, match=r"cut\.npz: damaged"):
        learned.resume(path)
    require_equal(learned.state, before)


@pytest.mark.parametrize("seed", range(8))
def test_an_altered_checkpoint(training: Training, saved: Path, tmp_path: Path, seed: int) -> None:
    """It is refused, or what was altered did not count."""
    data, path = bytearray(saved.read_bytes()), tmp_path / "altered.npz"
    data[np.random.default_rng(seed).integers(len(data))] ^= 0x55
    path.write_bytes(data)
    learned = trainer(training)
    refused = ""
    try:
        learned.resume(path)
    except InputError as error:
        refused = str(error)
    if refused:
        assert "altered.npz: damaged" in refused
    else:
        require_equal(learned.state, expected(training.network, 1))


def test_no_checkpoint_there(training: Training, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        trainer(training).resume(tmp_path / "none.npz")


def test_accuracy_reached(training: Training) -> None:
    history = trainer(training, epochs=50, until=0.9).run()
    assert len(history.epochs) < 50
    accuracy = history.epochs[-1].test_accuracy
    assert accuracy is not None
    assert history.stopped == f"accuracy {accuracy:g} reached"


def test_no_better(training: Training) -> None:
    """With a rate that changes nothing, only the first loss is the lowest."""
    history = trainer(training, epochs=50, rates=lambda _: 2.0**-60, patience=2).run()
    assert len(history.epochs) == 3
    assert history.stopped == "no lower loss in 2 epochs"


def test_no_test_data(training: Training) -> None:
    data = replace(clusters(), test_inputs=None, test_targets=None)
    history = trainer(training, data=data, epochs=50, until=0.9).run()
    assert history.epochs[-1].test_loss is None
    assert history.epochs[-1].test_accuracy is None
    assert len(history.epochs) < 50


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 1e9])
def test_divergence(training: Training, monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    losses = iter([0.5, 1499.0, loss])
    monkeypatch.setattr("pulsarray.trainer.trainer.loss_value", lambda *_: np.array([next(losses)]))
    text = rf"diverged in step 3: loss {loss:g}, .* lower --learning-rate"
    with pytest.raises(CheckFailed, match=text.replace("+", r"\+")):
        trainer(training).run()


def test_overflows(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    names, step = iter([[], *[["a"]] * 3, ["b"], *[["a"]] * 99]), Learner.step
    monkeypatch.setattr(
        Learner,
        "step",
        lambda self, *data: replace(step(self, *data), overflows=next(names)),
    )
    learned = trainer(training, epochs=3, notable_overflows=2, patience_for_overflows=6)
    with pytest.raises(CheckFailed, match="a exceeded its shared scale in 7 steps in a row"):
        learned.run()
    noted = [(x.tensor, x.first, x.steps) for x in learned.history.overflows]
    assert noted == [("a", 2, 3), ("a", 6, 7)]


def test_what_is_refused(training: Training) -> None:
    with pytest.raises(InputError, match="epochs: must be at least 1, not 0"):
        trainer(training, epochs=0)
    few = replace(clusters(), inputs=clusters().inputs[:5], targets=clusters().targets[:5])
    with pytest.raises(InputError, match="batch: must be at most the 5 samples"):
        trainer(training, data=few)


def test_step_has_real_outputs(training: Training) -> None:
    """Probabilities, and the same before and without an update."""
    data = clusters()
    learned = trainer(training)
    learner = learned._learner
    before = learner.outputs(data.inputs[:BATCH])
    step = learner.step(data.inputs[:BATCH], data.targets[:BATCH])
    assert isinstance(step, Step)
    assert np.array_equal(before, step.outputs)
    assert np.allclose(step.outputs.sum(axis=1), 1, atol=1e-3)
    assert not np.array_equal(before, learner.outputs(data.inputs[:BATCH]))
