"""Every built-in workload trained on a simulator, every run compared with the model.

``python benchmarks/train_all.py`` trains each on Verilator as long as its own settings say, beside
float64 with the same weights and order; ``--steps N`` stops each after about N steps. Networks of
feature maps take many minutes each, and are trained where they are named. ``--on interpreter``
computes the same integers without a machine, in a third of the model's time. Exit code 1 if RTL
and model differ in any run, or, of whole trainings, an accuracy is more than a point below
float64's or a loss ``--loss PERCENT`` above it.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from pulsarray.compiler.training.data import TrainingData, batches
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.losses import correct, loss_value
from pulsarray.compiler.training.train import compile_training
from pulsarray.config import PRESETS
from pulsarray.errors import CheckFailed
from pulsarray.sim.device import Device
from pulsarray.sim.toolchain import SIMULATORS
from pulsarray.trainer.setup import Options
from pulsarray.trainer.trainer import Trainer
from pulsarray.zoo.workloads import WORKLOADS, Workload

CONFIG = PRESETS["train-small"]
SEED = 0
INTERPRETER = "interpreter"
Rows = npt.NDArray[np.int64]


def shortened(workload: Workload, steps: int) -> tuple[TrainingData, int]:
    """Samples and epochs for about so many steps, and ten batches to test with (0: all)."""
    data, epochs = workload.data(), workload.epochs
    if not steps:
        return data, epochs
    assert data.test_inputs is not None
    assert data.test_targets is not None
    whole = max(1, len(data.inputs) // workload.batch)
    epochs = max(1, min(epochs, steps // whole))
    count, test = min(steps, whole) * workload.batch, 10 * workload.batch
    return TrainingData(
        data.inputs[:count], data.targets[:count], data.test_inputs[:test], data.test_targets[:test]
    ), epochs


def judged(workload: Workload, outputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Mean loss, and the share of right answers (NaN for no classes)."""
    pixels = len(outputs) * workload.network(SEED).judged
    outputs, targets = outputs.reshape(pixels, -1), targets.reshape(pixels, -1)
    right = correct(workload.loss, outputs, targets)
    share = float("nan") if right is None else float(right.mean())
    return float(loss_value(workload.loss, outputs, targets).mean()), share


def float_result(workload: Workload, data: TrainingData, epochs: int) -> FloatNetwork:
    """The same training in float64."""
    network, random = FloatNetwork(workload.network(SEED)), np.random.default_rng(SEED)
    for _ in range(epochs):
        for chosen in batches(random, len(data.inputs), workload.batch):
            network.step(data.inputs[chosen], data.targets[chosen], workload.learning_rate)
    return network


@dataclass(frozen=True)
class Row:
    """What came of a training: test loss, share of right answers, steps, and cycles of one."""

    loss: float
    share: float
    steps: int
    cycles: str = ""


def interpreted(workload: Workload, data: TrainingData, epochs: int) -> Row:
    """Training by the interpreter."""
    assert data.test_inputs is not None
    interpreter = TrainInterpreter(workload.network(SEED), workload.machine.table_segments)
    assert data.test_targets is not None
    inputs = np.concatenate([data.inputs, data.test_inputs])
    targets = np.concatenate([data.targets, data.test_targets])
    rate, batch = workload.learning_rate, workload.batch
    state = interpreter.initial(inputs, targets, learning_rate=rate, batch=batch, seed=SEED)

    def encoded(rows: Rows) -> tuple[Rows, Rows]:
        x = interpreter.encode(state, data.inputs[rows])
        return x, interpreter.encode_target(state, data.targets[rows])

    random, steps = np.random.default_rng(SEED), 0
    for _ in range(epochs):
        for chosen in batches(random, len(data.inputs), batch):
            if not steps:
                interpreter.calibrate(state, *encoded(chosen))
            interpreter.step(state, [encoded(chosen)])
            steps += 1
    parts = np.array_split(data.test_inputs, max(1, len(data.test_inputs) // batch))
    answers = [interpreter.outputs(state, interpreter.encode(state, part)) for part in parts]
    return Row(*judged(workload, np.concatenate(answers), data.test_targets), steps)


def on_device(workload: Workload, data: TrainingData, epochs: int, simulator: str) -> Row:
    """Training on a machine, which is compared with the model in every run."""
    config = workload.machine if workload.graph else CONFIG
    training = compile_training(workload.network(SEED), config, batch=workload.batch)
    options = Options(epochs=epochs, rates=lambda _: workload.learning_rate, seed=SEED)
    with Device(simulator, check=True) as device:
        history = Trainer(training, device, data, options).run()
    last = history.epochs[-1]
    assert last.test_loss is not None
    share = float("nan") if last.test_accuracy is None else last.test_accuracy
    return Row(last.test_loss, share, len(history.losses), f"{last.step_cycles:,.0f}")


def trained(workload: Workload, place: str, steps: int, most: float) -> tuple[list[str], bool]:
    """A row of the table, and whether all is well: a loss may be ``most`` times float64's."""
    data, epochs = shortened(workload, steps)
    assert data.test_inputs is not None
    assert data.test_targets is not None
    begin = time.perf_counter()
    try:
        if place == INTERPRETER:
            row = interpreted(workload, data, epochs)
        else:
            row = on_device(workload, data, epochs, place)
    except CheckFailed as error:
        return [workload.name, str(error)], False
    reference = float_result(workload, data, epochs).result(data.test_inputs)
    real_loss, real_share = judged(workload, reference, data.test_targets)
    cells = [
        workload.name, workload.loss.name, f"{row.steps:,}", row.cycles,
        f"{row.loss:.5f}", f"{real_loss:.5f}",
        _percent(row.share), _percent(real_share), f"{time.perf_counter() - begin:.0f}",
    ]  # fmt: skip
    return cells, bool(steps) or not (row.share < real_share - 0.01 or row.loss > most * real_loss)


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"


def main() -> int:
    """Train them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=(INTERPRETER, *SIMULATORS), default="verilator")
    parser.add_argument("--steps", type=int, default=0, help="about so many steps each; 0: all")
    parser.add_argument("--loss", type=float, default=np.inf, help="most percent above float64's")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    console = Console(width=130)
    beside = "no machine" if options.on == INTERPRETER else "every run compared with the model"
    table = Table(title=f"Training on {options.on}, {SEED=}, {beside}")
    for name in ("workload", "loss", "steps", "cycles a step", "test loss", "float64", "accuracy",
                 "float64", "s"):  # fmt: skip
        table.add_column(name, justify="right")
    good = True
    quick = [name for name, workload in WORKLOADS.items() if not workload.graph]
    for name in options.names or quick:
        cells, well = trained(WORKLOADS[name], options.on, options.steps, 1 + options.loss / 100)
        good &= well
        table.add_row(*cells)
        console.print("  ".join(cells), style=None if well else "red")
    console.print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
