"""Quantization of every value of a network, from what it holds on calibration data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch

import numpy as np

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Floats, Value
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.passes.quantize.rules import rule_of
from pulsarray.compiler.passes.quantize.steps import Step
from pulsarray.compiler.reference.run import run_each
from pulsarray.errors import InputError

__all__ = ["Range", "around_zero", "constant_maps", "covering", "observe", "sums_of", "targets"]

Range = tuple[float, float]
LOW, HIGH = -128, 127

_CHUNK = 1 << 25
"""Elements of all values together that one pass over calibration samples may make."""
_LARGEST = float(np.finfo(np.float32).max)
"""Magnitude of a value whose code float32 can tell."""
_TINIEST = float(np.finfo(np.float32).tiny)
"""Scale at least."""
_FLAT = 1 / 8
"""Part of a result's code that a curve may change where all arguments get one code."""
_PLACES = 257
"""Places at which a curve is looked at, twice: over all of a range, and over what is left."""
_COARSER = 2.0
"""How much coarser codes a map with other readers may get from a result that it is part of."""


def covering(low: float, high: float) -> Affine8:
    """Codes that cover an interval and zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (HIGH - LOW)
    if scale < _TINIEST:
        return Affine8(1.0, 0)
    return Affine8(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))


def around_zero(low: float, high: float) -> Affine8:
    """Codes that cover an interval, of which code 0 is zero."""
    scale = max(-low, high) / HIGH
    return Affine8(scale if scale >= _TINIEST else 1.0, 0)


def sums_of(node: Node) -> str:
    """Name under which :func:`observe` gives the range of a normalization's sums of squares."""
    return f"{node.output} sums"


@singledispatch
def _sums(_op: Operator, _x: Array) -> Array | None:
    """Sums on the way to a result, of which the machine makes codes, too."""
    return None


@_sums.register
def _(op: LocalResponseNorm, x: Array) -> Array | None:
    return np.asarray(x**2 @ op.neighbours(x.shape[-1]))


def constant_maps(graph: Graph) -> list[Value]:
    """Constants that are combined with maps, element by element."""
    read = {value for node in graph.nodes for value in graph.operands_of(node)}
    return [value for value in graph.declared if value.role.is_constant and value in read]


def observe(graph: Graph, samples: Mapping[str, Floats]) -> dict[str, Range]:
    """Smallest and largest element of each map, for samples of each input by name.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    fixed = {value.name: value.array for value in constant_maps(graph)}
    ranges = {name: (float(array.min()), float(array.max())) for name, array in fixed.items()}
    sizes = (value.size for value in graph.values.values() if not value.role.is_constant)
    chunk = max(1, _CHUNK // sum(sizes))
    for start in range(0, min(map(len, samples.values())), chunk):
        part = {name: array[start : start + chunk] for name, array in samples.items()}
        for name, value in _seen(graph, part):
            low, high = float(value.min()), float(value.max())
            if not max(-low, high) <= _LARGEST:
                raise InputError(
                    f"{name}: calibration data makes values beyond {_LARGEST:.3g}, the largest of "
                    "float32, in which codes are computed"
                )
            known = ranges.get(name, (low, high))
            ranges[name] = min(low, known[0]), max(high, known[1])
    return ranges


def _seen(graph: Graph, samples: Mapping[str, Floats]) -> Iterator[tuple[str, Array]]:
    """Every value by name, and sums on the way to results that are made of it."""
    for name, value in run_each(graph, samples):
        yield name, value
        for node in graph.nodes:
            if name in node.inputs[:1] and (sums := _sums(node.op, value)) is not None:
                yield sums_of(node), sums


def arguments(step: Step, ranges: Mapping[str, Range]) -> Affine8:
    """Codes for what goes into a step's curve: of its range but for ends where the curve is flat.

    How flat is a matter of the results that come, not of those that the function has elsewhere.
    """
    low, high = ranges[step.raw]
    slack = np.inf
    for _ in range(2):
        places = np.linspace(low, high, _PLACES)
        values = step.activate(places)
        slack = min(slack, _FLAT * float(np.ptp(values)) / (HIGH - LOW))
        rising = np.flatnonzero(abs(values - values[0]) > slack)
        falling = np.flatnonzero(abs(values - values[-1]) > slack)
        if rising.size:
            low, high = float(places[rising[0] - 1]), float(places[falling[-1] + 1])
    return covering(low, high)


def targets(steps: Sequence[Step], graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Affine8]:
    """Quantization of each input and constant map of a network and of each of its steps' results.

    Maps that go side by side into one take its quantization where that costs little: where
    nothing else reads them, or their codes would get at most a little coarser.
    """
    uses = Counter(name for step in steps for name in step.inputs)
    uses.update(graph.outputs)
    wanted = _of_states(steps, graph, ranges)
    kept = {*wanted}
    for step in reversed(steps):
        result, rule = wanted.get(step.output), rule_of(step.node)
        for name in (step.sources[place] for place in rule.factors):
            wanted.setdefault(name, around_zero(*ranges[name]))
        if rule.joins:
            result = result or covering(*ranges[step.raw])
        elif not rule.inherits or result is None:
            continue
        for name in step.inputs:
            if name not in wanted and (uses[name] == 1 or _suits(result, ranges[name])):
                wanted[name] = result
    sources = [value.name for value in (*graph.entries, *constant_maps(graph))]
    known = {name: wanted.get(name) or covering(*ranges[name]) for name in sources}
    for step in steps:
        known[step.output] = wanted.get(step.output) or _own(step, ranges)
        rule = rule_of(step.node)
        if rule.inherits and not rule.joins and step.output not in kept:
            known[step.output] = known[step.sources[0]]
    return known


def _of_states(
    steps: Sequence[Step], graph: Graph, ranges: Mapping[str, Range]
) -> dict[str, Affine8]:
    """One quantization for each state and what is kept in it, which covers both."""
    factors = {step.sources[place] for step in steps for place in rule_of(step.node).factors}
    codes: dict[str, Affine8] = {}
    for pair in graph.states.items():
        (low, high), (least, most) = (ranges[name] for name in pair)
        made = around_zero if factors.intersection(pair) else covering
        codes |= dict.fromkeys(pair, made(min(low, least), max(high, most)))
    return codes


def _own(step: Step, ranges: Mapping[str, Range]) -> Affine8:
    """Quantization of a step's result if nothing asks for another.

    A function that is steep near an argument that never comes, such as 1/x at 0, gets codes for
    the results that do come.
    """
    if step.limits is not None:
        values = step.activate(np.array(ranges[step.raw]))
        return covering(float(values.min()), float(values.max()))
    values = step.activate(arguments(step, ranges).decode(np.arange(LOW, HIGH + 1)))
    possible = covering(float(values.min()), float(values.max()))
    likely = covering(*ranges.get(step.output, (float(values.min()), float(values.max()))))
    return likely if possible.scale > _COARSER * likely.scale else possible


def _suits(wanted: Affine8, needed: Range) -> bool:
    """Whether codes cover a range, and not much more coarsely than its own would."""
    low, high = wanted.decode([LOW, HIGH])
    slack = wanted.scale / 2
    covers = low - slack <= needed[0] and needed[1] <= high + slack
    return bool(covers and wanted.scale <= _COARSER * covering(*needed).scale)
