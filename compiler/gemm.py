"""Plain products of random matrices, to measure machines by."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.api import compile  # noqa: A004
from pulsarray.compiler.arguments import integer, integers
from pulsarray.compiler.ir.formats import Affine8, Integers
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.products.search import EFFORT
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program, pack

__all__ = ["compile_gemm"]

Codes = npt.NDArray[np.int8]

_HEADROOM = 6.0
"""Standard deviations of a product's sums that its codes cover."""


def compile_gemm(
    m: int,
    k: int,
    n: int,
    config: Config,
    *,
    sums: bool = False,
    seed: int = 0,
    effort: int = EFFORT,
) -> Program:
    """Compile X (M x K) times W (K x N) on random int8 operands, which are in the memory image.

    Parameters
    ----------
    m, k, n
        Sizes, at least 1.
    config
        The machine.
    sums
        Store the sums themselves instead of requantizing them to int8.
    seed
        Seed of the operands.
    effort
        Instructions that the search for a fast program may look at; 0 takes its first guess.

    Raises
    ------
    InputError
        If a size is below 1, or the sums do not fit ``acc_bits``.
    """
    m, k, n = integers((m, k, n), "gemm: M, K and N")
    if min(m, k, n) < 1:
        raise InputError(f"gemm: M, K and N must be at least 1, not {m}x{k}x{n}")
    seed = integer(seed, "gemm: seed", least=0)
    rng, limit = np.random.default_rng(seed), _limit(k, config)
    left = rng.integers(-128, 128, (m, k), np.int8)
    right = rng.integers(-limit, limit + 1, (k, n), np.int8)
    deviation = sqrt(k) * _deviation(-128, 127) * _deviation(-limit, limit)
    unit = _HEADROOM * deviation / 127
    scale = Scale.of_ratios([1 / unit], config.scale_bits)
    graph = _product(f"gemm:{m}x{k}x{n}", right, None if sums else scale, unit)
    program = compile(graph, config, batch=m, effort=effort)
    source = program.tensor("x")
    data = pack(left, source, config)
    program.memory[source.address : source.address + data.size] = data
    notes: dict[str, object] = {"seed": seed, "sums": sums}
    if not sums:
        notes |= {"multiplier": int(scale.multiplier[0]), "shift": int(scale.shift[0])}
    return replace(program, notes=notes)


def _limit(depth: int, config: Config) -> int:
    """The largest weight of which no sum of so many products overflows."""
    room = ((1 << (config.acc_bits - 1)) - 1) // (128 * depth)
    if room < 1:
        raise InputError(f"gemm: K = {depth} is too large for sums of {config.acc_bits} bits")
    return min(127, room)


def _product(name: str, weight: Codes, scale: Scale | None, unit: float) -> Graph:
    """A product of vectors x with a matrix; its sums without a scale, else codes of a unit."""
    parts, (k, n) = Parts(), weight.shape
    parts.input("x", (1, 1, k), Affine8(1.0))
    parts.map("y", (1, 1, n), Integers(32) if scale is None else Affine8(unit))
    op, bias = Convolution(Window((1, 1)), 1, scale), np.zeros(n, np.int64)
    parts.product("gemm", op, "x", weight.reshape(1, 1, k, n), bias, "y", "gemm")
    return parts.graph(name, ("y",))


def _deviation(low: int, high: int) -> float:
    return float(np.std(np.arange(low, high + 1)))
