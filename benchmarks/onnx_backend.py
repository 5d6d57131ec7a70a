"""The onnx package's own tests of the operators that are taken: right, wrong or refused.

``python -m benchmarks.onnx_backend`` prints a table by operator, ``... Concat Softmax`` every form
of these operators' tests. A test is ``right`` if one of its forms is: the imported network computes
in floating point what the test expects (1e-4), and compiled for ``base``, calibrated on the test's
own input, the model's result is within 5 % (relative rms) or 2 % of the span (inputs of more than
20,000 elements are judged in floating point alone). It is ``beyond int8``
if only the second fails; ``runtime`` if a form is not what the test expects, but what onnxruntime
computes; ``wrong`` if it is neither in floating point, ``unclear`` if one ends in anything but a
refusal that names its place. Exit 1 if one is wrong or unclear.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks.onnx_backend_cases import Array, Case, cases
from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.importers.onnx.operators import TAKEN
from pulsarray.compiler.importers.onnx.quantized import QUANTIZED
from pulsarray.compiler.interpreter import run_float
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.program import Program, unpack
from pulsarray.sim.device import run_model
from pulsarray.tensors import memory_with_inputs, real_values

CONFIG = PRESETS["base"]
VERDICTS = ("unclear", "wrong", "runtime", "right", "beyond int8", "refused")
"""Of a test the first that one of its forms has."""
RMS, SPAN, FLOAT = 0.05, 0.02, 1e-4
_LARGEST = 20_000


def attempt(case: Case, folder: Path) -> tuple[str, str]:
    """What comes of one form, and the figures or the reason."""
    path = folder / "test.onnx"
    onnx.save(case.model, path)
    try:
        network = import_onnx_any(path)
        if network.is_quantized:
            return judge(run(compiler.compile(network, CONFIG, batch=len(case.data)), case), case)
        computed = run_float(network, case.data.astype(np.float64))
        error = difference(computed, case.wanted, len(case.data))
        if error > FLOAT:
            as_runtime = difference(computed, by_runtime(case, path), len(case.data)) <= FLOAT
            text = f"off by {error:.2g} in floating point"
            return ("runtime", f"as onnxruntime, {text}") if as_runtime else ("wrong", text)
        if case.data.size > _LARGEST:
            return "right", "in floating point; too large to be run"
        program = compiler.compile(network, CONFIG, batch=len(case.data), calibration=case.data)
        verdict, text = judge(run(program, case), case)
        return "beyond int8" if verdict == "wrong" else verdict, text
    except InputError as error:
        text = str(error).removeprefix(f"{path}: ")
        return ("refused" if is_clear(text, case) else "unclear"), text
    except Exception as error:  # whatever a form provokes is a result
        return "unclear", f"{type(error).__name__}: {error}"


def is_clear(text: str, case: Case) -> bool:
    """Whether a refusal names a place: an operator, the input or the output."""
    names = [name for node in case.model.graph.node for name in (node.name, node.op_type) if name]
    return any(name in text for name in (*names, "input", "output", "operator"))


def by_runtime(case: Case, path: Path) -> Array:
    """What onnxruntime computes of a form."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: case.data})[0])


def samples_first(wanted: Array, samples: int, shape: tuple[int, ...]) -> Array:
    """What a test expects as a host gets it: of any shape but that, with its samples first."""
    if wanted.shape == shape:
        return wanted
    axes = [axis for axis, size in enumerate(wanted.shape) if axis and size == samples]
    moved = [np.moveaxis(wanted, axis, 0) for axis in axes]
    whole = [wanted[None]] if samples == 1 else []
    return next((array for array in [*whole, *moved] if array.shape == shape), wanted)


def difference(computed: Array, wanted: Array, samples: int) -> float:
    """The largest difference, relative to the largest value; infinite for another shape."""
    wanted = samples_first(wanted, samples, computed.shape)
    if computed.shape != wanted.shape:
        return float("inf")
    scale = max(float(np.abs(wanted).max()), 1.0)
    return float(np.abs(computed - wanted).max()) / scale


def run(program: Program, case: Case) -> Array:
    """Result of the golden model."""
    (source,), (result,) = program.with_role("input"), program.with_role("output")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npz"
        np.savez(path, **{source.name: case.data.astype(np.float64)})  # type: ignore[arg-type]
        memory = run_model(program, memory_with_inputs(program, path)).memory
    assert memory is not None
    return real_values(unpack(memory, result, CONFIG), result)


def judge(computed: Array, case: Case) -> tuple[str, str]:
    """Whether the machine's result is that of the test, within int8."""
    wanted = samples_first(case.wanted, len(case.data), computed.shape).astype(np.float64)
    if computed.shape != wanted.shape:
        return "wrong", f"shape {computed.shape}, not {wanted.shape}"
    errors, norm = computed - wanted, float(np.linalg.norm(wanted))
    rms = float(np.linalg.norm(errors)) / norm if norm else float(np.abs(errors).max())
    span = max(wanted.max(), 0.0) - min(wanted.min(), 0.0)
    most = float(np.abs(errors).max()) / span if span else float(np.abs(errors).max())
    good = rms <= RMS or most <= SPAN
    return "right" if good else "wrong", f"rms {rms:.4f}, largest {most:.4f} of the span"


def show(counts: Mapping[str, Counter[str]]) -> None:
    """The table by operator."""
    table = Table("operator", *VERDICTS[::-1])
    total: Counter[str] = Counter()
    for operator, verdicts in sorted(counts.items()):
        table.add_row(operator, *(str(verdicts[verdict] or "") for verdict in VERDICTS[::-1]))
        total += verdicts
    table.add_row("total", *(str(total[verdict]) for verdict in VERDICTS[::-1]), style="bold")
    Console().print(table)


def main(wanted: list[str]) -> int:
    """Try every form of every test."""
    operators = frozenset(wanted) or frozenset({*TAKEN, *QUANTIZED})
    judged: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(operators):
            if wanted and case.operator not in wanted:
                continue
            verdict, text = attempt(case, Path(folder))
            judged[case.operator, case.test].append((verdict, case.form, text))
            if wanted or verdict in ("wrong", "unclear"):
                print(f"{case.test} [{case.form}]: {verdict}: {text}", flush=True)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (operator, _), forms in judged.items():
        verdicts = [verdict for verdict, *_ in forms]
        counts[operator][next(v for v in VERDICTS if v in verdicts)] += 1
    show(counts)
    return int(any(c["wrong"] or c["unclear"] for c in counts.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
