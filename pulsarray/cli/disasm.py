"""``pulsarray disasm``: a program file as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, given_config
from pulsarray.cli.output import print_json
from pulsarray.display.programs import program_facts
from pulsarray.program import Program

__all__ = ["disasm"]


def disasm(
    program: Annotated[Path, typer.Argument(metavar="P.pulse", help="Program file.")],
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every instruction: index, layer, fields that are not at their default, by names, and
    after a semicolon the tensor that it moves, or in a training step what a product is for.

    For example:

      pulsarray disasm mnist.pulse

      pulsarray disasm mnist.pulse --json
    """
    loaded = Program.load(program, given_config(config, overrides))
    if as_json:
        print_json({**program_facts(loaded), "code": _rows(loaded)})
        return
    from pulsarray.compiler.api import disassemble

    typer.echo(f"; {loaded.network}, batch {loaded.batch}, for {loaded.config.label}")
    for line in disassemble(loaded):
        typer.echo(line)


def _rows(program: Program) -> list[dict[str, Any]]:
    rows, address = [], program.code_address
    for index, instruction in enumerate(program.instructions):
        names = (field.name for field in instruction.format.fields)
        fields = dict(zip(names, instruction.values, strict=True))
        rows.append(
            {
                "index": index,
                "address": address,
                "op": instruction.op.name,
                **fields,
                "text": instruction.text(),
            }
        )
        address += instruction.format.bytes
    return rows
