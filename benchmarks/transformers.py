"""int8 transformers of TensorFlow Lite files: every tensor against LiteRT's reference kernels.

``python benchmarks/transformers.py FILE.tflite ... --inputs 20`` runs random inputs through LiteRT
and through the definition in integers, and compares every tensor that both know; ``--model 1`` also
compiles each file for ``base`` and compares the functional model's result and prints its cycles,
``--verilator`` one run of the RTL with the model. Exit 1 on a difference.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from dataclasses import replace
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
from pulsarray.program import Program, unpack
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_model, simulate
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


def with_codes(program: Program, codes: Codes) -> Program:
    """A program with an input."""
    return replace(program, memory=with_inputs(program, codes))


def judge(path: Path, inputs: int, models: int, *, rtl: bool) -> int:
    """Compare one file; how many elements differ."""
    graph, runner, rng = import_tflite(path), interpreter(path), np.random.default_rng(0)
    machine = machine_part(graph)
    draws = [rng.integers(-128, 128, (1, *graph.input.shape)) for _ in range(inputs)]
    counts = [differing(machine, tensors(runner, codes), codes) for codes in draws]
    total, wrong = sum(elements for elements, _ in counts), sum(bad for _, bad in counts)
    print(f"{path.name}: {inputs} inputs, {wrong} of {total:,} elements differ from LiteRT's")
    if not (models or rtl):
        return wrong
    program = compiler.compile(graph, PRESETS["base"])
    for codes in draws[: max(models, 1)]:
        made = run_model(with_codes(program, codes))
        assert made.memory is not None
        result = unpack(made.memory, program.with_role("output")[0], program.config)
        defined = run(machine, codes)[machine.outputs[0]]
        wrong += (more := int(np.count_nonzero(result.ravel() != defined.ravel())))
        print(f"{path.name}: model on base, {made.cycles:,} cycles, {more} elements differ")
    if rtl:
        whole = with_codes(program, draws[0])
        texts = compare(run_model(whole), simulate(whole, "verilator"), whole)
        print(f"{path.name}: Verilator, {len(texts)} differences from the model")
        wrong += len(texts)
    return wrong


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--inputs", type=int, default=20, help="random inputs")
    parser.add_argument("--model", type=int, default=0, help="of them on the model")
    parser.add_argument("--verilator", action="store_true", help="one of them on the RTL")
    options = parser.parse_args()
    wrong = [judge(f, options.inputs, options.model, rtl=options.verilator) for f in options.files]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
