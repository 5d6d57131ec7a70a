"""Quantization of every value of a network, from what it holds on calibration data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pulsarray.compiler.float_graph import run_graph
from pulsarray.compiler.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.quantization.fuse import Step
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.spatial import Concat, LocalResponseNorm, MaxPool, Shuffle
from pulsarray.errors import InputError

__all__ = ["Range", "covering", "observe", "sums_of", "targets"]

Range = tuple[float, float]
LOW, HIGH = -128, 127

_CHUNK = 1 << 25
"""Elements of all values together that one pass over calibration samples may make."""
_LARGEST = float(np.finfo(np.float32).max)
"""Magnitude of a value whose code float32 can tell."""
_COARSER = 2.0
"""How much coarser codes a map with other readers may get from a result that it is part of."""
_CURVES = {"sigmoid": 8.0, "tanh": 4.0}
"""Beyond these arguments a curve is flat to within half a code."""


def covering(low: float, high: float) -> Quantization:
    """Codes that cover an interval and zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (HIGH - LOW)
    if scale < np.finfo(np.float32).tiny:
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))


def sums_of(node: LocalResponseNorm) -> str:
    """Name under which :func:`observe` gives the range of a normalization's sums of squares."""
    return f"{node.output} sums"


def observe(graph: Graph, samples: Floats) -> dict[str, Range]:
    """Smallest and largest element of each value.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    ranges: dict[str, Range] = {}
    chunk = max(1, _CHUNK // sum(value.size for value in graph.values))
    for start in range(0, len(samples), chunk):
        values = run_graph(graph, samples[start : start + chunk])
        for node in graph.nodes:
            if isinstance(node, LocalResponseNorm):
                given = values[node.input]
                values[sums_of(node)] = given**2 @ node.neighbours(given.shape[-1])
        for name, value in values.items():
            low, high = float(value.min()), float(value.max())
            if not max(-low, high) <= _LARGEST:
                raise InputError(
                    f"{name}: calibration data makes values beyond {_LARGEST:.3g}, the largest of "
                    "float32, in which codes are computed"
                )
            known = ranges.get(name, (low, high))
            ranges[name] = min(low, known[0]), max(high, known[1])
    return ranges


def arguments(step: Step, ranges: Mapping[str, Range]) -> Quantization:
    """Codes for what goes into a step's curve."""
    low, high = ranges[step.raw]
    bound = _CURVES.get(step.functions[0].function, np.inf)
    return covering(max(low, -bound), min(high, bound))


def targets(
    steps: Sequence[Step], source: str, ranges: Mapping[str, Range]
) -> dict[str, Quantization]:
    """Quantization of the input and of each step's result.

    Maps that go side by side into one take its quantization where that costs little: where
    nothing else reads them, or their codes would get at most a little coarser.
    """
    uses = Counter(name for step in steps for name in step.inputs)
    wanted: dict[str, Quantization] = {}
    for step in reversed(steps):
        result = wanted.get(step.output)
        if isinstance(step.node, Concat):
            result = result or covering(*ranges[step.raw])
        elif not isinstance(step.node, MaxPool | Shuffle) or result is None:
            continue
        for name in step.inputs:
            if name not in wanted and (uses[name] == 1 or _suits(result, ranges[name])):
                wanted[name] = result
    known = {source: wanted.get(source) or covering(*ranges[source])}
    for step in steps:
        known[step.output] = wanted.get(step.output) or _own(step, ranges)
        if isinstance(step.node, MaxPool | Shuffle):
            known[step.output] = known[step.node.input]
    return known


def _own(step: Step, ranges: Mapping[str, Range]) -> Quantization:
    """Quantization of a step's result if nothing asks for another."""
    if step.limits is None:
        values = step.activate(arguments(step, ranges).decode(np.arange(LOW, HIGH + 1)))
    else:
        values = step.activate(np.array(ranges[step.raw]))
    return covering(float(values.min()), float(values.max()))


def _suits(wanted: Quantization, needed: Range) -> bool:
    """Whether codes cover a range, and not much more coarsely than its own would."""
    low, high = wanted.decode([LOW, HIGH])
    slack = wanted.scale / 2
    covers = low - slack <= needed[0] and needed[1] <= high + slack
    return bool(covers and wanted.scale <= _COARSER * covering(*needed).scale)
