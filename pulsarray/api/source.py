"""From the NETWORK argument to a compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean
from pulsarray.program import Program

if TYPE_CHECKING:
    from pulsarray.compiler.interpreter import Samples
    from pulsarray.compiler.ir.graph import Graph

__all__ = [
    "FILES",
    "Shapes",
    "Source",
    "compile_source",
    "load_source",
    "samples_of",
    "unknown_source",
]

Sizes = tuple[int, ...]
Shapes = Sizes | dict[str, Sizes] | None
"""Shape of a sample of the only input, or of inputs by name."""

FILES = (".onnx", ".tflite")
"""Files that hold networks."""

MEMORY_BYTES = 1 << 32
"""Bytes that 32-bit addresses reach."""


@dataclass(frozen=True, eq=False)
class Source:
    """A network.

    Parameters
    ----------
    name
        Name of the program.
    network
        In floating point, or in integers already.
    samples
        Samples to calibrate it with, where it brings its own.
    """

    name: str
    network: Graph
    samples: Samples | None = None


def compile_source(
    source: str,
    config: Config,
    *,
    batch: int | None,
    calibrate: Path | None,
    sums: bool,
    seed: int | None,
    shape: Shapes = None,
    outputs: Sequence[str] = (),
) -> Program:
    """Compile what NETWORK names: ``gemm:MxKxN``, a file, or a built-in network.

    Raises
    ------
    InputError
        If there is no such network, it cannot be compiled, or an option does not apply to it.
    """
    from pulsarray.zoo.networks import parse_gemm

    sizes = parse_gemm(source)
    if sizes is not None:
        if batch is not None or calibrate is not None or shape is not None or outputs:
            raise InputError(
                "--batch, --calibrate, --shape, --outputs-only: not for gemm, whose rows are M"
            )
        return _compile_gemm(sizes, config, sums=sums, seed=seed or 0)
    if sums or seed is not None:
        raise InputError(f"--sums, --seed: only for gemm:MxKxN, not for {source}")
    loaded = load_source(source, shape)
    if outputs:
        loaded = replace(loaded, network=loaded.network.only(outputs))
    return _compile_network(source, loaded, config, batch or 1, calibrate)


def load_source(source: str, shape: Shapes = None) -> Source:
    """The network of a file or a name.

    Raises
    ------
    InputError
        If there is none, or it has something that is not supported.
    """
    from pulsarray.zoo.networks import BUILT_IN, built_in

    path = Path(source)
    if shape is not None and (source in BUILT_IN or path.suffix != ".onnx"):
        raise InputError(f"--shape: only for ONNX files, not for {source}")
    if source in BUILT_IN:
        return Source(source, *built_in(source))
    if path.suffix == ".onnx":
        from pulsarray.compiler.importers.onnx.importer import import_onnx_any

        return Source(path.stem, import_onnx_any(path, shape=shape))
    if path.suffix == ".tflite":
        from pulsarray.compiler.importers.tflite.importer import import_tflite

        return Source(path.stem, import_tflite(path))
    raise unknown_source(source)


def unknown_source(source: str, *more: str) -> InputError:
    """What to say about a NETWORK that is none; ``more`` are further things that it may be."""
    from pulsarray.zoo.networks import BUILT_IN

    known = ", ".join((*more, "gemm:MxKxN", *BUILT_IN[:-1]))
    files = " or ".join(FILES)
    close = did_you_mean(source, (*more, *BUILT_IN))
    return InputError(
        f"NETWORK: must be an {files} file, {known} or {BUILT_IN[-1]}, not {source!r}{close}"
    )


def _compile_gemm(sizes: tuple[int, int, int], config: Config, *, sums: bool, seed: int) -> Program:
    from pulsarray.compiler.gemm import compile_gemm

    m, k, n = sizes
    needed = m * k + k * n + m * n * (4 if sums else 1)
    if needed > MEMORY_BYTES:
        raise InputError(
            f"gemm:{m}x{k}x{n}: needs {needed:,} bytes of memory, addresses reach {MEMORY_BYTES:,}"
        )
    return compile_gemm(m, k, n, config, sums=sums, seed=seed)


def _compile_network(
    text: str, source: Source, config: Config, batch: int, calibrate: Path | None
) -> Program:
    """Quantize a network, if it is not yet, and compile it."""
    from pulsarray import compiler

    network, name = source.network, source.name
    if network.is_quantized:
        if calibrate is not None:
            raise InputError(f"--calibrate: not for {text}, which is in int8 already")
        return compiler.compile(network, config, batch=batch, name=name)
    samples = samples_of(text, source, calibrate)
    return compiler.compile(network, config, batch=batch, calibration=samples, name=name)


def samples_of(text: str, source: Source, calibrate: Path | None) -> Samples:
    """Samples to calibrate a network with: those of a file, else its own.

    Raises
    ------
    InputError
        If there are none.
    """
    network = source.network
    samples = source.samples if calibrate is None else _samples(network, calibrate)
    if samples is None:
        raise _no_samples(text, network)
    return samples


def _no_samples(text: str, graph: Graph) -> InputError:
    from pulsarray.compiler.interpreter import host_shape

    wanted = [
        f"{value.name!r}, an array of shape (samples, {', '.join(map(str, shape))})"
        for value in graph.inputs
        for shape in (host_shape(graph, value),)
    ]
    named = "the input" if len(wanted) == 1 else "the inputs"
    return InputError(
        f"{text}: quantization needs samples of {named} {'; '.join(wanted)}: --calibrate X.npz"
    )


def _samples(graph: Graph, path: Path) -> Samples:
    """The arrays of an ``.npz`` file, as samples of the network's inputs; a single one of any name.

    Raises
    ------
    InputError
        If there are others than the network has, or they do not fit.
    """
    from pulsarray.arrays import load_arrays
    from pulsarray.compiler.interpreter import float_inputs

    arrays = load_arrays(path)
    if len(graph.inputs) > 1:
        return float_inputs(graph, arrays, str(path))
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise InputError(f"{path}: must hold one array of samples, not {len(arrays)} ({names})")
    return float_inputs(graph, next(iter(arrays.values())), str(path))
