"""``pulsarray export``: a program for simulators, programmers and C compilers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsarray.cli.options import (
    ConfigOption,
    IntervalOption,
    JsonOption,
    LatencyOption,
    SetOption,
    given_config,
)
from pulsarray.cli.output import (
    make_folder,
    print_json,
    require_writable,
    show,
    working,
)
from pulsarray.display.facts import facts
from pulsarray.errors import InputError
from pulsarray.files import write_atomically, write_together
from pulsarray.program import Program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["export"]


def export(
    program: Annotated[Path, typer.Argument(metavar="P.pulse", help="Program file.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE|DIR", help="File to write; --hex: a folder."),
    ],
    as_hex: Annotated[
        bool, typer.Option("--hex", help="For the testbench: memory before and after, counters.")
    ] = False,
    as_binary: Annotated[
        bool, typer.Option("--bin", help="The memory image, to be loaded at the base address.")
    ] = False,
    as_c: Annotated[bool, typer.Option("--c", help="A C file for the driver.")] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", help="--c: name of the program there; the file's if not given."),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs", metavar="X.npz", help="Inputs by name: real values, or codes as integers."
        ),
    ] = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a program's memory image for other tools.

    For example:

      pulsarray export mnist.pulse --hex -o mnist        # then: make PROGRAM=mnist

      pulsarray export mnist.pulse --bin -o mnist.bin

      pulsarray export mnist.pulse --c -o mnist.c
    """
    if as_hex + as_binary + as_c != 1:
        raise InputError("export: give one of --hex, --bin, --c")
    if name is not None and not as_c:
        raise InputError("--name: only with --c")
    loaded = Program.load(program, given_config(config, overrides))
    from pulsarray.tensors import memory_with_inputs

    memory = memory_with_inputs(loaded, inputs)
    if as_hex:
        if output.exists() and not output.is_dir():
            raise InputError(f"{output}: is a file, not a folder")
        from pulsarray.handoff.bench import bench_files

        times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
        with working("running the model"):
            contents = bench_files(loaded, memory, **times)
        make_folder(output)
        write_together({output / part: data for part, data in contents.items()})
    else:
        require_writable(output, read=[program, inputs, config])
        write_atomically(output, _c(loaded, memory, name or output.stem) if as_c else bytes(memory))
    told = {"written": str(output), "fingerprint": loaded.config.fingerprint}
    if as_json:
        print_json(told)
    else:
        show(facts(told))


def _c(program: Program, memory: npt.NDArray[np.uint8], name: str) -> bytes:
    from pulsarray.handoff.images import c_source

    return c_source(program, memory, name).encode()
