"""From a network or a plain product to a program: the compiler's public functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.arguments import instance, integer, integers
from pulsarray.compiler.ir.formats import Affine8, Integers
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps.compiling import compile_integer
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.products.search import EFFORT
from pulsarray.compiler.quantization.quantize_graph import quantize_graph
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program, pack

__all__ = ["compile_gemm", "compile_network", "disassemble"]

_HEADROOM = 6.0
"""Standard deviations of a product's sums that its codes cover."""


def compile_network(
    network: Graph,
    config: Config,
    *,
    batch: int = 1,
    calibration: npt.ArrayLike | None = None,
    name: str = "",
    effort: int = EFFORT,
) -> Program:
    """Compile a network, whatever operators it has; quantize it first if it is not yet.

    Parameters
    ----------
    network
        The network.
    config
        The machine.
    batch
        Samples that one run of the program works on.
    calibration
        Typical inputs, shape (samples, *input shape), of a network in real numbers.
    name
        Name of the program; the network's if empty.
    effort
        Instructions that the search for a fast program of dense layers may look at; 0 takes its
        first guess. Networks of feature maps are not searched.

    Raises
    ------
    InputError
        If something does not fit; the text names the place, the rule and the value.
    """
    instance(network, Graph, "network")
    _check_operands(config)
    if network.is_quantized and calibration is not None:
        raise InputError(f"{network.name}: is in int8 already; calibration data is not for it")
    graph = network if network.is_quantized else quantize_graph(network, calibration, config)
    return compile_integer(graph, config, batch=batch, name=name, effort=effort)


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
    _check_operands(config)
    m, k, n = integers((m, k, n), "gemm: M, K and N")
    if min(m, k, n) < 1:
        raise InputError(f"gemm: M, K and N must be at least 1, not {m}x{k}x{n}")
    seed = integer(seed, "gemm: seed", least=0)
    rng = np.random.default_rng(seed)
    room = ((1 << (config.acc_bits - 1)) - 1) // (128 * k)
    if room < 1:
        raise InputError(f"gemm: K = {k} is too large for sums of {config.acc_bits} bits")
    limit = min(127, room)
    left = rng.integers(-128, 128, (m, k), np.int8)
    right = rng.integers(-limit, limit + 1, (k, n), np.int8)
    deviation = sqrt(k) * float(np.std(np.arange(-128, 128))) * _deviation(limit)
    scale = _HEADROOM * deviation / 127
    multiplier, shift = fixed_point(1 / scale, config.scale_bits)
    codes = None if sums else Scale(np.array([multiplier]), np.array([shift]))
    parts = Parts()
    parts.input("x", (1, 1, k), Affine8(1.0))
    parts.map("y", (1, 1, n), Integers(32) if sums else Affine8(scale))
    op, laid, bias = (
        Convolution(Window((1, 1)), 1, codes),
        right.reshape(1, 1, k, n),
        np.zeros(n, np.int64),
    )
    parts.product("gemm", op, "x", laid, bias, "y", "gemm")
    graph = parts.graph(f"gemm:{m}x{k}x{n}", ("y",))
    program = compile_integer(graph, config, batch=m, effort=effort)
    source = program.tensor("x")
    data = pack(left, source, config)
    program.memory[source.address : source.address + data.size] = data
    notes: dict[str, object] = {"seed": seed, "sums": sums}
    if not sums:
        notes |= {"multiplier": multiplier, "shift": shift}
    return replace(program, notes=notes)


def disassemble(program: Program) -> Iterator[str]:
    """One line an instruction: index, layer, assembler text."""
    width = len(str(len(program.instructions)))
    for index, instruction in enumerate(program.instructions):
        layer = next((x.name for x in program.layers if x.first <= index < x.last), "")
        yield f"{index:{width}d}  {layer:<12s}  {instruction.text()}"


def _deviation(limit: int) -> float:
    return float(np.std(np.arange(-limit, limit + 1)))


def _check_operands(config: Config) -> None:
    instance(config, Config, "config")
    if config.operand_bits != 8:
        raise InputError(f"compiler: needs operand_bits = 8, not {config.operand_bits}")
