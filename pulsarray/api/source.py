"""From what names a network to its graph, and from that to a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean
from pulsarray.program import Program

if TYPE_CHECKING:
    from pulsarray.compiler.importers.onnx.fixed import SetInputs
    from pulsarray.compiler.interpreter import Samples
    from pulsarray.compiler.ir.graph import Graph

__all__ = [
    "FILES",
    "Shapes",
    "Source",
    "compile_network",
    "compile_product",
    "file_of",
    "load_source",
    "loaded_samples",
    "require_onnx",
    "samples_of",
    "unknown_source",
]

Sizes = tuple[int, ...]
Shapes = Sizes | dict[str, Sizes] | None
"""Shape of a sample of the only input, or of inputs by name; or open sizes by theirs."""

FILES = (".onnx", ".tflite", ".nir")
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
    pruned
        Inputs that only outputs left out depended on.
    """

    name: str
    network: Graph
    samples: Samples | None = None
    pruned: frozenset[str] = frozenset()

    def only(self, outputs: Sequence[str]) -> Source:
        """The same with some of its outputs.

        Raises
        ------
        InputError
            If it has no such output.
        """
        kept = self.network.only(outputs)
        gone = {v.name for v in self.network.inputs} - {v.name for v in kept.inputs}
        return replace(self, network=kept, pruned=self.pruned | gone)

    def keep(self, states: Mapping[str, str]) -> Source:
        """The same with outputs kept for the next run, in the place of inputs.

        Raises
        ------
        InputError
            If one cannot take the other's place.
        """
        from pulsarray.compiler.ir.states import with_states

        network, samples = with_states(self.network, states), self.samples
        if isinstance(samples, Mapping):
            samples = {v.name: samples[v.name] for v in network.inputs}
        gone = frozenset(states.values())
        return replace(self, network=network, samples=samples, pruned=self.pruned | gone)

    def quantized(self, text: str, config: Config) -> Graph:
        """In int8, made once for all machines with the same arithmetic.

        Of a machine quantization sees these two parameters alone: another one is an AttributeError.

        Raises
        ------
        InputError
            If it cannot be, or there are no samples; ``text`` is what it was loaded by.
        """
        from pulsarray.compiler.passes.pipeline import quantize_graph

        if self.network.is_quantized:
            return self.network
        seen = SimpleNamespace(scale_bits=config.scale_bits, acc_bits=config.acc_bits)
        key = config.scale_bits, config.acc_bits
        if key not in self._quantized:
            samples = samples_of(text, self)
            self._quantized[key] = quantize_graph(self.network, samples, cast(Config, seen))
        return self._quantized[key]

    @cached_property
    def _quantized(self) -> dict[tuple[int, int], Graph]:
        return {}


def load_source(
    source: str,
    shape: Shapes = None,
    set_inputs: SetInputs | None = None,
    states: Mapping[str, str] | None = None,
) -> Source:
    """The network of a file or a name; ``states`` say which inputs are to lie as which outputs.

    Raises
    ------
    InputError
        If there is none, or it has something that is not supported.
    """
    from pulsarray.zoo.networks import BUILT_IN, built_in

    path, part = file_of(source)
    if source in BUILT_IN or path.suffix != ".onnx":
        require_onnx(source, shape, set_inputs)
    if source in BUILT_IN:
        return Source(source, *built_in(source))
    if path.suffix == ".onnx":
        from pulsarray.compiler.importers.onnx.importer import import_onnx_any

        made = import_onnx_any(path, shape=shape, set_inputs=set_inputs, states=states)
        return Source(path.stem, made)
    if path.suffix == ".tflite":
        from pulsarray.compiler.importers.tflite.importer import import_tflite

        return Source(path.stem, import_tflite(path, part, shape))
    if path.suffix == ".nir":
        from pulsarray.compiler.importers.nir.importer import import_nir

        return Source(path.stem, import_nir(path))
    raise unknown_source(source)


def require_onnx(source: str, shape: Shapes, set_inputs: SetInputs | None) -> None:
    """Refuse what is for ONNX files alone; sizes may be open in those of TensorFlow Lite, too.

    Raises
    ------
    InputError
        If there is something.
    """
    if shape is not None and file_of(source)[0].suffix != ".tflite":
        raise InputError(f"--shape: only for network files, not for {source}")
    if set_inputs is not None:
        raise InputError(f"--set-input: only for ONNX files, not for {source}")


