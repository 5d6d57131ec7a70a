"""Cycles of training steps: against the forward pass, by phase, and how busy the array is.

``python -m benchmarks.steps mnist-transformer:8`` prints them for a workload and a batch (its own
if none is named); ``bert-layer:1:128:768:12:3072`` for an encoder layer with plain gradient steps:
batch, tokens, channels, heads, channels between; a dense layer gives two answers a token.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.training import StepCost
from pulsarray.compiler.attention import Projections, attention, tokenwise
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import load_config
from pulsarray.model.timing import simulate_timing
from pulsarray.zoo.workloads import workload

BERT = "bert-layer"
_TABLES = ["tables=5"]


def bert_layer(tokens: int, width: int, heads: int, hidden: int) -> Graph:
    """One layer of Devlin et al. (2019) with random weights."""
    random = np.random.default_rng(0)

    def normal(rows: int, columns: int) -> Floats:
        return random.normal(0, rows**-0.5, (rows, columns))

    builder = Builder(BERT, (1, tokens, width))
    weights = Projections(*(normal(width, width) for _ in range(4)))
    attention(builder, weights, heads, name="attention")
    builder.add("input", "add1").layer_norm(np.ones(width), np.zeros(width), name="norm1")
    tokenwise(builder, normal(width, hidden), "fc1")
    builder.gelu("gelu")
    tokenwise(builder, normal(hidden, width), "fc2")
    builder.add("norm1", "add2").layer_norm(np.ones(width), np.zeros(width), name="norm2")
    tokenwise(builder, normal(width, 2), "answers")
    return builder.build()


def compiled(text: str) -> Training:
    """The programs of ``NAME:NUMBER:...``."""
    name, *numbers = text.split(":")
    if name == BERT:
        batch, *sizes = map(int, numbers)
        network = differentiate(bert_layer(*sizes), Loss("mse"), Optimizer())
        return compile_training(network, load_config("train", _TABLES), batch=batch)
    task = workload(name)
    batch = int(numbers[0]) if numbers else task.batch
    return compile_training(task.network(0), task.machine, batch=batch)


def main() -> int:
    """Print what each step costs."""
    for text in sys.argv[1:]:
        training = compiled(text)
        forward = simulate_timing(training.forward).cycles * training.chunks
        if training.step is None:
            print(f"{text}: in chunks of {training.chunk}; forward {forward:,} cycles")
            continue
        cost = StepCost(training.step, simulate_timing(training.step), forward)
        cycles = cost.result.cycles
        print(f"{text}: {cycles:,} cycles, {cycles / forward:.2f} times the forward pass "
              f"({forward:,}); array busy {cost.busy:.1%} from first to last pass")  # fmt: skip
        print(f"  phases: {cost.phases}; utilization: {cost.products}")
        if training.spilled:
            print(f"  by way of memory: {len(training.spilled)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
