"""A network as an object: look at it, quantize it, compile it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pulsarray.api.compiled import Compiled
from pulsarray.api.inspecting import Inspected, inspect_source
from pulsarray.api.machine import Machine, machine_of
from pulsarray.api.progress import Working, quiet
from pulsarray.api.report import Report
from pulsarray.api.shown import Shown
from pulsarray.api.source import (
    Shapes,
    Source,
    compile_network,
    compile_product,
    load_source,
    loaded_samples,
    samples_of,
)
from pulsarray.config import DEFAULT_CONFIG, Config
from pulsarray.errors import InputError
from pulsarray.program import Program

if TYPE_CHECKING:
    import numpy.typing as npt
    from rich.console import RenderableType

    from pulsarray.compiler.importers.onnx.fixed import SetInputs
    from pulsarray.compiler.interpreter import Samples as CheckedSamples
    from pulsarray.compiler.ir.graph import Graph

__all__ = ["Network", "Product", "Samples", "compile_source", "load"]

Samples: TypeAlias = "npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | str | Path"
"""Typical data of the only input, shape (samples, *its shape), or of each input by its name, or an
``.npz`` file of them."""


class Network(Shown):
    """A network of real numbers, or in int8 already.

    Parameters
    ----------
    text
        What it was loaded by.
    source
        Its graph, and samples where it has some.
    """

    def __init__(self, text: str, source: Source) -> None:
        self.text, self._source = text, source

    @property
    def name(self) -> str:
        """Its name."""
        return self._source.name

    @property
    def graph(self) -> Graph:
        """Operators and values between them."""
        return self._source.network

    @property
    def samples(self) -> CheckedSamples:
        """Samples that scales are chosen by.

        Raises
        ------
        InputError
            If it has none.
        """
        return samples_of(self.text, self._source)

    def __repr__(self) -> str:
        form = "int8" if self.graph.is_quantized else "float"
        return f"<Network {self.name}, {form}, {len(self.graph.nodes)} operators>"

    def inspect(self, config: Machine = DEFAULT_CONFIG, **settings: int | bool) -> Inspected:
        """Operators with shapes, cost, and where they run on a machine.

        Parameters
        ----------
        config, settings
            See :func:`pulsarray.api.machine.machine_of`.

        Raises
        ------
        InputError
            If there is no such machine.
        """
        return Inspected(inspect_source(self._source, machine_of(config, settings)))

    def quantize(self, samples: Samples) -> Network:
        """The network with samples to choose scales by; they become int8 when it is compiled,
        since scales fit a machine.

        Raises
        ------
        InputError
            If it is in int8 already, or the samples do not fit its inputs.
        """
        if self.graph.is_quantized:
            raise InputError(f"--calibrate: not for {self.text}, which is in int8 already")
        checked = loaded_samples(self._source, samples)
        return Network(self.text, replace(self._source, samples=checked))

    def only(self, *outputs: str) -> Network:
        """The network with some of its outputs, and what they need.

        Raises
        ------
        InputError
            If it has no such output.
        """
        return Network(self.text, self._source.only(outputs))

    def keep(self, states: Mapping[str, str]) -> Network:
        """The network with outputs kept for the next run, which reads them in inputs' places.

        Parameters
        ----------
        states
            By the name of an output that of the input.

        Raises
        ------
        InputError
            If there is no such output or input, or their shapes or formats differ.
        """
        return Network(self.text, self._source.keep(states))

    def compile(
        self,
        config: Machine = DEFAULT_CONFIG,
        *,
        batch: int | None = None,
        effort: int | None = None,
        working: Working = quiet,
        **settings: int | bool,
    ) -> Compiled:
        """Compile for a machine.

        Parameters
        ----------
        config, settings
            The machine: see :func:`pulsarray.api.machine.machine_of`.
        batch
            Samples that one run works on; 1 if not given.
        effort
            Instructions that the search for a fast program may look at; 0 takes its first guess.
        working
            Is told what goes on.

        Raises
        ------
        InputError
            If there is no such machine, the network does not fit it, or samples are missing.
        """
        machine = machine_of(config, settings)
        with working(f"compiling {self.text}"):
            return Compiled(self._program(machine, batch, effort))

    def _program(self, machine: Config, batch: int | None, effort: int | None) -> Program:
        return compile_network(self.text, self._source, machine, batch or 1, effort)

    def estimate(
        self,
        config: Machine = DEFAULT_CONFIG,
        *,
        batch: int | None = None,
        effort: int | None = None,
        memory_latency: int = 64,
        memory_interval: int = 1,
        energy_table: str | Path | None = None,
        **settings: int | bool,
    ) -> Report:
        """Compile, and say what a run costs: see :meth:`compile` and :meth:`Compiled.estimate`."""
        compiled = self.compile(machine_of(config, settings), batch=batch, effort=effort)
        return compiled.estimate(
            memory_latency=memory_latency,
            memory_interval=memory_interval,
            energy_table=energy_table,
        )

    def __rich__(self) -> RenderableType:
        return self.inspect().__rich__()


class Product(Network):
    """``gemm:MxKxN``: a product of random matrices in int8.

    Parameters
    ----------
    text, sizes
        What it was loaded by, and M, K and N.
    sums
        Whether sums are stored instead of codes.
    seed
        Of the operands.
    """

    def __init__(self, text: str, sizes: tuple[int, int, int], sums: bool, seed: int) -> None:
        self.text, self.sizes, self.sums, self.seed = text, sizes, sums, seed

    @property
    def name(self) -> str:
        """Its name."""
        return self.text

    @property
    def graph(self) -> Graph:
        """None: operands and graph are made for a machine.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{self.text}: is a product, which has no graph")

    def __repr__(self) -> str:
        return f"<Product {self.text}>"

    def inspect(self, config: Machine = DEFAULT_CONFIG, **settings: int | bool) -> Inspected:
        """Its one operator."""
        from pulsarray.compiler.importers.inspection import inspect_gemm

        machine_of(config, settings)
        return Inspected(inspect_gemm(*self.sizes))

    def quantize(self, samples: Samples) -> Network:
        """Refused: it is in int8.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"--calibrate: not for {self.text}, which is in int8 already")

    def only(self, *outputs: str) -> Network:
        """Refused: it has one output.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"--outputs-only: not for {self.text}, which has one output")

    def keep(self, states: Mapping[str, str]) -> Network:
        """Refused: its inputs are its operands.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"--state: not for {self.text}, which has none")

    def _program(self, machine: Config, batch: int | None, effort: int | None) -> Program:
        if batch is not None:
            raise InputError(f"--batch: not for {self.text}, whose rows are M")
        return compile_product(self.sizes, machine, sums=self.sums, seed=self.seed, effort=effort)


def load(
    source: str | Path | Graph,
    *,
    shape: Shapes = None,
    set_inputs: SetInputs | None = None,
    outputs: Sequence[str] = (),
    states: Mapping[str, str] | None = None,
    sums: bool = False,
    seed: int | None = None,
) -> Network:
    """A network of a file, a name, or a graph made with :class:`pulsarray.compiler.Builder`.

    Parameters
    ----------
    source
        An ``.onnx`` or ``.tflite`` file, a built-in network (``pulsarray list`` names them),
        ``gemm:MxKxN``, or a graph.
    shape
        ONNX: sizes of one sample of the input, where the file leaves them open; of several inputs
        by name; or single sizes that have names.
    set_inputs
        ONNX: values of inputs that are to be constants, by name.
    outputs
        Names of outputs to keep of a network that has several; all if empty.
    states
        Outputs that are kept for the next run, and by their names the inputs in whose place it
        reads them (docs/state.md).
    sums, seed
        gemm: whether to keep sums instead of codes, and the seed of the operands.

    Raises
    ------
    InputError
        If there is none, it has something that is not supported, or an option does not apply.
    """
    from pulsarray.zoo.networks import parse_gemm

    text = str(source) if isinstance(source, str | Path) else source.name
    sizes = parse_gemm(text)
    if sizes is not None and shape is None and set_inputs is None and not outputs and not states:
        return Product(text, sizes, sums, seed or 0)
    if sizes is not None:
        options = "--shape, --set-input, --outputs-only, --state"
        raise InputError(f"{options}: not for gemm, whose sizes are M, K and N")
    if sums or seed is not None:
        raise InputError(f"--sums, --seed: only for gemm:MxKxN, not for {text}")
    if not isinstance(source, str | Path):
        network = Network(text, Source(text, source))
    else:
        network = Network(text, load_source(text, shape, set_inputs, states))
    network = network.keep(states) if states else network
    return network.only(*outputs) if outputs else network


def compile_source(
    source: str,
    config: Config,
    *,
    batch: int | None = None,
    calibrate: Path | None = None,
    sums: bool = False,
    seed: int | None = None,
    shape: Shapes = None,
    set_inputs: SetInputs | None = None,
    outputs: Sequence[str] = (),
    states: Mapping[str, str] | None = None,
    effort: int | None = None,
) -> Program:
    """Load, quantize where samples are given, and compile.

    Raises
    ------
    InputError
        If there is no such network, it cannot be compiled, or an option does not apply to it.
    """
    network = load(
        source,
        shape=shape,
        set_inputs=set_inputs,
        outputs=outputs,
        states=states,
        sums=sums,
        seed=seed,
    )
    if calibrate is not None:
        network = network.quantize(calibrate)
    return network.compile(config, batch=batch, effort=effort).program
