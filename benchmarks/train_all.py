"""Every built-in workload trained on a simulator, every run compared with the model.

``python benchmarks/train_all.py`` trains each on Verilator as long as its own settings say, beside
float64 with the same weights and order; ``--steps N`` stops each after about N steps. Networks of
feature maps take many minutes each, and are trained where they are named. Exit code 1 if RTL and
model differ in any run, or an accuracy is more than a point below float64's.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from pulsarray.compiler.training.data import TrainingData, batches
from pulsarray.compiler.training.float_reference import FloatNetwork
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


def shortened(workload: Workload, steps: int) -> tuple[TrainingData, int]:
    """Samples and epochs for about so many steps (0: all)."""
    data, epochs = workload.data(), workload.epochs
    if not steps:
        return data, epochs
    whole = max(1, len(data.inputs) // workload.batch)
    if whole <= steps:
        return data, max(1, min(epochs, steps // whole))
    count = steps * workload.batch
    return TrainingData(
        data.inputs[:count], data.targets[:count], data.test_inputs, data.test_targets
    ), 1


def judged(workload: Workload, outputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Mean loss, and the share of right answers (NaN for no classes)."""
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


def trained(workload: Workload, simulator: str, steps: int) -> tuple[list[str], bool]:
    """A row of the table, and whether all is well."""
    data, epochs = shortened(workload, steps)
    assert data.test_inputs is not None
    assert data.test_targets is not None
    config = workload.machine if workload.graph else CONFIG
    training = compile_training(workload.network(SEED), config, batch=workload.batch)
    options = Options(epochs=epochs, rates=lambda _: workload.learning_rate, seed=SEED)
    begin = time.perf_counter()
    with Device(simulator, check=True) as device:
        trainer = Trainer(training, device, data, options)
        try:
            history = trainer.run()
        except CheckFailed as error:
            return [workload.name, str(error)], False
        outputs = trainer.outputs(data.test_inputs)
    loss, share = judged(workload, outputs, data.test_targets)
    reference = float_result(workload, data, epochs).result(data.test_inputs)
    real_loss, real_share = judged(workload, reference, data.test_targets)
    cells = [
        workload.name, workload.loss.name, f"{len(history.losses):,}",
        f"{history.epochs[-1].step_cycles:,.0f}", f"{loss:.5f}", f"{real_loss:.5f}",
        _percent(share), _percent(real_share), f"{time.perf_counter() - begin:.0f}",
    ]  # fmt: skip
    return cells, not share < real_share - 0.01


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"


def main() -> int:
    """Train them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=SIMULATORS, default="verilator")
    parser.add_argument("--steps", type=int, default=0, help="about so many steps each; 0: all")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    console = Console(width=130)
    table = Table(title=f"Training on {options.on}, {SEED=}, every run compared with the model")
    for name in ("workload", "loss", "steps", "cycles a step", "test loss", "float64", "accuracy",
                 "float64", "s"):  # fmt: skip
        table.add_column(name, justify="right")
    good = True
    quick = [name for name, workload in WORKLOADS.items() if not workload.graph]
    for name in options.names or quick:
        cells, well = trained(WORKLOADS[name], options.on, options.steps)
        good &= well
        table.add_row(*cells)
        console.print("  ".join(cells), style=None if well else "red")
    console.print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
