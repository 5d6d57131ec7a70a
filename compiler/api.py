"""From a network or a plain product to a program: the compiler's public functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Graph
from pulsarray.compiler.lower import is_dense_chain
from pulsarray.compiler.machine.assemble import Assembly
from pulsarray.compiler.machine.check import check
from pulsarray.compiler.machine.layout import Layout, total_bytes
from pulsarray.compiler.maps.integer import fixed_point
from pulsarray.compiler.maps.integer_api import compile_integer
from pulsarray.compiler.products.place import place
from pulsarray.compiler.products.product import Product, Requantize
from pulsarray.compiler.products.search import EFFORT, search
from pulsarray.compiler.quantization.quantize import (
    QuantizedLayer,
    QuantizedNetwork,
    quantize,
)
from pulsarray.compiler.quantization.quantize_graph import quantize_graph
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Layer, Program

__all__ = ["compile_gemm", "compile_network", "compile_quantized", "disassemble"]

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
    """Quantize and compile a network, whatever operators it has.

    Parameters
    ----------
    network
        The network.
    config
        The machine.
    batch
        Samples that one run of the program works on.
    calibration
        Typical inputs, shape (samples, *input shape).
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
    _check_operands(config)
    if is_dense_chain(network):
        quantized = quantize(network, calibration, config)
        return compile_quantized(quantized, config, batch=batch, name=name, effort=effort)
    maps = quantize_graph(network, calibration, config)
    return compile_integer(maps, config, batch=batch, name=name)


def compile_quantized(
    network: QuantizedNetwork,
    config: Config,
    *,
    batch: int = 1,
    name: str = "",
    effort: int = EFFORT,
) -> Program:
    """Compile a network that has been quantized for this machine; see :func:`compile_network`.

    Raises
    ------
    InputError
        If something does not fit.
    """
    _check_operands(config)
    if batch < 1:
        raise InputError(f"batch: must be at least 1, not {batch}")
    if not config.tables and (curves := [x.name for x in network.layers if x.table is not None]):
        raise InputError(
            f"{', '.join(curves)}: sigmoid and tanh need tables, config has tables = 0"
        )
    layout = Layout(config)
    products = list(place(network, config, batch, layout))
    notes: dict[str, object] = {
        "quantization": "int8, symmetric weights per column, activations per tensor",
        "calibration_samples": network.samples,
        "layers": [_facts(layer) for layer in network.layers],
    }
    assembly = search(products, config, layout.code_address, effort)
    return _finish(products, assembly, layout, name or network.name, batch, notes)


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
    if min(m, k, n) < 1:
        raise InputError(f"gemm: M, K and N must be at least 1, not {m}x{k}x{n}")
    rng = np.random.default_rng(seed)
    room = ((1 << (config.acc_bits - 1)) - 1) // (128 * k)
    if room < 1:
        raise InputError(f"gemm: K = {k} is too large for sums of {config.acc_bits} bits")
    limit = min(127, room)
    layout = Layout(config)
    left = rng.integers(-128, 128, (m, k), np.int8)
    right = rng.integers(-limit, limit + 1, (k, n), np.int8)
    source = layout.add("x", "input", m, k, values=left)
    weights = layout.add("w", "weight", k, n, values=right)
    deviation = sqrt(k) * float(np.std(np.arange(-128, 128))) * _deviation(limit)
    scale = _HEADROOM * deviation / 127
    multiplier, shift = fixed_point(1 / scale, config.scale_bits)
    result = layout.add(
        "y", "output", m, n, element="sum" if sums else "code", scale=1.0 if sums else scale
    )
    requantize = Requantize(per_lane=False, multiplier=multiplier, shift=shift)
    product = Product(
        name="gemm",
        kind="gemm",
        m=m,
        k=k,
        n=n,
        source=source,
        weights=weights,
        result=result,
        requantize=None if sums else requantize,
    )
    notes: dict[str, object] = {"seed": seed, "sums": sums}
    if not sums:
        notes |= {"multiplier": multiplier, "shift": shift}
    assembly = search([product], config, layout.code_address, effort)
    return _finish([product], assembly, layout, f"gemm:{m}x{k}x{n}", m, notes)


def disassemble(program: Program) -> Iterator[str]:
    """One line an instruction: index, layer, assembler text."""
    width = len(str(len(program.instructions)))
    for index, instruction in enumerate(program.instructions):
        layer = next((x.name for x in program.layers if x.first <= index < x.last), "")
        yield f"{index:{width}d}  {layer:<12s}  {instruction.text()}"


def _deviation(limit: int) -> float:
    return float(np.std(np.arange(-limit, limit + 1)))


def _check_operands(config: Config) -> None:
    if config.operand_bits != 8:
        raise InputError(f"compiler: needs operand_bits = 8, not {config.operand_bits}")


def _facts(layer: QuantizedLayer) -> dict[str, object]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "input": asdict(layer.source),
        "output": asdict(layer.target),
        "weight_scale_min": float(layer.weight_scale.min()),
        "weight_scale_max": float(layer.weight_scale.max()),
        "table": layer.table is not None,
    }


def _finish(
    products: Sequence[Product],
    assembly: Assembly,
    layout: Layout,
    name: str,
    batch: int,
    notes: dict[str, object],
) -> Program:
    config = layout.config
    ranges = assembly.boundaries(len(products))
    program = Program(
        config=config,
        code=assembly.code,
        code_address=layout.code_address,
        memory=layout.image(assembly.code),
        tensors=layout.tensors,
        layers=[
            Layer(
                name=product.name,
                kind=product.kind,
                first=first,
                last=last,
                m=product.m,
                k=product.k,
                n=product.n,
                read_bytes=total_bytes(
                    (product.source, product.weights, product.parameters, product.table), config
                ),
                write_bytes=total_bytes((product.result,), config),
            )
            for product, (first, last) in zip(products, ranges, strict=True)
        ],
        network=name,
        batch=batch,
        notes=notes,
    )
    check(program)
    return program
