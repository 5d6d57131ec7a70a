"""``pulsarray check``: whether a program's result can be told, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, given_config
from pulsarray.cli.output import print_json
from pulsarray.errors import CheckFailed, ProgramError, UnknownResult
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["check"]


def check(
    program: Annotated[Path, typer.Argument(metavar="P.pulse", help="Program file.")],
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say, without running it, whether the machine would stop on a program, or its result is known.

    Refused (exit code 1): fields and addresses that stop the machine, words that are read and that
    nothing has written in the run, two instructions that touch one word in no order, a program that
    waits for ever. What depends on the memory's speed, port conflicts and counts of semaphores, is
    for simulate to find.

    For example:

      pulsarray check mine.pulse

      pulsarray check mine.pulse --json
    """
    loaded = Program.load(program, given_config(config, overrides))
    refusal = _refusal(loaded)
    if as_json:
        print_json(_facts(refusal))
    elif refusal is None:
        typer.echo(f"{program}: in order")
    if refusal is not None:
        raise CheckFailed(f"check: {program}: {refusal}")


def _refusal(program: Program) -> ProgramError | None:
    from pulsarray.model.checks import check as check_instructions
    from pulsarray.model.races import ordered

    size = program.memory.size
    try:
        ordered(program, check_instructions(program, size), size)
    except ProgramError as error:
        return error
    return None


def _facts(refusal: ProgramError | None) -> dict[str, Any]:
    if refusal is None:
        return {"accepted": True}
    unknown = isinstance(refusal, UnknownResult)
    return {
        "accepted": False,
        "reason": "UNKNOWN_RESULT" if unknown else ErrorCode(refusal.code).name,
        "instruction": refusal.index if refusal.index >= 0 else None,
        "message": str(refusal),
    }