def file_of(source: str) -> tuple[Path, str]:
    """A file, and the name behind ``.tflite:`` of one of its signatures or subgraphs."""
    file, separator, part = source.rpartition(":")
    return (Path(file), part) if separator and file.endswith(".tflite") else (Path(source), "")


def unknown_source(source: str, *more: str) -> InputError:
    """What to say about a NETWORK that is none; ``more`` are further things that it may be."""
    from pulsarray.zoo.networks import BUILT_IN

    known = ", ".join((*more, "gemm:MxKxN", *BUILT_IN[:-1]))
    files = " or ".join((", ".join(FILES[:-1]), FILES[-1]))
    close = did_you_mean(source, (*more, *BUILT_IN))
    return InputError(
        f"NETWORK: must be an {files} file, {known} or {BUILT_IN[-1]}, not {source!r}{close}"
    )


def compile_product(
    sizes: tuple[int, int, int], config: Config, *, sums: bool, seed: int, effort: int | None
) -> Program:
    """Compile a product of random matrices.

    Raises
    ------
    InputError
        If it does not fit the machine, or memory.
    """
    from pulsarray.compiler.gemm import compile_gemm

    m, k, n = sizes
    needed = m * k + k * n + m * n * (4 if sums else 1)
    if needed > MEMORY_BYTES:
        raise InputError(
            f"gemm:{m}x{k}x{n}: needs {needed:,} bytes of memory, addresses reach {MEMORY_BYTES:,}"
        )
    return compile_gemm(m, k, n, config, sums=sums, seed=seed, effort=_effort(effort))


def compile_network(
    text: str, source: Source, config: Config, batch: int, effort: int | None
) -> Program:
    """Quantize a network, if it is not yet, and compile it.

    Raises
    ------
    InputError
        If it does not fit the machine, or samples are missing.
    """
    from pulsarray.compiler.api import compile as compile_graph
    from pulsarray.compiler.api import require_operands

    require_operands(config)
    graph = source.quantized(text, config)
    return compile_graph(graph, config, batch=batch, name=source.name, effort=_effort(effort))


def _effort(effort: int | None) -> int:
    """What the search may cost; the compiler's own choice if nothing is said.

    Raises
    ------
    InputError
        If it is below 0.
    """
    from pulsarray.compiler.lower.products.search import EFFORT

    if effort is not None and effort < 0:
        raise InputError(f"--effort: must be at least 0, not {effort}")
    return EFFORT if effort is None else effort


def samples_of(text: str, source: Source) -> Samples:
    """Samples to calibrate a network with.

    Raises
    ------
    InputError
        If there are none.
    """
    if source.samples is None:
        raise _no_samples(text, source.network)
    return source.samples


def _no_samples(text: str, graph: Graph) -> InputError:
    from pulsarray.compiler.interpreter import host_shape

    wanted = [
        f"{value.name!r}, an array of shape (samples, {', '.join(map(str, shape))})"
        for value in graph.inputs
        for shape in (host_shape(graph, value),)
    ]
    named = "the input" if len(wanted) == 1 else "the inputs"
    return InputError(
        f"{text}: quantization needs samples of {named} {'; '.join(wanted)}: --calibrate X.npz, "
        "in Python quantize(samples)"
    )


def loaded_samples(source: Source, samples: object) -> Samples:
    """Samples of a network's inputs: arrays, or those of an ``.npz`` file.

    Of a network with one input the only array may have any name. Arrays of inputs that are pruned
    are left aside.

    Raises
    ------
    InputError
        If there are others than the network has, or they do not fit.
    """
    from pulsarray.arrays import load_arrays
    from pulsarray.compiler.interpreter import float_inputs

    where = str(samples) if isinstance(samples, str | Path) else "samples"
    arrays: Any = load_arrays(Path(where)) if isinstance(samples, str | Path) else samples
    graph = source.network
    if isinstance(arrays, Mapping):
        arrays = {name: array for name, array in arrays.items() if name not in source.pruned}
    if isinstance(arrays, Mapping) and len(graph.inputs) == 1:
        if len(arrays) != 1:
            names = ", ".join(arrays) or "none"
            raise InputError(
                f"{where}: must hold one array of samples, not {len(arrays)} ({names})"
            )
        arrays = next(iter(arrays.values()))
    return float_inputs(graph, arrays, where)
