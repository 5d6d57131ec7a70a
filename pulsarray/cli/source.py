"""From the NETWORK argument to a compiled program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pulsarray.compiler.graph import Graph

__all__ = ["compile_source"]

MEMORY_BYTES = 1 << 32
"""Bytes that 32-bit addresses reach."""


def compile_source(
    source: str,
    config: Config,
    *,
    batch: int | None,
    calibrate: Path | None,
    sums: bool,
    seed: int | None,
) -> Program:
    """Compile what NETWORK names: ``gemm:MxKxN``, an ONNX file, or a built-in network.

    Raises
    ------
    InputError
        If there is no such network, it cannot be compiled, or an option does not apply to it.
    """
    from pulsarray.compiler.networks import parse_gemm

    sizes = parse_gemm(source)
    if sizes is not None:
        if batch is not None or calibrate is not None:
            raise InputError("--batch, --calibrate: not for gemm, whose rows are M")
        return _compile_gemm(sizes, config, sums=sums, seed=seed or 0)
    if sums or seed is not None:
        raise InputError(f"--sums, --seed: only for gemm:MxKxN, not for {source}")
    return _compile_network(source, config, batch or 1, calibrate)


def _compile_gemm(sizes: tuple[int, int, int], config: Config, *, sums: bool, seed: int) -> Program:
    from pulsarray.compiler.api import compile_gemm

    m, k, n = sizes
    needed = m * k + k * n + m * n * (4 if sums else 1)
    if needed > MEMORY_BYTES:
        raise InputError(
            f"gemm:{m}x{k}x{n}: needs {needed:,} bytes of memory, addresses reach {MEMORY_BYTES:,}"
        )
    return compile_gemm(m, k, n, config, sums=sums, seed=seed)


def _compile_network(source: str, config: Config, batch: int, calibrate: Path | None) -> Program:
    from pulsarray.compiler.api import compile_network
    from pulsarray.compiler.networks import BUILT_IN, built_in

    if source in BUILT_IN:
        graph, samples = built_in(source)
        if calibrate is not None:
            samples = _samples(graph, calibrate)
        return compile_network(graph, config, batch=batch, calibration=samples, name=source)
    path = Path(source)
    if path.suffix != ".onnx":
        known = ", ".join(BUILT_IN)
        raise InputError(f"NETWORK: must be an .onnx file, gemm:MxKxN or {known}, not {source!r}")
    from pulsarray.compiler.onnx_import import import_onnx

    graph = import_onnx(path)
    if calibrate is None:
        given = graph.input
        raise InputError(
            f"{path}: quantization needs samples of the input {given.name!r}, an array of shape "
            f"(samples, {', '.join(map(str, given.shape))}): --calibrate X.npz"
        )
    samples = _samples(graph, calibrate)
    return compile_network(graph, config, batch=batch, calibration=samples, name=path.stem)


def _samples(graph: Graph, path: Path) -> npt.NDArray[np.float64]:
    """The one array of an ``.npz`` file, as samples of the network's input."""
    from pulsarray.arrays import load_arrays
    from pulsarray.compiler.interpreter import float_inputs

    arrays = load_arrays(path)
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise InputError(f"{path}: must hold one array of samples, not {len(arrays)} ({names})")
    return float_inputs(graph, next(iter(arrays.values())), str(path))
