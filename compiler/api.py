"""From a network to a program: the compiler's front door."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.arguments import instance
from pulsarray.compiler.interpreter import Samples
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.lower import programs
from pulsarray.compiler.lower.products.search import EFFORT
from pulsarray.compiler.passes.pipeline import INFERENCE, Setting, passed, quantize_graph
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.report.listing import disassemble

__all__ = ["compile", "disassemble", "require_operands", "require_room"]


def compile(  # noqa: A001 (as re.compile: it is called by way of its package)
    graph: Graph,
    config: Config,
    *,
    batch: int = 1,
    calibration: Samples | None = None,
    name: str = "",
    effort: int = EFFORT,
) -> Program:
    """Compile a network, whatever operators it has: of real numbers, which it quantizes, or int8.

    Parameters
    ----------
    graph
        The network.
    config
        The machine; it needs 8-bit operands.
    batch
        Samples that one run of the program works on.
    calibration
        Typical data of a network in real numbers, of each input by name or of the only one:
        (samples, *its shape).
    name
        Name of the program; the network's if empty.
    effort
        Instructions that the search for a fast program may look at; 0 takes its first guess. Of a
        network that is not all matrix products it takes the share that they are.

    Raises
    ------
    InputError
        If something does not fit; the text names the place, the rule and the value.
    """
    instance(graph, Graph, "graph")
    instance(config, Config, "config")
    require_operands(config)
    if not graph.is_quantized:
        graph = quantize_graph(graph, calibration, config)
    elif calibration is not None:
        raise InputError(f"{graph.name}: is in int8 already; calibration data is not for it")
    return programs.program_of(graph, config, batch=batch, name=name, effort=effort)


def require_operands(config: Config) -> None:
    """Refuse a machine that is not for inference in int8.

    Raises
    ------
    InputError
        If its operands have another width.
    """
    if config.operand_bits != 8:
        raise InputError(f"compiler: needs operand_bits = 8, not {config.operand_bits}")


def require_room(graph: Graph, config: Config) -> None:
    """Refuse a network that a machine has no room for, whatever its numbers.

    One of real numbers is quantized for noise; where that cannot be, as before the logarithm of a
    negative number, nothing is said.

    Parameters
    ----------
    graph, config
        The network and the machine.

    Raises
    ------
    InputError
        If something does not fit; the text names the place, the rule and the value.
    """
    if not graph.is_quantized:
        rng = np.random.default_rng(0)
        noise = {value.name: rng.normal(size=(1, value.size)) for value in graph.entries}
        try:
            graph = passed(graph, INFERENCE, Setting(noise, config))
        except InputError:
            return
    programs.require_room(graph, config)
