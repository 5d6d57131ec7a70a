"""Depths of the machine's pipelines: constants that follow from the configuration.

docs/machine.md names them; RTL, model, compiler and reports take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pulsarray.config import Config

__all__ = [
    "VectorStages",
    "end_cycles",
    "scale_cycles",
    "signal_cycles",
    "sum_cycles",
    "vector_distance",
    "vector_latency",
    "vector_stages",
]


@dataclass(frozen=True)
class VectorStages:
    """What the vector unit does to a word, in cycles after its issue.

    Two steps in one cycle have no register between them; each later one has a register for each
    cycle before it.

    Parameters
    ----------
    select
        The sources are chosen among what the banks gave.
    operands
        Zero points and the bias make A and B of them.
    factor, square, slope
        B becomes what A is multiplied by: cut to an operand, multiplied by itself or its opposite
        for a derivative, and that rounded.
    operate, saturate
        The first operation, and its saturation.
    choose
        Multiplier and shift, by the sign of the result.
    multiply, total, residual
        The product with the multiplier in parts, their sum, and the second source's product added
        to it; without multipliers nothing is done there.
    round, window, increment
        The number is shifted, and rounded: what comes before the shift, the shift, what follows.
    after
        The second source is added to what was rounded.
    finish
        Activation.
    look_up, found
        A table is asked, and answers.
    reduce, gather, result
        The first level of the reduction over the lanes; where a word takes several cycles, what
        they give is put together; the result of all.
    """

    select: int
    operands: int
    factor: int
    square: int
    slope: int
    operate: int
    saturate: int
    choose: int
    multiply: int
    total: int
    residual: int
    round: int
    window: int
    increment: int
    after: int
    finish: int
    look_up: int
    found: int
    reduce: int
    gather: int
    result: int


@cache
def vector_stages(config: Config) -> VectorStages:
    """The stages of a machine's vector unit."""
    return _many_stages(config) if config.fast_clock else _few_stages(config)


def _few_stages(config: Config) -> VectorStages:
    """Eight cycles to the write: several steps in each."""
    rounding = 5 if config.scale_bits else 4
    early = {"select": 1, "operands": 1, "operate": 3, "saturate": 3}
    factor = dict.fromkeys(("factor", "square", "slope"), 2)
    scale = dict.fromkeys(("choose", "multiply", "total", "residual"), 4)
    rounded = dict.fromkeys(("round", "window", "increment"), rounding)
    finish = dict.fromkeys(("after", "finish", "look_up"), rounding + 1)
    late = {"found": rounding + 2, "reduce": 7, "gather": 7, "result": 7}
    return VectorStages(**early, **factor, **scale, **rounded, **finish, **late)


def _many_stages(config: Config) -> VectorStages:
    """A cycle for each step, and for each level of the reduction's tree."""
    operate = 6 if config.vector_multiply else 3
    rounding = operate + (5 if config.scale_bits else 2)
    after = rounding + 3
    finish = after + config.training
    found = finish + (2 if config.tables else 0)
    early = {"select": 1, "operands": 2, "operate": operate, "saturate": operate + 1}
    factor = dict(zip(("factor", "square", "slope"), range(3, 6), strict=True))
    if not config.vector_multiply:
        factor = dict.fromkeys(factor, operate)
    scale = {"choose": operate + 1, "multiply": operate + 2}
    scale |= {"total": operate + 3, "residual": operate + 4}
    rounded = {"round": rounding, "window": rounding + 1, "increment": rounding + 2}
    late = {"after": after, "finish": finish, "look_up": max(finish, found - 1), "found": found}
    gather = found + 1 + (config.lanes - 1).bit_length()
    late |= {"reduce": found + 1, "gather": gather, "result": gather + (config.word_cycles > 1)}
    return VectorStages(**early, **factor, **scale, **rounded, **late)


def vector_latency(config: Config) -> int:
    """Cycles from the last issue of a word in the vector unit to its write."""
    return vector_stages(config).result + 1


def vector_distance(config: Config) -> int:
    """Words that a word is written later than it is issued, of those that follow at once."""
    return -(-vector_latency(config) // config.word_cycles)


def scale_cycles(config: Config) -> int:
    """Cycles for which SCALE keeps VECTOR's front: until every word before it is written."""
    return vector_latency(config) + 1


def sum_cycles(config: Config) -> int:
    """Cycles from the read of a word that STREAM does not transpose to the write of its sums."""
    return 2 * config.dim + 3 + 2 * config.fast_clock


def signal_cycles(config: Config) -> int:
    """Cycles from the completion of an instruction to the counts of what it signals."""
    return 1 + config.fast_clock


def end_cycles(config: Config) -> int:
    """Cycles from the last event of a run to its end: an error of that cycle must be known."""
    return 2 + 2 * config.fast_clock
