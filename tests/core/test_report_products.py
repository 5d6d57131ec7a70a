"""How busy the array is in each product: shares add up to the time between first and last word."""

from __future__ import annotations

from pulsarray.compiler.training.train import compile_training
from pulsarray.config import PRESETS
from pulsarray.isa import Opcode
from pulsarray.model.timing import simulate_timing
from pulsarray.report.events import stream_end
from pulsarray.report.products import PRODUCTS, product_shares
from pulsarray.zoo.workloads import workload


def test_shares_cover_the_arrays_time() -> None:
    task = workload("mnist-mlp")
    step = compile_training(task.network(0), PRESETS["train"], batch=16).step
    assert step is not None
    result = simulate_timing(step)
    shares = product_shares(step, result.events)
    assert tuple(shares) == PRODUCTS
    assert sum(share.busy for share in shares.values()) == result.counters["stream_busy"]
    ops = [(n, i) for n, i in enumerate(step.instructions) if i.op is Opcode.STREAM]
    last, first = ops[-1], ops[0][0]
    end = stream_end(last[1], int(result.events[last[0], 3]), step.config)
    total = sum(share.cycles for share in shares.values())
    assert total == end - int(result.events[first, 2])
    assert all(0 < share.utilization <= 1 for share in shares.values())
